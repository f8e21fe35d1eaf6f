"""Each way to fail has its class, and the message says what happened."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import retouch
from retouch import errors

STATUSES = [
    (400, "invalid_value", retouch.BadRequestError),
    (400, "moderation_blocked", retouch.ContentFiltered),
    (401, "invalid_api_key", retouch.AuthenticationError),
    (403, "not_allowed", retouch.PermissionDeniedError),
    (404, "not_found", retouch.NotFoundError),
    (409, "conflict", retouch.ConflictError),
    (413, "image_too_large", retouch.APIStatusError),
    (415, "image_unsupported", retouch.APIStatusError),
    (418, "teapot", retouch.APIStatusError),
    (307, "moved", retouch.APIStatusError),
    (422, "moderation_blocked", retouch.UnprocessableEntityError),
    (422, "target_not_found", retouch.TargetNotFound),
    (400, "target_not_found", retouch.BadRequestError),
    (429, "overloaded", retouch.RateLimitError),
    (500, "model_failed", retouch.InternalServerError),
    (504, "deadline_exceeded", retouch.InternalServerError),
]


@pytest.mark.parametrize(("status", "code", "kind"), STATUSES)
def test_each_status_has_its_class(
    service: Any,
    service_error: Callable[..., httpx.Response],
    photo: Path,
    status: int,
    code: str,
    kind: type[retouch.APIStatusError],
) -> None:
    service.instead = [service_error(status, "It says why.", code, "target")]
    with pytest.raises(retouch.APIStatusError) as caught:
        service.client(max_retries=0).edit(photo, "a lemon")
    error = caught.value
    assert type(error) is kind
    assert (error.status_code, error.code, error.param, error.request_id) == (status, code, "target", "req-9")
    assert error.message == "It says why."
    assert str(error) == f"It says why. ({status} {code}, request req-9)"
    assert error.body["error"]["type"] == "some_error"


@pytest.mark.parametrize(
    ("answer", "message", "body"),
    [
        (httpx.Response(502, text="<h1>Bad Gateway</h1>"), "answered 502 without", "<h1>Bad Gateway</h1>"),
        (httpx.Response(500), "answered 500 without", ""),
        (httpx.Response(500, json=["error"]), "answered 500 without", ["error"]),
        (httpx.Response(500, json={"error": "down"}), "answered 500 without", {"error": "down"}),
        (httpx.Response(404, json={"detail": "Not Found"}), "answered 404 without", {"detail": "Not Found"}),
        (
            httpx.Response(500, json={"error": {"message": 3, "code": 4, "param": []}}),
            "answered 500 without",
            {"error": {"message": 3, "code": 4, "param": []}},
        ),
        (httpx.Response(500, content=b"\xff\xfe\xff"), "answered 500 without", None),
        (httpx.Response(500, content=b"[" * 100_000), "answered 500 without", "[" * 100_000),
    ],
)
def test_errors_that_the_service_did_not_write(
    service: Any, photo: Path, answer: httpx.Response, message: str, body: Any
) -> None:
    service.instead = [answer]
    with pytest.raises(retouch.APIStatusError, match=message) as caught:
        service.client(max_retries=0).score(photo, "a lemon")
    assert (caught.value.code, caught.value.param, caught.value.request_id) == (None, None, None)
    assert caught.value.body == body or body is None
    assert str(caught.value).endswith(f"({answer.status_code})")


def not_found(location: Any) -> httpx.Response:
    error = {"message": "Nothing.", "type": "x", "param": "target", "code": "target_not_found"}
    return httpx.Response(422, json={"error": error, "location": location}, headers={"x-request-id": "req-9"})


def test_what_was_not_found_has_a_best_guess(service: Any, photo: Path, good_location: dict[str, Any]) -> None:
    service.instead = [not_found(good_location | {"found": False, "confidence": 0.12, "candidates": []})]
    with pytest.raises(retouch.TargetNotFound) as caught:
        service.client().edit(photo, "a lemon")
    location = caught.value.location
    assert isinstance(location, retouch.Location)
    assert (location.found, location.point_xy, location.confidence) == (False, (20, 10), 0.12)
    assert location.heat is not None
    assert (location.heat.size, location.candidates, location.request_id) == ((3, 2), (), "req-9")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), copy.location) == (retouch.TargetNotFound, location)


@pytest.mark.parametrize("location", [None, {}, [], {"point": [1, 2]}, "at home"])
def test_a_best_guess_that_cannot_be_read_is_none(service: Any, photo: Path, location: Any) -> None:
    service.instead = [not_found(location)]
    with pytest.raises(retouch.TargetNotFound, match="Nothing") as caught:
        service.client().edit(photo, "a lemon")
    assert caught.value.location is None
    assert caught.value.body["location"] == location


@pytest.mark.parametrize(
    ("cause", "kind", "message"),
    [
        (
            httpx.ConnectError("refused"),
            retouch.APIConnectionError,
            "Could not connect to http://127.0.0.1:8000: refused.",
        ),
        (httpx.ConnectTimeout(""), retouch.APITimeoutError, "Could not connect to http://127.0.0.1:8000 in time."),
        (httpx.ReadTimeout(""), retouch.APITimeoutError, "http://127.0.0.1:8000 did not answer in time."),
        (httpx.ReadError(""), retouch.APIConnectionError, "The connection to http://127.0.0.1:8000 broke: ReadError."),
        (
            httpx.RemoteProtocolError("gone"),
            retouch.APIConnectionError,
            "The connection to http://127.0.0.1:8000 broke: gone.",
        ),
    ],
)
def test_no_answer(
    service: Any, photo: Path, cause: httpx.RequestError, kind: type[retouch.APIConnectionError], message: str
) -> None:
    service.instead = [cause]
    with pytest.raises(retouch.APIConnectionError) as caught:
        service.client(max_retries=0).score(photo, "a lemon")
    assert type(caught.value) is kind
    assert str(caught.value) == message
    assert caught.value.base_url == "http://127.0.0.1:8000"
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize(
    ("answer", "is_ready"),
    [
        (httpx.Response(200, json={}), True),
        (httpx.Response(204), True),
        (httpx.Response(503), False),
        (httpx.Response(429), False),
        (httpx.ConnectError("refused"), False),
        (httpx.ReadTimeout("slow"), False),
    ],
)
def test_ready_is_asked_once(service: Any, answer: Any, is_ready: bool) -> None:
    service.instead = [answer]
    assert service.client().ready() is is_ready
    assert (len(service.seen), service.sleeps) == (1, [])
    assert (service.seen[0].method, service.seen[0].path) == ("GET", "/readyz")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_ready_raises_what_waiting_cannot_mend(
    service: Any, service_error: Callable[..., httpx.Response], status: int
) -> None:
    service.instead = [service_error(status)]
    with pytest.raises(retouch.APIStatusError):
        service.client().ready()


def test_errors_survive_the_trip_between_processes() -> None:
    status = retouch.TargetNotFound("Nothing.", 422, "target_not_found", "target", "req-1", {"error": {}})
    for error in (status, retouch.APITimeoutError("Slow.", "http://here"), retouch.InvalidResponse("Odd.", "req-2")):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if "├──" in line or "└──" in line]
    branches = []
    above: dict[int, str] = {-1: "RetouchError"}
    for line in drawn:
        depth = (len(line) - len(line.lstrip(" │├└─"))) // 4
        name = line.lstrip(" │├└─").split()[0]
        parent = above[max(level for level in above if level < depth)]
        above = {level: known for level, known in above.items() if level < depth} | {depth: name}
        branches.append((name, parent))
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not retouch.RetouchError]
    real = [(kind.__name__, kind.__base__.__name__) for kind in classes if issubclass(kind, retouch.RetouchError)]
    assert sorted(branches) == sorted(real)
