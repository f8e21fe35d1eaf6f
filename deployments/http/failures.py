"""How failures are answered: `{"error": {"message", "type", "param", "code"}}`, which the OpenAI SDK can read.

Callers get only messages that were written for them. An unforeseen error is logged under the request's id, and the
answer does not mention its cause.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.errors import (
    ContentFiltered,
    InvalidInput,
    KeyReused,
    NotReady,
    Overloaded,
    ServiceError,
    TargetNotFound,
)
from deployments.http import answers
from deployments.http.schemas import LocateAnswer
from deployments.messages import Readiness

OffLoop = Callable[..., Awaitable[Any]]  # calls a function outside the event loop
logger = logging.getLogger(__name__)


class ModerationDetails(BaseModel):
    """What the safety checker objects to: at which stage, and in which of its categories, if it knows any."""

    moderation_stage: Literal["input", "output", "unknown"]
    categories: list[str]


class Failure(BaseModel):
    """What went wrong. `param` names the request's field that is at fault.

    Only where the safety checker holds back every picture, there are `moderation_details`.
    """

    message: str
    type: str
    param: str | None
    code: str
    moderation_details: ModerationDetails | None = Field(None, exclude_if=lambda details: details is None)


class FailureAnswer(BaseModel):
    """The body of every answer that is not a success. It has the best guess where a target was not found."""

    error: Failure
    location: LocateAnswer | None = Field(None, exclude_if=lambda location: location is None)


class ErrorEvent(FailureAnswer):
    """The event that ends a stream which has failed. It says what the body of such an answer says."""

    type: Literal["error"] = "error"


def failure(error: ServiceError, location: LocateAnswer | None = None) -> Response:
    """Return the answer that states `error`, with the `location` of the best guess where there is one."""
    body = FailureAnswer(error=_stated(error), location=location).model_dump_json()
    return Response(body, error.status, _retry_headers(error), "application/json")


def error_event(error: ServiceError, location: LocateAnswer | None = None) -> ErrorEvent:
    """Return the event that states `error`, as `failure` does in an answer of its own."""
    return ErrorEvent(error=_stated(error), location=location)


def _stated(error: ServiceError) -> Failure:
    details = ModerationDetails(**error.details) if isinstance(error, ContentFiltered) else None
    return Failure(
        message=error.message, type=error.type, param=error.param, code=error.code, moderation_details=details
    )


def unforeseen() -> Response:
    """Return the answer to a request that met an error of ours. Clients may try again, so no header forbids it."""
    return _framework_failure(500, "Something went wrong on our side.", "server_error", ServiceError.code)


def not_ready(stages: Mapping[str, Readiness]) -> Response:
    """Return the answer of a service of which some stages cannot work. Probes, which read it, ask again."""
    error = NotReady(" ".join(_not_ready(name, stage) for name, stage in stages.items() if not stage.ready))
    ready = {name: stage.ready for name, stage in stages.items()}
    body = {"error": _stated(error).model_dump(), "status": "not ready", "stages": ready}
    return JSONResponse(body, status_code=error.status)


def _not_ready(name: str, stage: Readiness) -> str:
    if stage.setting is None:
        return f"Not ready: {name}."
    return f"Not ready: {name} cannot start; see its setting {stage.setting}."


async def explained(exc: Exception, request_id: str, off_loop: OffLoop) -> tuple[ServiceError, LocateAnswer | None]:
    """Return the error that callers are told of, with the best guess where a target was not found.

    A failure of ours is logged under the request's id. Pictures are encoded `off_loop`.
    """
    # An error of another process arrives as one of Ray's, whose text is a traceback; its `cause` is our own error.
    error = getattr(exc, "cause", exc)
    if isinstance(error, TargetNotFound):
        return error, await off_loop(answers.locate_answer, error.location, error.size)
    if not isinstance(error, ServiceError):
        error = ServiceError("Something went wrong on our side.")
    if error.status >= 500:
        logger.error("request %s: %s", request_id, error.code, exc_info=exc)
    return error, None


def install(app: FastAPI, off_loop: OffLoop) -> None:
    """Make `app` answer every failure this way, those of the framework too. Pictures are encoded `off_loop`."""

    async def on_service_error(request: Request, exc: Exception) -> Response:
        return await answer_to(exc, request.headers.get("x-request-id", "-"), off_loop)

    app.add_exception_handler(ServiceError, on_service_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


async def answer_to(exc: Exception, request_id: str, off_loop: OffLoop) -> Response:
    """Return the answer that states an error, of whatever kind, and log what the answer does not say."""
    if not isinstance(exc, ServiceError):
        logger.error("request %s met an unforeseen error", request_id, exc_info=exc)
        return unforeseen()
    return failure(*await explained(exc, request_id, off_loop))


async def _on_http_exception(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    status = HTTPStatus(exc.status_code)
    kind = "invalid_request_error" if status < 500 else "server_error"
    answer = _framework_failure(status, f"{status.phrase}.", kind, status.name.lower())
    answer.headers.update(exc.headers or {})  # such as Allow
    return answer


async def _on_validation_error(request: Request, exc: Exception) -> Response:
    return failure(InvalidInput("The request has a value that is not accepted."))


def _framework_failure(status: int, message: str, kind: str, code: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": code}}, status_code=status)


def _retry_headers(error: ServiceError) -> dict[str, str]:
    if isinstance(error, Overloaded):
        wait_s = max(error.retry_after_s, 0.001)
        return {"retry-after": str(math.ceil(wait_s)), "retry-after-ms": str(math.ceil(1000 * wait_s))}
    if error.status >= 500:
        # The OpenAI SDK would send it twice more. The driver has already tried again where that can help, and a
        # request that ran out of time under load makes the load worse.
        return {"x-should-retry": "false"}
    return {"x-should-retry": "false"} if isinstance(error, KeyReused) else {}
