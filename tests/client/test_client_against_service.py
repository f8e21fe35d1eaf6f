"""The client and the real HTTP face of the service in one process: what one sends is what the other reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import httpx
import pytest
from PIL import Image
from retouch import APIStatusError, AsyncRetouch, BadRequestError, ContentFiltered, Score, TargetNotFound
from retouch.options import EditOptions, SearchOptions, options_of

np = pytest.importorskip("numpy")
pytest.importorskip("fastapi")

from deployments import errors, messages  # noqa: E402
from deployments.config import DriverSettings  # noqa: E402
from deployments.http.api import build_api  # noqa: E402

T = TypeVar("T")


MASK = np.indices((32, 48))[1] < 10


class Painter:
    """A driver that finds everything but a pear, paints with one colour, and never shows a knife."""

    def __init__(self) -> None:
        self.settings = DriverSettings()
        self.requests: list[Any] = []
        self.healthy = True

    async def edit(self, request: messages.EditRequest) -> messages.EditResult:
        self.requests.append(request)
        location = found(request.target or request.prompt)
        if not location.found:
            raise errors.TargetNotFound(location, request.image.shape[1::-1])
        if request.prompt == "a knife":
            raise errors.ContentFiltered((7,))
        painted = np.full_like(request.image, 200)
        first = 7 if request.seed is None else request.seed
        filling = (request.fill_method or "classical") if request.mode == "remove" else None
        seeds = [None] if filling == "classical" else [first + k for k in range(request.n)]
        score = None if filling == "classical" else messages.Score(0.2, 0.3, 0.1, 0.4)
        return messages.EditResult(
            edits=tuple(messages.Edit(painted, seed, score, 1.5) for seed in seeds),
            location=location,
            mask=MASK,
            mode=request.mode,
            fill_method=filling,
            num_inference_steps=request.num_inference_steps or 20,
            guidance_scale=7.5 if request.guidance_scale is None else request.guidance_scale,
            changed_outside_px=0,
            improved=False,
            filtered_seeds=(9,),
            timings_s={"locate": 0.25},
        )

    async def locate(self, request: messages.LocateRequest) -> messages.Location:
        self.requests.append(request)
        return found(request.target)

    async def score(self, request: messages.ScoreRequest) -> float:
        return 0.25

    async def ready(self) -> dict[str, messages.Readiness]:
        return {"clip": messages.Readiness(self.healthy)}


def found(target: str | None) -> messages.Location:
    """Two candidates, the second chosen; nothing at all for a pear, and no heat where nothing was named."""
    is_found = target != "a pear"
    candidate = messages.Candidate(
        (20, 10), (0, 0, 10, 32), 0.25, 0.5, 0.875, "peaks", messages.PackedMask.of(MASK), {"inside": 0.5}
    )
    return messages.Location(
        target=target or "",
        phrase=(target or "").removeprefix("the "),
        point_xy=(20, 10),
        confidence=0.8 if is_found else 0.1,
        margin=1.5,
        found=is_found,
        heat=np.eye(2, 3, dtype=np.float32) if target else None,
        candidates=(candidate, candidate) if is_found else (),
        chosen=1 if is_found else 0,
        low_confidence=True,
        timings_s={"locate": 0.25},
    )


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
    options = {"target": "the apple", "avoid": "the pear", "candidate": 1, "mask_shape": "box", "dilation": 0.5}
    options |= {"negative_prompt": "blur", "n": 2, "seed": 3, "num_inference_steps": 9, "guidance_scale": 2.5}
    options |= {"mode": "replace", "strength": 0.4, "fill": "blur", "scheduler": "euler", "min_score": 0.25}
    result = ask(painter, lambda client: client.edit(photo, "a lemon", **options))
    (request,) = painter.requests
    assert (request.prompt, request.image.shape) == ("a lemon", (32, 48, 3))
    assert {name: getattr(request, name) for name in options} == options
    assert [edit.seed for edit in result.edits] == [3, 4]
    assert (result.image.size, result.image.getpixel((0, 0))) == ((48, 32), (200, 200, 200))
    assert (result.mask.getpixel((9, 0)), result.mask.getpixel((10, 0))) == (255, 0)
    assert (result.score, result.edits[0].seam) == (Score(0.2, 0.3, 0.1, 0.4), 1.5)
    assert (result.target, result.phrase, result.point_xy) == ("the apple", "apple", (20, 10))
    assert (result.confidence, result.margin, result.low_confidence, result.chosen) == (0.8, 1.5, True, 1)
    assert (result.num_inference_steps, result.guidance_scale, result.timings_s) == (9, 2.5, {"locate": 0.25})
    assert (result.mode, result.method, result.improved, result.filtered_seeds) == ("replace", "diffusion", False, (9,))
    assert result.request_id


def test_an_edit_with_nothing_but_a_prompt(painter: Painter, photo: Path) -> None:
    result = ask(painter, lambda client: client.edit(photo, "a lemon"))
    assert (result.target, result.seed) == ("a lemon", 7)
    assert painter.requests[0].target is None


def test_places_arrive_as_they_were_pointed_at(painter: Painter, photo: Path) -> None:
    places = {"points": [(20, 10), (3, 4)], "labels": [1, 0], "box": (1, 2, 30, 20)}
    ask(painter, lambda client: client.edit(photo, "a lemon", **places))
    location = ask(painter, lambda client: client.locate(photo, **places))
    for request in painter.requests:
        assert (request.points, request.labels, request.box) == (((20, 10), (3, 4)), (1, 0), (1, 2, 30, 20))
        assert request.target is None
    assert (location.target, location.heat) == ("", None)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA"])
def test_a_mask_arrives_as_it_was_drawn(painter: Painter, photo: Path, mode: str) -> None:
    """White where to repaint, or with an alpha channel transparent there."""
    drawn = Image.fromarray(np.where(MASK, np.uint8(255), np.uint8(0)))
    if mode in ("LA", "RGBA"):
        alpha = Image.fromarray(np.where(MASK, np.uint8(0), np.uint8(255)))
        drawn = drawn.convert(mode.removesuffix("A"))
        drawn.putalpha(alpha)
    ask(painter, lambda client: client.edit(photo, "a lemon", mask=drawn.convert(mode)))
    assert (painter.requests[0].mask == MASK).all()


def test_a_mask_goes_by_what_it_is_said_to_go_by(painter: Painter, photo: Path) -> None:
    drawn = Image.fromarray(np.where(MASK, np.uint8(255), np.uint8(0))).convert("RGBA")
    result = ask(painter, lambda client: client.edit(photo, "a lemon", mask=drawn, mask_mode="luminance"))
    assert (painter.requests[0].mask == MASK).all()
    assert (result.mask_read.mode, result.mask_read.marked_px) == ("luminance", MASK.sum())


def test_a_removal(painter: Painter, photo: Path) -> None:
    result = ask(painter, lambda client: client.remove(photo, "the apple", avoid="the pear", mask_shape="hull"))
    (request,) = painter.requests
    assert (request.mode, request.prompt, request.target) == ("remove", "", "the apple")
    assert (request.avoid, request.mask_shape) == ("the pear", "hull")
    assert (result.mode, result.seed, result.score) == ("remove", None, None)
    assert "classical" in result.method
    assert (request.fill_method, result.fill_method) == (None, "classical")


def test_a_removal_by_the_painter(painter: Painter, photo: Path) -> None:
    how = {"fill_method": "painter", "n": 2, "seed": 11, "num_inference_steps": 9}
    result = ask(painter, lambda client: client.remove(photo, "the apple", **how))
    (request,) = painter.requests
    assert (request.mode, request.fill_method, request.n, request.seed) == ("remove", "painter", 2, 11)
    assert (result.mode, result.method, result.fill_method) == ("remove", "diffusion", "painter")
    assert ([edit.seed for edit in result.edits], result.num_inference_steps) == ([11, 12], 9)


def test_what_a_removal_cannot_heed_is_refused_by_the_service(painter: Painter, photo: Path) -> None:
    with pytest.raises(BadRequestError, match="send `fill_method` as painter") as refused:
        ask(painter, lambda client: client.remove(photo, "the apple", seed=11))
    assert refused.value.param == "seed"
    with pytest.raises(BadRequestError) as refused:
        ask(painter, lambda client: client.edit(photo, "a lemon", fill_method="painter"))
    assert refused.value.param == "fill_method"
    assert not painter.requests


def test_locate_and_score(painter: Painter, photo: Path) -> None:
    location = ask(painter, lambda client: client.locate(photo, "the apple", avoid="the pear"))
    assert painter.requests[0].avoid == "the pear"
    assert (location.found, location.size, location.heat.size) == (True, (48, 32), (3, 2))
    assert [location.heat.getpixel((x, 0)) for x in range(3)] == [1, 0, 0]
    assert (location.phrase, location.margin, location.low_confidence, location.chosen) == ("apple", 1.5, True, 1)
    candidate = location.candidates[1]
    assert (candidate.point_xy, candidate.box_xyxy, candidate.area) == ((20, 10), (0, 0, 10, 32), 0.25)
    assert (candidate.score, candidate.sam_score, candidate.source) == (0.5, 0.875, "peaks")
    assert candidate.features == {"inside": 0.5}
    assert (np.asarray(candidate.mask) == np.where(MASK, 255, 0)).all()
    assert not ask(painter, lambda client: client.locate(photo, "a pear")).found
    assert ask(painter, lambda client: client.score(photo, "a lemon")) == 0.25


def test_what_reading_the_picture_converted_is_told(painter: Painter, photo: Path) -> None:
    deep = Image.fromarray(np.full((32, 48), 32_896, np.uint16))
    assert ask(painter, lambda client: client.edit(deep, "a lemon")).converted == ("depth",)
    assert (painter.requests[0].image == 128).all()
    assert ask(painter, lambda client: client.edit(photo, "a lemon")).converted == ()


def test_errors_keep_their_names(painter: Painter, photo: Path) -> None:
    with pytest.raises(TargetNotFound) as missing:
        ask(painter, lambda client: client.edit(photo, "a lemon", target="a pear"))
    assert (missing.value.param, bool(missing.value.request_id)) == ("target", True)
    assert missing.value.location.point_xy == (20, 10)
    assert missing.value.location.heat.size == (3, 2)
    with pytest.raises(ContentFiltered) as filtered:
        ask(painter, lambda client: client.edit(photo, "a knife", target="the apple"))
    assert filtered.value.param == "prompt"
    with pytest.raises(BadRequestError) as wrong:
        ask(painter, lambda client: client.edit(photo, "a lemon", n=0))
    assert wrong.value.param == "n"
    with pytest.raises(APIStatusError) as unreadable:
        ask(painter, lambda client: client.score(b"GIF89a", "a lemon"))
    assert (unreadable.value.status_code, unreadable.value.code) == (415, "image_unsupported")


@pytest.mark.parametrize("is_healthy", [True, False])
def test_ready(painter: Painter, is_healthy: bool) -> None:
    painter.healthy = is_healthy
    assert ask(painter, lambda client: client.ready()) is is_healthy


JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
OPENAI_ONLY = {"model", "size", "quality", "output_format", "output_compression", "background", "input_fidelity"}
OPENAI_ONLY |= {"moderation", "user", "stream", "partial_images", "progress"}
"""What the service takes from OpenAI's clients, and this one has no use for."""


@pytest.mark.parametrize(
    ("path", "options", "others"),
    [
        ("/v1/images/edits", EditOptions, {"image", "prompt", "response_format"} | OPENAI_ONLY),
        ("/v1/locate", SearchOptions, {"image", "target"}),
    ],
)
def test_options_keep_step_with_the_service(painter: Painter, path: str, options: type, others: set[str]) -> None:
    """The client declares its options itself; names, types, choices and bounds are those of the OpenAPI document."""
    operation = build_api(painter).openapi()["paths"][path]["post"]
    fields = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(options_of(options)) == set(fields) - others
    for name, (hint, about) in options_of(options).items():
        assert fields[name]["type"] == JSON_TYPES.get(hint, "string"), name
        assert get_origin(hint) is not Literal or list(get_args(hint)) == fields[name]["enum"], name
        assert about.least == fields[name].get("minimum"), name
        # The service's settings set the other upper bounds, so the client does not know them.
        assert about.most is None or about.most == fields[name]["maximum"], name
