"""What those who operate the service send: HEAD from monitors, preflights and origins from browsers."""

import io
import socket

import pydantic
import pytest
from PIL import Image

from deployments.config import DriverSettings
from deployments.errors import Overloaded
from deployments.http.middleware import CORS_EXPOSED
from deployments.messages import Readiness

EDITS = "/v1/images/edits"
READS = ["/", "/healthz", "/readyz", "/v1/models", "/v1/models/retouch", "/docs", "/openapi.json"]
HOME, FOREIGN = "https://app.example:8443", "https://elsewhere.example"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,idempotency-key,x-request-id",
}


# HEAD


@pytest.mark.parametrize("path", READS)
def test_head_is_get_without_a_body(client, path):
    headers = {"x-request-id": "same-1"}
    get, head = client.get(path, headers=headers), client.head(path, headers=headers)
    assert (get.status_code, head.status_code) == (200, 200)
    assert head.content == b""
    assert int(head.headers["content-length"]) == len(get.content) > 0
    assert dict(head.headers) == dict(get.headers)


def test_head_of_what_is_not_well(client, driver):
    driver.stages["sam"] = Readiness(False)
    assert (client.head("/readyz").status_code, client.head("/readyz").content) == (503, b"")
    assert client.head("/nope").status_code == 404
    assert client.head("/v1/models/other").status_code == 404
    too_large = client.head("/healthz", headers={"content-length": "999999999"})
    assert (too_large.status_code, too_large.content) == (413, b"")
    refused = client.head(EDITS)
    assert (refused.status_code, refused.headers["allow"], refused.content) == (405, "POST", b"")


async def sent_by(app, method, path, headers=()):
    """The status and the body that the app itself sends, before a server takes the body away from an answer to HEAD."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "query_string": b""}
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/healthz", [], 200),
        ("/nope", [], 404),
        ("/healthz", [(b"content-length", b"999999999")], 413),
        ("/readyz", [], 500),
    ],
)
async def test_not_even_the_app_sends_a_body_after_a_head(client, driver, path, headers, status):
    driver.stages = None  # which nobody foresaw
    assert await sent_by(client.app, "HEAD", path, headers) == (status, b"")
    assert (await sent_by(client.app, "GET", path, headers))[1] != b""


def test_head_leaves_the_connection_in_step(server):
    """On a real server: no body comes after the head, and the next answer on the connection is its own."""
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for method in ("HEAD", "GET"):
            last = "Connection: close\r\n" if method == "GET" else ""
            connection.sendall(f"{method} /readyz HTTP/1.1\r\nHost: x\r\n{last}\r\n".encode())
            if method == "HEAD":
                head = connection.recv(65536)
                connection.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                connection.settimeout(10)
        get = b"".join(iter(lambda: connection.recv(65536), b""))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    length = len(get.split(b"\r\n\r\n", 1)[1])
    assert f"content-length: {length}\r\n".encode() in head
    assert get.startswith(b"HTTP/1.1 200 OK\r\n")


def test_head_is_no_operation_of_its_own(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {method for operations in paths.values() for method in operations} == {"get", "post"}


@pytest.mark.parametrize("path", READS)
def test_other_methods_are_refused_as_ever(client, path):
    answer = client.delete(path)
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


# CORS


def allow(driver, *origins):
    driver.settings = driver.settings.model_copy(update={"cors_origins": origins})


def cors_headers(answer):
    return {name for name in answer.headers if name.startswith("access-control-")}


def test_without_the_setting_there_is_no_cors(client):
    for answer in (
        client.get("/healthz", headers={"origin": HOME}),
        client.options(EDITS, headers={"origin": HOME, **PREFLIGHT}),
    ):
        assert not cors_headers(answer)
        assert "vary" not in answer.headers
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_a_preflight_from_an_origin_that_is_allowed(client, driver):
    allow(driver, "https://other.example", HOME)
    answer = client.options(EDITS, headers={"origin": HOME, **PREFLIGHT})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == HOME
    assert {"GET", "HEAD", "POST"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert answer.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]
    assert answer.headers["x-request-id"]


def test_a_foreign_origin_gets_no_header(client, driver):
    allow(driver, HOME)
    preflight = client.options(EDITS, headers={"origin": FOREIGN, **PREFLIGHT})
    for answer in (client.get("/healthz", headers={"origin": FOREIGN}), preflight, client.get("/healthz")):
        assert not cors_headers(answer)
        assert answer.headers["vary"] == "Origin"  # or a cache would give this answer to an origin that is allowed
    assert preflight.status_code == 405


def test_an_origin_is_compared_whole(client, driver):
    allow(driver, HOME)
    for origin in (
        HOME + ".evil.example",
        HOME.removesuffix("3"),
        "https://app.example",
        "http://app.example:8443",
        "null",
    ):
        assert not cors_headers(client.get("/healthz", headers={"origin": origin}))


def test_from_anywhere(client, driver):
    allow(driver, "*")
    answer = client.get("/healthz", headers={"origin": FOREIGN})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert client.options(EDITS, headers={"origin": FOREIGN, **PREFLIGHT}).headers["access-control-allow-origin"] == "*"


def test_the_setting_acts_while_the_service_runs(client, driver):
    for origins, allowed in (((HOME,), True), ((FOREIGN,), False), ((), False), ((HOME,), True)):
        allow(driver, *origins)
        assert bool(cors_headers(client.get("/healthz", headers={"origin": HOME}))) is allowed


def clear_picture():
    out = io.BytesIO()
    Image.new("RGBA", (96, 64)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "case", ["success", "file", "converted", "refused", "busy", "unforeseen", "too large", "not found", "head"]
)
def test_every_answer_can_be_read(client, driver, picture, case):
    allow(driver, HOME)
    origin = {"origin": HOME}
    form = {"data": {"prompt": "a lemon"}, "files": {"image": picture}}
    cut_out = form | {"files": {"image": clear_picture()}}
    with_mask = form | {"files": {"image": picture, "mask": picture}}
    errors = {"busy": Overloaded(), "unforeseen": RuntimeError("CANARY")}
    driver.failures += [errors[case]] if case in errors else []
    answer, status = {
        "success": lambda: (client.post(EDITS, headers=origin, **form), 200),
        "file": lambda: (client.post(EDITS, headers={**origin, "accept": "image/png"}, **with_mask), 200),
        "converted": lambda: (client.post(EDITS, headers={**origin, "accept": "image/png"}, **cut_out), 200),
        "refused": lambda: (client.post(EDITS, headers=origin), 415),
        "busy": lambda: (client.post(EDITS, headers=origin, **form), 429),
        "unforeseen": lambda: (client.post(EDITS, headers=origin, **form), 500),
        "too large": lambda: (client.post(EDITS, headers={**origin, "content-length": "999999999"}), 413),
        "not found": lambda: (client.get("/nope", headers=origin), 404),
        "head": lambda: (client.head("/healthz", headers=origin), 200),
    }[case]()
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == HOME
    assert answer.headers["vary"] == "Origin"
    exposed = set(answer.headers["access-control-expose-headers"].split(", "))
    assert exposed == set(CORS_EXPOSED)
    own = {name for name in answer.headers if name.startswith(("x-", "retry-"))}
    assert own <= exposed
    assert ("x-retouch-seed" in own) == (case in ("file", "converted"))
    assert ("x-retouch-converted" in own) == (case == "converted")
    assert ("x-retouch-mask-read" in own) == (case == "file")
    assert ("retry-after-ms" in own) == (case == "busy")


@pytest.mark.parametrize(
    "origin", ["*", "https://app.example", "http://localhost:3000", "http://[::1]:8080", "tauri://localhost"]
)
def test_origins(origin):
    assert DriverSettings.model_validate({"cors_origins": [origin]}).cors_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        *("", "app.example", "https://app.example/", "https://App.example", "https://*.example", "https://a:b", "null"),
        *("https://app.example:443", "http://app.example:80", "https://app.example:123456"),
    ],
)
def test_what_is_no_origin_of_a_page_is_refused(origin):
    with pytest.raises(pydantic.ValidationError, match="scheme"):
        DriverSettings.model_validate({"cors_origins": [origin]})
