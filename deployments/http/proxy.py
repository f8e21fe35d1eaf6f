"""The middleware that runs in Ray Serve's proxy, before Serve's own handling of a request.

Serve lets a client's headers override the operator's policy: they can switch off the time limit, keep work running
after a disconnect and steer the routing. This middleware removes them. Serve loads it where the environment says so:

    RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=deployments.http.proxy:middleware
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.http.middleware import RequestIds

OVERRIDES = {
    b"x-request-timeout-seconds",
    b"x-request-disconnect-disabled",
    b"serve_multiplexed_model_id",
    b"x-session-id",
}


class StripOverrides:
    """Passes a request on without the headers that would override Serve's policy."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kept = [(name, value) for name, value in scope["headers"] if name.lower() not in OVERRIDES]
            scope = {**scope, "headers": kept}
        await self.app(scope, receive, send)


def middleware() -> list[Middleware]:
    """Return the middleware for Serve's proxy, the outermost first."""
    return [Middleware(RequestIds), Middleware(StripOverrides)]
