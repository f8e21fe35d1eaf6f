"""The HTTP face of the service: `build_api` makes an ASGI app around anything that can edit, locate and score.

The OpenAI SDK calls the route of edits; `fields.py` says what that accepts. Picture files are read and written in
threads, off the event loop. Nothing here catches a cancellation: when Serve cancels a request, as it does when the
client disconnects, the request ends where it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.config import DriverSettings
from deployments.driver.rules import check_pixels
from deployments.http import answers, events, failures, schemas, site
from deployments.http.answers import Sent
from deployments.http.bodies import most_bytes, read_body
from deployments.http.documents import DocumentedApi
from deployments.http.fields import EDIT_FORM, LOCATE_FORM, SCORE_FORM, EditFields
from deployments.http.forms import Form
from deployments.http.idempotency import Idempotency
from deployments.http.middleware import BodyLimit, Cors, Head, Net, RequestIds, request_id_of
from deployments.http.parsing import parse
from deployments.http.requests import (
    as_file,
    check_model,
    check_size,
    edit_request,
    locate_request,
    named_as_sent,
    pointed_at,
    score_request,
)
from deployments.http.statuses import Responses, failures_of
from deployments.http.streaming import streamed
from deployments.ledger.ledger import Ledger
from deployments.ledger.remote import Records
from deployments.limits import Limits
from deployments.messages import EditRequest, EditResult, LocateRequest, Location, News, Readiness, ScoreRequest
from deployments.pixels.files import FORMATS, Format, decode, decode_markup, decode_mask
from deployments.pixels.markup import ReadMarkup
from deployments.pixels.mask_files import MaskMode, ReadMask

_P = ParamSpec("_P")
_T = TypeVar("_T")
logger = logging.getLogger(__name__)


class Editor(Protocol):
    """What does the work, such as the driver. It raises `ServiceError`s; any other error is answered as a bare 500."""

    @property
    def settings(self) -> DriverSettings: ...

    async def edit(self, request: EditRequest) -> EditResult: ...

    def edit_stream(self, request: EditRequest, partial_images: int = 0) -> AsyncGenerator[News | EditResult, None]: ...

    async def locate(self, request: LocateRequest) -> Location: ...

    async def score(self, request: ScoreRequest) -> float: ...

    async def ready(self) -> dict[str, Readiness]:
        """Say of each stage whether it would answer now."""
        ...


def build_api(driver: Editor, limits_of: Callable[[], Limits] | None = None, ledger: Records | None = None) -> FastAPI:
    """Return the app. `limits_of` returns the limits that are in force now; without it they are the driver's own.

    The apps that share a `ledger` answer requests that are sent again to any of them; without one, each has its own.
    """
    limits_now = limits_of or (lambda: driver.settings.limits)
    middleware = [
        Middleware(RequestIds),
        Middleware(site.SlashAfterPrefix),
        Middleware(Cors, origins_of=lambda: driver.settings.cors_origins),
        Middleware(Head),
        Middleware(Net),
        Middleware(BodyLimit, limit_of=lambda content_type: most_bytes(limits_now(), content_type)),
    ]
    routes = _Routes(driver, limits_now, ledger or Ledger())
    app = DocumentedApi(limits_now, middleware, routes.idempotency.drained)
    failures.install(app, routes.off_loop)
    _add_routes(app, routes)
    return app


def _add_routes(app: FastAPI, routes: _Routes) -> None:
    def add(
        path: str,
        endpoint: Callable[..., Any],
        answer: type | None = None,
        method: str = "GET",
        files: tuple[Format, ...] = (),
    ) -> None:
        content = {f"image/{name}": {"schema": {"type": "string", "format": "binary"}} for name in files}
        if files:
            content["text/event-stream"] = {"schema": {"description": events.ABOUT}}
        success: Responses = {200: {"model": answer, "content": content}} if answer else {}
        app.add_api_route(path, endpoint, methods=[method], response_model=None, responses=success | failures_of(path))

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

    def __init__(self, driver: Editor, limits_of: Callable[[], Limits], ledger: Records) -> None:
        self._driver = driver
        self._limits_of = limits_of
        self.idempotency = Idempotency(ledger, partial(failures.answer_to, off_loop=self.off_loop))
        # An opened picture takes hundreds of times its file's size: few at once, however many requests wait.
        self._codec_turns = asyncio.Semaphore(min(4, os.cpu_count() or 1))

    async def edit_image(self, request: Request) -> Response:
        """Find what `target` names in the picture, or what is pointed at, and repaint it as `prompt`.

        The answer is JSON, or the best picture itself where `Accept` asks for image/png, image/jpeg or image/webp. With
        `stream` it is a stream of events, which begins when the painting does.
        """
        form = await read_body(request, self._limits_of(), self.off_loop)
        return await self.idempotency.answer(request, form, partial(self._edit, request, form))

    async def _edit(self, request: Request, form: Form) -> Response:
        limits = self._limits_of()
        fields = parse(EDIT_FORM, form, limits)
        check_model(fields.model, self._driver.settings)
        file_fields = as_file(request.headers.get("accept", ""), fields)
        fields = file_fields or fields
        asked = edit_request(fields, form, self._settings())
        picture = await self.off_loop(decode, form.image(), limits, form.place_of("image"))
        mask = await self._mask(form, fields.mask_mode, limits)
        markup = await self._markup(form, limits)
        check_size(fields, picture.pixels)
        asked = replace(asked, image=picture.pixels, mask=None if mask is None else mask.marked)
        asked = asked if markup is None else pointed_at(asked, markup, form.place_of("markup"))
        asked = check_pixels(asked, limits)
        request_id = request_id_of(request.scope)
        sent = Sent(fields, picture.converted, mask, markup)
        if fields.stream:
            edit = self._watched(asked, fields, request_id)
            return await streamed(edit, sent, request_id, self.off_loop)
        with named_as_sent(fields):
            result = await self._driver.edit(asked)
        _log(asked, fields, request_id)
        if file_fields is None:
            return _json(await self.off_loop(answers.edit_json, result, sent))
        edited, headers = await self.off_loop(answers.edit_file, result, sent)
        return Response(edited, media_type=f"image/{fields.output_format}", headers=headers)

    async def _watched(
        self, asked: EditRequest, fields: EditFields, request_id: str
    ) -> AsyncGenerator[News | EditResult, None]:
        """Yield what the driver's `edit_stream` yields."""
        with named_as_sent(fields):
            async with aclosing(self._driver.edit_stream(asked, fields.partial_images)) as edit:
                async for item in edit:
                    if isinstance(item, EditResult):
                        _log(asked, fields, request_id)
                    yield item

    async def locate(self, request: Request) -> Response:
        """Say where in the picture `target` is, or what is pointed at, without painting."""
        limits = self._limits_of()
        form = await read_body(request, limits, self.off_loop)
        fields = parse(LOCATE_FORM, form, limits)
        asked = locate_request(fields, form, self._settings())
        image = (await self.off_loop(decode, form.image(), limits, form.place_of("image"))).pixels
        markup = await self._markup(form, limits)
        asked = replace(asked, image=image)
        asked = asked if markup is None else pointed_at(asked, markup, form.place_of("markup"))
        asked = check_pixels(asked, limits)
        location = await self._driver.locate(asked)
        answer = await self.off_loop(answers.locate_answer, location, _size(image))
        return _json(answer.model_dump_json().encode())

    async def score(self, request: Request) -> Response:
        """Say how well `text` describes the picture."""
        limits = self._limits_of()
        form = await read_body(request, limits, self.off_loop)
        fields = parse(SCORE_FORM, form, limits)
        asked = score_request(fields, self._settings())
        image = (await self.off_loop(decode, form.image(), limits, form.place_of("image"))).pixels
        score = await self._driver.score(replace(asked, image=image))
        return _json(schemas.ScoreAnswer(score=score).model_dump_json().encode())

    async def models(self) -> Response:
        """List the one model."""
        return _json(schemas.ModelsAnswer().model_dump_json().encode())

    async def model(self, model: str) -> Response:
        """Describe the one model, under whichever of its names it is asked for."""
        check_model(model, self._driver.settings)
        return _json(schemas.ModelAnswer(id=model).model_dump_json().encode())

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
        data = form.file("mask")
        return None if data is None else await self.off_loop(decode_mask, data, limits, mode, form.place_of("mask"))

    async def _markup(self, form: Form, limits: Limits) -> ReadMarkup | None:
        data = form.file("markup")
        return None if data is None else await self.off_loop(decode_markup, data, limits, form.place_of("markup"))

    async def off_loop(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what `work` returns; it runs in a thread, when there is a turn for it."""
        async with self._codec_turns:
            return await asyncio.to_thread(work, *args, **kwargs)


def _log(asked: EditRequest, fields: EditFields, request_id: str) -> None:
    # %r, because the tag is the client's and may hold line breaks.
    logger.info("request %s edited %d picture(s) for %r", request_id, asked.n, fields.identifier)


def _size(image: np.ndarray) -> tuple[int, int]:
    """Return the width and the height of a picture, HxWx3, in pixels."""
    return image.shape[1], image.shape[0]


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
