"""The failures that each route can answer with, for the OpenAPI document.

Methods that a route does not have are answered with 405, which the document cannot state of an operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from deployments.errors import ContentFiltered, NotReady, ServiceError
from deployments.http.failures import FailureAnswer

Responses = dict[int | str, dict[str, Any]]

# Ray Serve answers these in the service's place, as a text: where its own time is up, its queue is full, or no replica
# runs.
BY_RAY_SERVE = (408, 429, 503)
# The limit of a body stands before every route, and so does what nobody foresaw.
EVERYWHERE = (*BY_RAY_SERVE, 413, 500)
# What every route answers that reads a picture and asks the models.
PICTURES = (*EVERYWHERE, 400, 415, 504)
BY_ROUTE: dict[str, tuple[int, ...]] = {
    "/v1/images/edits": (*PICTURES, 404, 422),
    "/v1/locate": (*PICTURES, 422),
    "/v1/score": PICTURES,
    "/v1/models/{model}": (*EVERYWHERE, 404),
}
# Failures that share their status with others, and that only these routes have.
ONLY: dict[type[ServiceError], str] = {ContentFiltered: "/v1/images/edits", NotReady: "/readyz"}


def failures_of(route: str) -> Responses:
    """Return the failures of a route by their status, each with its codes and its body."""
    errors = [error for error in _errors(ServiceError) if ONLY.get(error, route) == route]
    return {
        status: _response(status, [error for error in errors if error.status == status])
        for status in sorted(BY_ROUTE.get(route, EVERYWHERE))
    }


def _response(status: int, errors: list[type[ServiceError]]) -> dict[str, Any]:
    codes = " or ".join(sorted({f"`{error.code}`" for error in errors}))
    body: dict[str, Any] = {"model": FailureAnswer} if errors else {}
    sentences = [f"{HTTPStatus(status).phrase}."]
    if body:
        sentences.append(f"The code is {codes}.")
    if status in BY_RAY_SERVE:
        body["content"] = {"text/plain": {"schema": {"type": "string"}}}
        sentences.append("Ray Serve itself answers in plain text.")
    return body | {"description": " ".join(sentences)}


def _errors(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield error
    for narrower in error.__subclasses__():
        yield from _errors(narrower)
