"""CORS: whether web pages of other origins may call the service. They may not, unless the settings name them."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST")
# What a page may read of an answer besides the body and its type.
EXPOSED = (
    "x-request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-retouch-point",
    "x-retouch-candidate",
    "x-retouch-improved",
    "x-retouch-seed",
    "x-retouch-score",
    "x-retouch-converted",
    "x-retouch-mask-read",
)


class Cors:
    """Lets pages of the origins `origins_of()` call the service and read every answer, failures too.

    The origins are those of the moment, as settings change while the service runs. Where there are none, nothing is
    added to any answer. Credentials of the browser, such as cookies, are never asked for.
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
            self.app, allow_origins=origins, allow_methods=METHODS, allow_headers=("*",), expose_headers=EXPOSED
        )


def _known(scope: Scope, origins: tuple[str, ...]) -> Scope:
    """Return `scope` without its Origin if that is not allowed: it is answered like a request that has none."""
    origin = Headers(scope=scope).get("origin")
    if origin is None or origin in origins or "*" in origins:
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name.lower() != b"origin"]}
