"""The OpenAI SDK as it is: what it asks for is answered in the form that it reads."""

from __future__ import annotations

import asyncio
import time

from openai.types import ImagesResponse

from benchmarks.conformance.answers import check_usage, edited
from benchmarks.conformance.rows import Group, NotAsked, check
from benchmarks.conformance.server import Server

ROWS = Group("sdk", "The OpenAI SDK")
HOUR_S = 3600


def _answer(server: Server) -> ImagesResponse:
    """Return the answer to the usual edit, which several rows look at."""
    answer: ImagesResponse = server.reused("sdk", server.edit)
    return answer


@ROWS.row
def sync_edit(server: Server) -> None:
    """The synchronous client gets a picture"""
    edited(_answer(server))


@ROWS.row
def async_edit(server: Server) -> None:
    """The asynchronous client gets a picture"""

    async def ask() -> ImagesResponse:
        async with server.async_sdk() as sdk:
            answer: ImagesResponse = await sdk.images.edit(**server.fields())
            return answer

    edited(asyncio.run(ask()))


@ROWS.row
def created(server: Server) -> None:
    """`created` is the time in seconds"""
    answer = _answer(server)
    check(isinstance(answer.created, int), f"`created` is {answer.created!r}")
    check(abs(answer.created - time.time()) < HOUR_S, f"`created` is {answer.created}, which is not about now")


@ROWS.row
def describes(server: Server) -> None:
    """The answer says which size, output format, quality and background its pictures have"""
    answer = _answer(server)
    for name in ("size", "output_format", "quality", "background"):
        check(isinstance(getattr(answer, name), str), f"`{name}` is {getattr(answer, name)!r}")


@ROWS.row
def usage(server: Server) -> None:
    """`usage` counts tokens, and they add up"""
    found = _answer(server).usage
    check_usage(None if found is None else found.model_dump())


@ROWS.row
def request_id(server: Server) -> None:
    """Each answer has an x-request-id of its own"""
    with_id = [server.sdk.models.with_raw_response.list().headers.get("x-request-id") for _ in range(2)]
    check(_answer(server)._request_id, "the SDK finds no `_request_id` in the answer")
    check(all(with_id), "there is no header x-request-id")
    check(len(set(with_id)) == len(with_id), "two answers have the same x-request-id")


@ROWS.row
def two_pictures(server: Server) -> None:
    """`n=2` gives two pictures"""
    edited(server.edit(n=2), n=2)


@ROWS.row
def lists_models(server: Server) -> None:
    """The list of models has each model once, and each can be retrieved"""
    models = [model.id for model in server.sdk.models.list()]
    check(models, "the list of models is empty")
    check(len(models) == len(set(models)), f"the list {models} has a model twice")
    check(server.model in (None, *models), f"the list {models} lacks {server.model!r}")
    found = server.sdk.models.retrieve(server.model or models[0])
    check(found.id == (server.model or models[0]), f"{found.id!r} was retrieved instead")


@ROWS.row
def listed_models_edit(server: Server) -> None:
    """A model that the list has is accepted by name"""
    if server.model is None and len(models := [model.id for model in server.sdk.models.list()]) > 1:
        raise NotAsked(f"say which of {len(models)} models edits, by --model")
    edited(server.edit(model=server.model or models[0]))
