"""One shape for every failure, whatever fails; limits of the body; ids."""

import http.client
import logging
import re
import socket
import threading
import time
import urllib.parse

import httpx2 as httpx
import numpy as np
import pytest

from deployments.errors import (
    ContentFiltered,
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    Overloaded,
    ServiceError,
    TargetNotFound,
)
from deployments.http.bodies import most_bytes
from deployments.messages import Location, Readiness

EDITS = "/v1/images/edits"


class RemoteError(Exception):
    """As Ray hands over an error of another process: its text is a traceback, the original is `cause`.

    What it does not have itself it takes from the original, as Ray's does.
    """

    def __init__(self, cause: Exception) -> None:
        self.cause = cause

    def __getattr__(self, name: str) -> object:
        return getattr(self.cause, name)

    def __str__(self) -> str:
        return 'Traceback (most recent call last):\n  File "/opt/app/model.py", line 3, at 0xdeadbeef'


def remote(cause: Exception) -> Exception:
    """`cause` as an instance of both its own class and `RemoteError`."""
    mixed = type(f"RemoteError({type(cause).__name__})", (RemoteError, type(cause)), {})
    return mixed(cause)


@pytest.fixture
def fail(client, driver, picture):
    def post(error: Exception, route: str = EDITS):
        driver.failures = [error]
        field = {EDITS: "prompt", "/v1/locate": "target", "/v1/score": "text"}[route]
        return client.post(route, files={"image": picture}, data={field: "x"})

    return post


@pytest.mark.parametrize("across", [lambda error: error, remote], ids=["local", "remote"])
@pytest.mark.parametrize(
    ("error", "status", "param"),
    [
        (InvalidInput("`prompt` is bad.", "prompt"), 400, "prompt"),
        (TargetNotFound(Location("the unicorn", "unicorn", (3, 4), 0.1, -2.5, False, None), (96, 64)), 422, "target"),
        (ContentFiltered((7, 8)), 400, "prompt"),
        (ContentFiltered((7, 8), removes=True), 400, "seed"),
        (Overloaded(), 429, None),
        (DeadlineExceeded("The edit took too long."), 504, None),
        (ModelFailed("The stage `sam` failed."), 500, None),
        (ServiceError("Something went wrong."), 500, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_service_errors(fail, refused, error, status, param, across):
    told = refused(fail(across(error)), status, error.code, param)
    assert told["message"] == error.message
    assert told["type"] == error.type


@pytest.mark.parametrize("across", [lambda error: error, remote], ids=["local", "remote"])
@pytest.mark.parametrize(("route", "field"), [(EDITS, "prompt"), ("/v1/locate", "target")])
def test_what_was_not_found_comes_with_the_best_guess(client, driver, picture, refused, route, field, across):
    guess = Location("the unicorn", "unicorn", (3, 4), 0.1, -2.5, False, np.float32([[0, 0.12345], [1, 0.5]]))
    driver.failures = [across(TargetNotFound(guess, (96, 64)))]
    answer = client.post(route, files={"image": picture}, data={field: "the unicorn"})
    assert "'unicorn'" in refused(answer, 422, "target_not_found", "target")["message"]
    assert answer.json()["location"] == {
        "target": "the unicorn",
        "phrase": "unicorn",
        "found": False,
        "point": [3, 4],
        "confidence": 0.1,
        "margin": -2.5,
        "size": [96, 64],
        "heat": [[0, 0.1235], [1, 0.5]],
        "low_confidence": False,
        "chosen": 0,
        "instances": [],
        "candidates": [],
        "timings": {},
    }


def test_remote_miss_without_an_original_of_ours_says_nothing(fail, refused):
    class Odd(RemoteError, TargetNotFound):
        pass

    answer = fail(Odd(ValueError("CANARY")))
    refused(answer, 500, "internal_error")
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("route", [EDITS, "/v1/locate", "/v1/score"])
def test_unforeseen_errors_say_nothing_and_are_logged_under_the_request_id(fail, refused, caplog, route):
    answer = fail(RuntimeError("CANARY in /opt/app/model.py at 0xdeadbeef"), route)
    told = refused(answer, 500, "internal_error")
    assert told["message"] == "Something went wrong on our side."
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert answer.headers["x-request-id"] in record.getMessage()
    assert "CANARY" in str(record.exc_info[1])


def test_remote_error_without_an_original_of_ours_says_nothing(fail, refused):
    class Odd(RemoteError, ServiceError):
        pass

    told = refused(fail(Odd(ValueError("CANARY"))), 500, "internal_error")
    assert "CANARY" not in told["message"]


def test_failed_stage_is_logged_with_its_cause(fail, caplog):
    answer = fail(remote(ModelFailed("The stage `sam` failed.")))
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert answer.headers["x-request-id"] in record.getMessage()
    assert "at 0xdeadbeef" in str(record.exc_info[1])


@pytest.mark.parametrize(("wait_s", "header", "header_ms"), [(1.0, "1", "1000"), (2.3, "3", "2300"), (0.0, "1", "1")])
def test_overload_says_when_to_come_back(fail, wait_s, header, header_ms):
    answer = fail(remote(Overloaded("The queue is full.", wait_s)))
    assert answer.headers["retry-after"] == header
    assert answer.headers["retry-after-ms"] == header_ms
    assert "x-should-retry" not in answer.headers


def test_only_final_server_errors_forbid_a_retry(fail):
    for error in (ModelFailed("x"), DeadlineExceeded("x")):
        assert fail(error).headers["x-should-retry"] == "false"
    for error in (RuntimeError("x"), InvalidInput("x")):
        assert "x-should-retry" not in fail(error).headers


# The framework's own failures


@pytest.mark.parametrize(
    "path", ["/nope", "/v1", "/v1/images/edits/", "/v1/images/generations", "/%00", "/../etc/passwd"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_route(client, refused, method, path):
    refused(client.request(method, path), 404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_unknown_method(client, refused, method):
    answer = client.request(method, EDITS)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_unknown_model(client, refused):
    for name in ("dall-e-2", "GPT-image-2", "my-gpt-image-2", "%00", "..%2f..%2fetc"):
        answer = client.get(f"/v1/models/{name}")
        if "%2f" in name:
            refused(answer, 404, "not_found")
        else:
            refused(answer, 404, "model_not_found", "model")


def test_framework_validation(client, refused):
    async def typed(number: int) -> int:
        return number

    client.app.add_api_route("/typed/{number}", typed)
    assert client.get("/typed/7").json() == 7
    refused(client.get("/typed/CANARY"), 400, "invalid_value")


def test_readiness_that_cannot_be_asked(client, driver, refused, monkeypatch):
    async def fail() -> dict[str, Readiness]:
        raise RuntimeError("CANARY")

    monkeypatch.setattr(driver, "ready", fail)
    refused(client.get("/readyz"), 500, "internal_error")


# Bodies that are no form


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b""),
        ("application/json; charset=utf-16", '{"prompt": "x"}'.encode("utf-16")),
        ("application/x-ndjson", b'{"prompt": "x"}'),
        ("application/x-www-form-urlencoded", b"prompt=x"),
        ("application/python-pickle", b"\x80\x04\x95"),
        ("image/png", b"\x89PNG"),
        ("multipart/form-data; boundary=b; charset=unicode_escape", b"--b--"),
        ("multipart/form-data; boundary=b; charset=utf-7", b"--b--"),
        ("nonsense \xff", b"x"),
    ],
)
def test_body_of_another_type(client, refused, content_type, body):
    headers = {} if content_type is None else {"content-type": content_type.encode("latin-1")}
    refused(client.post(EDITS, content=body, headers=headers), 415, "unsupported_media_type")


def part(headers: str, body: str = "x") -> bytes:
    return f"--b\r\n{headers}\r\n\r\n{body}\r\n".encode()


PROMPT = part('Content-Disposition: form-data; name="prompt"')


@pytest.mark.parametrize(
    ("boundary", "body"),
    [
        (None, PROMPT + b"--b--"),
        ("other", PROMPT + b"--b--"),
        ("b", b""),
        ("b", b"--b"),
        ("b", PROMPT),
        ("b", PROMPT + b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n\x89PNG'),
        ("b", b"junk before" + PROMPT),
        ("b", part("Content-Disposition: form-data") + b"--b--"),
        ("b", part("X-Nothing: 1") + b"--b--"),
        ("b", part('Content-Disposition: form-data; name="prompt"\r\nX-Long: ' + "h" * 100_000) + b"--b--"),
        ("b", part('Content-Disposition: form-data; name="prompt"', "x" * 300_000) + b"--b--"),
        ("b", PROMPT * 257 + b"--b--"),
        ("b", part('Content-Disposition: form-data; name="image"; filename="a"') * 19 + b"--b--"),
        ("b" * 10_000, PROMPT),
    ],
    ids=[
        "no-boundary",
        "wrong-boundary",
        "empty",
        "cut",
        "no-end",
        "cut-file",
        "junk",
        "no-name",
        "no-disposition",
        "long-header",
        "long-field",
        "many-fields",
        "many-files",
        "long-boundary",
    ],
)
def test_broken_multipart(client, refused, boundary, body):
    content_type = "multipart/form-data" + (f"; boundary={boundary}" if boundary else "")
    start = time.thread_time()
    answer = client.post(EDITS, content=body, headers={"content-type": content_type})
    assert time.thread_time() - start < 0.2
    refused(answer, 400, "invalid_multipart")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (PROMPT + part('Content-Disposition: form-data; name="\0"') + b"--b--", "\0"),
        (PROMPT + part("Content-Disposition: form-data; name=") + b"--b--", ""),
    ],
    ids=["nul", "nameless"],
)
def test_field_of_odd_name(client, refused, body, param):
    answer = client.post(EDITS, content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    refused(answer, 400, "unknown_parameter", param)


def test_thousand_parts(client, refused):
    body = b"".join(part(f'Content-Disposition: form-data; name="f{k}"') for k in range(1000)) + b"--b--"
    answer = client.post(EDITS, content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    refused(answer, 400, "invalid_multipart")


# Limits of the body, on a real server


def test_declared_body_over_the_limit_is_refused_unread(server, driver):
    where = urllib.parse.urlsplit(server)
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall(
            f"POST {EDITS} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            "Content-Length: 1000000000\r\n\r\n".encode()
        )
        answer = connection.recv(4096).decode()  # although not a byte of the body was sent
    assert answer.startswith("HTTP/1.1 413")
    assert '"code":"image_too_large"' in answer
    assert "x-request-id" in answer
    assert not driver.requests


@pytest.mark.parametrize("declared", ["9" * 5000, "-1", "abc", "1e3"])
def test_odd_content_length_is_no_fault_of_ours(client, declared):
    answer = client.post(EDITS, content=b"x", headers={"content-length": declared})
    assert answer.status_code == (413 if declared[0] == "9" else 415)


def test_chunked_body_over_the_limit_is_refused_at_the_limit(server, driver, refused):
    where = urllib.parse.urlsplit(server)
    limit = most_bytes(driver.settings.limits)
    sent = 0
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)

    def body():
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while sent <= limit:
            yield bytes(65_536)
            sent += 65_536

    headers = {"Content-Type": "multipart/form-data; boundary=b", "Transfer-Encoding": "chunked"}
    connection.request("POST", EDITS, body(), headers, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    assert b'"code":"image_too_large"' in answer.read()
    connection.close()
    assert not driver.requests


def test_body_at_the_limit_is_read(client, driver, picture):
    size = driver.settings.limits.max_image_bytes
    padded = picture + bytes(size - len(picture))
    form = {"prompt": "x", "mask_mode": "luminance"}
    answer = client.post(EDITS, files={"image": padded, "mask": padded}, data=form)
    assert answer.status_code == 200


def test_connection_lives_on_after_a_refusal(server, picture):
    where = urllib.parse.urlsplit(server)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    for _ in range(3):
        connection.request("POST", EDITS, b"x" * 100_000, {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        assert (answer.status, b"unsupported_media_type" in answer.read()) == (415, True)
        body = (
            PROMPT
            + b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            + picture
            + b"\r\n--b--"
        )
        connection.request("POST", EDITS, body, {"Content-Type": "multipart/form-data; boundary=b"})
        answer = connection.getresponse()
        assert (answer.status, len(answer.read()) > 1000) == (200, True)
    connection.close()


# Request ids


@pytest.mark.parametrize("sent", ["abc", "a" * 64, "req_01.B-c", "0"])
def test_safe_request_id_is_kept(client, sent):
    for path in ("/healthz", "/nope"):
        assert client.get(path, headers={"x-request-id": sent}).headers.get_list("x-request-id") == [sent]


@pytest.mark.parametrize("sent", ["", "a" * 65, "a b", "<script>", "a\tb", "../x", "-", "é", "a" * 8000, "a,b"])
def test_unsafe_request_id_is_replaced(client, sent):
    answer = client.get("/healthz", headers={"x-request-id": sent.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_every_answer_has_its_own_id(client, picture):
    answers = [client.get("/healthz"), client.get("/docs"), client.get("/nope"), client.put("/healthz")]
    answers.append(client.post(EDITS, files={"image": picture}, data={"prompt": "x"}))
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_every_caller_gets_its_own_picture(server, picture, opened):
    seen: dict[int, tuple] = {}
    shared = httpx.Client(base_url=server, headers={"accept": "image/png"}, timeout=30)

    def edit(seed: int) -> None:
        answer = shared.post(EDITS, files={"image": picture}, data={"prompt": "x", "seed": str(seed)})
        seen[seed] = tuple(map(int, opened(answer.content)[20, 30]))

    threads = [threading.Thread(target=edit, args=(seed,)) for seed in range(16)]
    with shared:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == {seed: (seed, 0, 7) for seed in range(16)}
