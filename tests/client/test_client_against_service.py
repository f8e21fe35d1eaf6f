"""The client and the real HTTP face of the service in one process: what one sends is what the other reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from retouch import APIStatusError, AsyncRetouch, Score, TargetNotFound, UnprocessableEntityError

np = pytest.importorskip("numpy")
pytest.importorskip("fastapi")

from deployments import errors, messages  # noqa: E402
from deployments.config import DriverSettings  # noqa: E402
from deployments.http.api import build_api  # noqa: E402

T = TypeVar("T")


class Painter:
    """A driver that finds everything but a pear and paints with one colour."""

    def __init__(self) -> None:
        self.settings = DriverSettings()
        self.requests: list[Any] = []
        self.healthy = True

    async def edit(self, request: messages.EditRequest) -> messages.EditResult:
        self.requests.append(request)
        location = await self.locate(messages.LocateRequest(request.image, request.target or request.prompt))
        if not location.found:
            raise errors.TargetNotFound(location.target, location.point_xy, location.confidence)
        score = messages.Score(0.2, 0.3, 0.1, 0.4)
        painted = np.full_like(request.image, 200)
        first = 7 if request.seed is None else request.seed
        return messages.EditResult(
            edits=tuple(messages.Edit(painted, first + k, score) for k in range(request.n)),
            location=location,
            mask=np.indices(request.image.shape[:2])[1] < 10,
            num_inference_steps=request.num_inference_steps or 20,
            guidance_scale=7.5 if request.guidance_scale is None else request.guidance_scale,
            changed_outside_px=0,
            timings_s={"locate": 0.25},
        )

    async def locate(self, request: messages.LocateRequest) -> messages.Location:
        is_found = request.target != "a pear"
        heat = np.eye(2, 3, dtype=np.float32)
        return messages.Location(request.target, (20, 10), 0.8 if is_found else 0.1, is_found, heat)

    async def score(self, request: messages.ScoreRequest) -> float:
        return 0.25

    async def ready(self) -> dict[str, bool]:
        return {"clip": self.healthy}


@pytest.fixture
def painter() -> Painter:
    return Painter()


def ask(painter: Painter, call: Callable[[AsyncRetouch], Awaitable[T]]) -> T:
    async def asked() -> T:
        transport = httpx.ASGITransport(build_api(painter))
        async with AsyncRetouch(transport=transport, max_retries=0) as client:
            return await call(client)

    return asyncio.run(asked())


def test_an_edit_arrives_as_it_was_asked_for(painter: Painter, photo: Path) -> None:
    options = {"target": "the apple", "negative_prompt": "blur", "n": 2, "seed": 3}
    options |= {"num_inference_steps": 9, "guidance_scale": 2.5, "strength": 0.4, "scheduler": "euler"}
    result = ask(painter, lambda client: client.edit(photo, "a lemon", **options))
    (request,) = painter.requests
    assert (request.prompt, request.image.shape) == ("a lemon", (32, 48, 3))
    assert {name: getattr(request, name) for name in options} == options
    assert [edit.seed for edit in result.edits] == [3, 4]
    assert (result.image.size, result.image.getpixel((0, 0))) == ((48, 32), (200, 200, 200))
    assert (result.mask.getpixel((9, 0)), result.mask.getpixel((10, 0))) == (255, 0)
    assert result.score == Score(0.2, 0.3, 0.1, 0.4)
    assert (result.target, result.point_xy, result.confidence) == ("the apple", (20, 10), 0.8)
    assert (result.num_inference_steps, result.guidance_scale, result.timings_s) == (9, 2.5, {"locate": 0.25})
    assert result.request_id


def test_an_edit_with_nothing_but_a_prompt(painter: Painter, photo: Path) -> None:
    result = ask(painter, lambda client: client.edit(photo, "a lemon"))
    assert (result.target, result.seed) == ("a lemon", 7)
    assert painter.requests[0].target is None


def test_locate_and_score(painter: Painter, photo: Path) -> None:
    location = ask(painter, lambda client: client.locate(photo, "the apple"))
    assert (location.found, location.size, location.heat.size) == (True, (48, 32), (3, 2))
    assert [location.heat.getpixel((x, 0)) for x in range(3)] == [1, 0, 0]
    assert not ask(painter, lambda client: client.locate(photo, "a pear")).found
    assert ask(painter, lambda client: client.score(photo, "a lemon")) == 0.25


def test_errors_keep_their_names(painter: Painter, photo: Path) -> None:
    with pytest.raises(TargetNotFound) as missing:
        ask(painter, lambda client: client.edit(photo, "a lemon", target="a pear"))
    assert (missing.value.param, bool(missing.value.request_id)) == ("target", True)
    with pytest.raises(UnprocessableEntityError) as wrong:
        ask(painter, lambda client: client.edit(photo, "a lemon", n=0))
    assert wrong.value.param == "n"
    with pytest.raises(APIStatusError) as unreadable:
        ask(painter, lambda client: client.score(b"GIF89a", "a lemon"))
    assert (unreadable.value.status_code, unreadable.value.code) == (415, "image_unsupported")


@pytest.mark.parametrize("is_healthy", [True, False])
def test_ready(painter: Painter, is_healthy: bool) -> None:
    painter.healthy = is_healthy
    assert ask(painter, lambda client: client.ready()) is is_healthy
