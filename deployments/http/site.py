"""The page for people: `/` for whoever asks for HTML, its files under `/page/`, and the documentation at `/docs`.

The files lie in `page/` as they are sent: there is no build step. They refer to each other by relative addresses, so
that the page works under any prefix. Nothing in them asks another host for anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.http.accept import preferences

# Fixed, because what a machine's own tables say of an ending differs, and a browser runs no script of another type.
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class _File:
    data: bytes
    media_type: str
    etag: str


def page(request: Request) -> Response:
    """Return the page at `/`."""
    return _answer("index.html", request, {"vary": "Accept"})


def documentation(request: Request) -> Response:
    """Return the documentation of the API, which the browser makes of /openapi.json."""
    return _answer("docs.html", request, {})


def page_file(request: Request, name: str) -> Response:
    """Return one of the files that the page is made of."""
    return _answer(name, request, {})


def asks_for_page(accept: str) -> bool:
    """Return whether a header `Accept` asks for HTML, and not rather for JSON. Browsers do; curl and clients do not."""
    weights = dict(preferences(accept))
    html = weights.get("text/html", 0.0)
    return html > 0 and html >= weights.get("application/json", 0.0)


class SlashAfterPrefix:
    """Sends whoever asks for the prefix of the service, without a slash at its end, to the page below it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = scope.get("root_path", "")
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and prefix and scope["path"] == prefix:
            # Relative, because the host in a request is the client's word.
            await RedirectResponse(f"{prefix.rsplit('/', 1)[-1]}/")(scope, receive, send)
            return
        await self.app(scope, receive, send)


@cache
def _files() -> Mapping[str, _File]:
    folder = files("deployments.http").joinpath("page")
    return {item.name: _read(item.name, item.read_bytes()) for item in folder.iterdir() if _ending(item.name) in TYPES}


def _read(name: str, data: bytes) -> _File:
    return _File(data, TYPES[_ending(name)], f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def _ending(name: str) -> str:
    return name.rpartition(".")[2]


def _answer(name: str, request: Request, headers: dict[str, str]) -> Response:
    file = _files().get(name)
    if file is None:
        raise HTTPException(404)
    headers |= {"etag": file.etag, "cache-control": "no-cache", "x-content-type-options": "nosniff"}
    if _ending(name) == "html":
        headers |= {"content-security-policy": POLICY, "referrer-policy": "no-referrer"}
    if file.etag in (tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=None, headers=headers | {"content-type": file.media_type})
