"""The HTTP face of the service: `build_api` makes an ASGI app around anything that can edit, locate and score.

The OpenAI SDK calls the route of edits; `fields.py` says what that accepts. Picture files are read and written in
threads, off the event loop. Nothing here catches a cancellation: when Serve cancels a request, as it does when the
client disconnects, the request ends where it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.config import DriverSettings
from deployments.driver.rules import check_pixels
from deployments.http import answers, failures, schemas, site
from deployments.http.fields import EDIT_FORM, LOCATE_FORM, SCORE_FORM, Fields
from deployments.http.forms import Form, most_bytes, read_form
from deployments.http.middleware import BodyLimit, Cors, Head, Net, RequestIds, request_id_of
from deployments.http.parsing import parse, schema_of
from deployments.http.requests import (
    as_file,
    check_model,
    check_size,
    edit_request,
    locate_request,
    named_as_sent,
    score_request,
)
from deployments.limits import Limits
from deployments.messages import EditRequest, EditResult, LocateRequest, Location, Readiness, ScoreRequest
from deployments.pixels.files import FORMATS, Format, decode, decode_mask
from deployments.pixels.mask_files import MaskMode, ReadMask

FORMS: dict[str, type[Fields]] = {
    "/v1/images/edits": EDIT_FORM,
    "/v1/locate": LOCATE_FORM,
    "/v1/score": SCORE_FORM,
}

_P = ParamSpec("_P")
_T = TypeVar("_T")
logger = logging.getLogger(__name__)


class Editor(Protocol):
    """What does the work, such as the driver. It raises `ServiceError`s; any other error is answered as a bare 500."""

    @property
    def settings(self) -> DriverSettings: ...

    async def edit(self, request: EditRequest) -> EditResult: ...

    async def locate(self, request: LocateRequest) -> Location: ...

    async def score(self, request: ScoreRequest) -> float: ...

    async def ready(self) -> dict[str, Readiness]:
        """Say of each stage whether it would answer now."""
        ...


def build_api(driver: Editor, limits_of: Callable[[], Limits] | None = None) -> FastAPI:
    """Return the app. `limits_of` returns the limits that are in force now; without it they are the driver's own."""
    limits_now = limits_of or (lambda: driver.settings.limits)
    middleware = [
        Middleware(RequestIds),
        Middleware(site.SlashAfterPrefix),
        Middleware(Cors, origins_of=lambda: driver.settings.cors_origins),
        Middleware(Head),
        Middleware(Net),
        Middleware(BodyLimit, limit_of=lambda: most_bytes(limits_now())),
    ]
    app = _Api(limits_now, middleware)
    routes = _Routes(driver, limits_now)
    failures.install(app, routes.off_loop)
    _add_routes(app, routes)
    return app


class _Api(FastAPI):
    """A FastAPI app whose OpenAPI document says what the multipart routes accept at the moment."""

    def __init__(self, limits_of: Callable[[], Limits], middleware: list[Middleware]) -> None:
        super().__init__(
            title="Retouch",
            summary="Edits a picture by words.",
            middleware=middleware,
            docs_url=None,  # FastAPI's own loads scripts of another host; `site` has ours
            redoc_url=None,
            # A redirect of a POST to another path comes as a surprise, and its address is the client's Host header.
            redirect_slashes=False,
        )
        self._limits_of = limits_of

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for path, fields in FORMS.items():
            document["paths"][path]["post"]["requestBody"] = _body_schema(fields, self._limits_of())
        return document


def _body_schema(fields: type[Fields], limits: Limits) -> dict[str, Any]:
    schema = schema_of(fields, limits)
    schema = schema | {
        "properties": fields.FILES | schema["properties"],
        "required": ["image", *schema.get("required", [])],
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _add_routes(app: FastAPI, routes: _Routes) -> None:
    failure: dict[int | str, dict[str, Any]] = {
        "4XX": {"model": failures.FailureAnswer, "description": "The request is at fault."},
        "5XX": {"model": failures.FailureAnswer, "description": "The service is at fault."},
    }

    def add(
        path: str,
        endpoint: Callable[..., Any],
        answer: type | None = None,
        method: str = "GET",
        files: tuple[Format, ...] = (),
    ) -> None:
        content = {f"image/{name}": {"schema": {"type": "string", "format": "binary"}} for name in files}
        success: dict[int | str, dict[str, Any]] = {200: {"model": answer, "content": content}} if answer else {}
        app.add_api_route(path, endpoint, methods=[method], response_model=None, responses=success | failure)

    add("/v1/images/edits", routes.edit_image, schemas.EditAnswer, "POST", FORMATS)
    add("/v1/locate", routes.locate, schemas.LocateAnswer, "POST")
    add("/v1/score", routes.score, schemas.ScoreAnswer, "POST")
    add("/v1/models", routes.models, schemas.ModelsAnswer)
    add("/v1/models/{model}", routes.model, schemas.ModelAnswer)
    add("/healthz", routes.healthz)
    add("/readyz", routes.readyz)
    add("/", routes.index)
    app.add_api_route("/docs", site.documentation, response_model=None, include_in_schema=False)
    app.add_api_route("/page/{name}", site.page_file, response_model=None, include_in_schema=False)


class _Routes:
    """The functions that answer the routes."""

    def __init__(self, driver: Editor, limits_of: Callable[[], Limits]) -> None:
        self._driver = driver
        self._limits_of = limits_of
        # An opened picture takes hundreds of times its file's size: few at once, however many requests wait.
        self._codec_turns = asyncio.Semaphore(min(4, os.cpu_count() or 1))

    async def edit_image(self, request: Request) -> Response:
        """Find what `target` names in the picture, or what is pointed at, and repaint it as `prompt`.

        The answer is JSON, or the best picture itself where `Accept` asks for image/png, image/jpeg or image/webp.
        """
        limits = self._limits_of()
        form = await read_form(request, limits)
        fields = parse(EDIT_FORM, form, limits)
        check_model(fields.model)
        file_fields = as_file(request.headers.get("accept", ""), fields)
        fields = file_fields or fields
        asked = edit_request(fields, form.mask() is not None, self._settings())
        picture = await self.off_loop(decode, form.image(), limits)
        mask = await self._mask(form, fields.mask_mode, limits)
        check_size(fields, picture.pixels)
        asked = replace(asked, image=picture.pixels, mask=None if mask is None else mask.marked)
        asked = check_pixels(asked, limits)
        with named_as_sent(fields):
            result = await self._driver.edit(asked)
        # %r, because the tag is the client's and may hold line breaks.
        logger.info("request %s edited %d picture(s) for user %r", request_id_of(request.scope), asked.n, fields.user)
        if file_fields is None:
            return _json(await self.off_loop(answers.edit_json, result, fields, picture.converted, mask))
        edited, headers = await self.off_loop(answers.edit_file, result, fields, picture.converted, mask)
        return Response(edited, media_type=f"image/{fields.output_format}", headers=headers)

    async def locate(self, request: Request) -> Response:
        """Say where in the picture `target` is, or what is pointed at, without painting."""
        limits = self._limits_of()
        form = await read_form(request, limits)
        fields = parse(LOCATE_FORM, form, limits)
        asked = locate_request(fields, self._settings())
        image = (await self.off_loop(decode, form.image(), limits)).pixels
        asked = check_pixels(replace(asked, image=image), limits)
        location = await self._driver.locate(asked)
        answer = await self.off_loop(answers.locate_answer, location, _size(image))
        return _json(answer.model_dump_json().encode())

    async def score(self, request: Request) -> Response:
        """Say how well `text` describes the picture."""
        limits = self._limits_of()
        form = await read_form(request, limits)
        fields = parse(SCORE_FORM, form, limits)
        asked = score_request(fields, self._settings())
        image = (await self.off_loop(decode, form.image(), limits)).pixels
        score = await self._driver.score(replace(asked, image=image))
        return _json(schemas.ScoreAnswer(score=score).model_dump_json().encode())

    async def models(self) -> Response:
        """List the one model."""
        return _json(schemas.ModelsAnswer().model_dump_json().encode())

    async def model(self, model: str) -> Response:
        """Describe the one model."""
        check_model(model)
        return _json(schemas.ModelAnswer().model_dump_json().encode())

    async def healthz(self) -> Response:
        """Answer as long as this process can answer at all."""
        return JSONResponse({"status": "ok"})

    async def readyz(self) -> Response:
        """Say of each stage whether it would answer now, without waking one that is scaled to zero."""
        stages = await self._driver.ready()
        if not all(stage.ready for stage in stages.values()):
            return failures.not_ready(stages)
        return JSONResponse({"status": "ready", "stages": dict.fromkeys(stages, True)})

    async def index(self, request: Request) -> Response:
        """Name the routes, and the limits that are in force. Whoever accepts text/html gets the page for people."""
        if site.asks_for_page(request.headers.get("accept", "")):
            return site.page(request)
        routes = {
            "edit": "POST /v1/images/edits",
            "locate": "POST /v1/locate",
            "score": "POST /v1/score",
            "models": "GET /v1/models",
            "health": "GET /healthz",
            "readiness": "GET /readyz",
            "documentation": "GET /docs",
        }
        index = {"name": "retouch", "routes": routes, "limits": self._limits_of().model_dump()}
        return JSONResponse(index, headers={"vary": "Accept"})

    def _settings(self) -> DriverSettings:
        """Return the driver's settings with the limits that are in force here."""
        return self._driver.settings.model_copy(update={"limits": self._limits_of()})

    async def _mask(self, form: Form, mode: MaskMode, limits: Limits) -> ReadMask | None:
        data = form.mask()
        return None if data is None else await self.off_loop(decode_mask, data, limits, mode)

    async def off_loop(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what `work` returns; it runs in a thread, when there is a turn for it."""
        async with self._codec_turns:
            return await asyncio.to_thread(work, *args, **kwargs)


def _size(image: np.ndarray) -> tuple[int, int]:
    """Return the width and the height of a picture, HxWx3, in pixels."""
    return image.shape[1], image.shape[0]


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
