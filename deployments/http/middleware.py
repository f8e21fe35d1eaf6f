"""What surrounds every request: its id, the limit of its body, CORS, HEAD and unforeseen errors. It is plain ASGI."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.errors import ImageTooLarge
from deployments.http.failures import failure, unforeseen

REQUEST_ID = "x-request-id"
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

CORS_METHODS = ("GET", "HEAD", "POST")
# What a page may read of an answer besides the body and its type.
CORS_EXPOSED = (
    "x-request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-retouch-point",
    "x-retouch-candidate",
    "x-retouch-fill-method",
    "x-retouch-improved",
    "x-retouch-seed",
    "x-retouch-score",
    "x-retouch-converted",
    "x-retouch-mask-read",
    "x-retouch-markup-read",
    "x-retouch-replayed",
)

logger = logging.getLogger(__name__)


class RequestIds:
    """Gives each request an id that is safe to log and to send back, and puts it on the answer.

    An id that the client sent is kept where it is a safe one. The request's own header is replaced too, so that Serve,
    which stands between, logs the same id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = MutableHeaders(raw=list(scope["headers"]))
        sent = headers.get(REQUEST_ID, "")
        request_id = sent if _SAFE_ID.fullmatch(sent) else uuid.uuid4().hex
        headers[REQUEST_ID] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        await self.app({**scope, "headers": headers.raw}, receive, send_with_id)


class Net:
    """Catches unforeseen errors: they are logged in full, and the answer says nothing about their cause."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except ClientDisconnect:
            pass  # it went while we were reading: nobody is left to answer
        except Exception:
            if started:
                raise  # too late for an answer: the server cuts the connection, which the client notices
            logger.exception("request %s met an unforeseen error", request_id_of(scope))
            await unforeseen()(scope, receive, send)


class BodyLimit:
    """Refuses a body of more bytes than `limit_of` says for its content type.

    It is refused unread where its header has the length, else while it is read.
    """

    def __init__(self, app: ASGIApp, limit_of: Callable[[str], int]) -> None:
        self.app = app
        self.limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limit_of(Headers(scope=scope).get("content-type", ""))
        refusal = ImageTooLarge(f"The request is too large: at most {limit:,} bytes are accepted.", "image")
        if _declared_length(scope) > limit:
            await failure(refusal)(scope, receive, send)
            return
        read = 0

        async def counted_receive() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise refusal
            return message

        await self.app(scope, counted_receive, send)


def request_id_of(scope: Scope) -> str:
    """Return the id that `RequestIds` gave this request."""
    return Headers(scope=scope).get(REQUEST_ID, "-")


def _declared_length(scope: Scope) -> float:
    """Return Content-Length in bytes, 0 without one. It is a float because no number has too many digits for that."""
    declared = Headers(scope=scope).get("content-length", "")
    return float(declared) if declared.isascii() and declared.isdigit() else 0


class Head:
    """Answers HEAD with the status and the headers of GET and no body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


class Cors:
    """Lets web pages of the origins `origins_of()` call the service and read every answer, failures too.

    The origins are asked for at each request, because settings change while the service runs. Where there are none,
    nothing is added to any answer. Credentials of the browser, such as cookies, are never asked for.
    """

    def __init__(self, app: ASGIApp, origins_of: Callable[[], tuple[str, ...]]) -> None:
        self.app = app
        self.origins_of = origins_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origins = self.origins_of()
        if scope["type"] != "http" or not origins:
            await self.app(scope, receive, send)
            return
        await self._policy(origins)(_known(scope, origins), receive, send)

    def _policy(self, origins: tuple[str, ...]) -> CORSMiddleware:
        return CORSMiddleware(
            self.app,
            allow_origins=origins,
            allow_methods=CORS_METHODS,
            allow_headers=("*",),
            expose_headers=CORS_EXPOSED,
        )


def _known(scope: Scope, origins: tuple[str, ...]) -> Scope:
    """Return `scope` without its Origin if that is not allowed: it is answered like a request that has none."""
    origin = Headers(scope=scope).get("origin")
    if origin is None or origin in origins or "*" in origins:
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name.lower() != b"origin"]}
