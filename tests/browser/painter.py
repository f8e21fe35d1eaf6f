"""A driver that finds what is really in the picture, by colour, and paints it over: no models and no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import numpy as np
from scipy import ndimage

from deployments.config import DriverSettings
from deployments.errors import InvalidInput, TargetNotFound
from deployments.limits import Limits
from deployments.messages import (
    Candidate,
    Edit,
    EditRequest,
    EditResult,
    LocateRequest,
    Location,
    News,
    PackedMask,
    PartialImage,
    Progress,
    Readiness,
    Score,
    ScoreRequest,
    Stage,
)

GROUND = (214, 222, 230)
COLOURS = {"apple": (214, 40, 40), "cactus": (40, 150, 70), "ball": (40, 80, 200)}
PREVIEW = 96, 96, 96
TOLERANCE = 60  # of the three channels together; a JPEG moves colours a little
LIMITS = Limits(max_image_bytes=3_000_000, max_pixels=1_000_000, max_side_px=2000)


class ColourPainter:
    """Finds the things of `colours` by their colour in the pixels that it gets, the largest first.

    It raises the next of `failures`, waits while it `is_paused`, and keeps the requests that it gets.
    """

    def __init__(self) -> None:
        self.settings = DriverSettings(num_inference_steps=20, limits=LIMITS)
        self.stages = {"clip": Readiness(True), "sam": Readiness(True), "inpaint": Readiness(True)}
        self.requests: list[EditRequest | LocateRequest | ScoreRequest] = []
        self.failures: list[Exception] = []
        self.is_paused = False
        self.unsafe_seeds: tuple[int, ...] = ()
        self.gain = 0.09
        self.colours = dict(COLOURS)

    @property
    def edits(self) -> list[EditRequest]:
        return [request for request in self.requests if isinstance(request, EditRequest)]

    @property
    def searches(self) -> list[LocateRequest]:
        return [request for request in self.requests if isinstance(request, LocateRequest)]

    async def ready(self) -> dict[str, Readiness]:
        return self.stages

    async def score(self, request: ScoreRequest) -> float:
        return 0.25

    async def locate(self, request: LocateRequest) -> Location:
        self._take(request)
        await self._pause()
        return self.found(request)

    async def edit(self, request: EditRequest) -> EditResult:
        self._take(request)
        await self._pause()
        return self._edited(request)

    async def edit_stream(
        self, request: EditRequest, partial_images: int = 0
    ) -> AsyncGenerator[News | EditResult, None]:
        """A painting has twenty steps; a pause comes after ten of them and a preview, which is grey."""
        self._take(request)
        yield Progress("locate")
        result = self._edited(request)
        yield Progress("segment")
        stage: Stage = "fill" if result.fill_method == "classical" else "inpaint"
        yield Progress(stage, 0, result.num_inference_steps)
        if stage == "inpaint":
            yield Progress(stage, 10, 20)
            if partial_images:
                yield PartialImage(np.where(result.mask[..., None], np.uint8(PREVIEW), request.image), 0)
        await self._pause()
        yield Progress("score")
        yield result

    def _edited(self, request: EditRequest) -> EditResult:
        location = self.found(request)
        if not location.found:
            raise TargetNotFound(location, request.image.shape[1::-1])
        mask = np.any([location.candidates[index].mask.unpack() for index in location.repainted], axis=0)
        removing = request.mode == "remove" or request.prompt.startswith("remove ")
        classical = removing and request.fill_method != "painter"
        seeds = [None] if classical else range(request.seed or 0, (request.seed or 0) + request.n)
        kept = [seed for seed in seeds if seed not in self.unsafe_seeds]
        return EditResult(
            edits=tuple(self._painted(request, mask, seed, rank) for rank, seed in enumerate(kept)),
            location=location,
            mask=mask,
            mode="remove" if removing else "replace",
            fill_method=("classical" if classical else "painter") if removing else None,
            num_inference_steps=0 if classical else request.num_inference_steps or 20,
            guidance_scale=7.5,
            changed_outside_px=0,
            improved=self.gain > 0,
            filtered_seeds=tuple(seed for seed in seeds if seed in self.unsafe_seeds),
            timings_s={"locate": 0.01},
        )

    def _take(self, request: EditRequest | LocateRequest) -> None:
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)

    async def _pause(self) -> None:
        while self.is_paused:  # noqa: ASYNC110 (the test, which ends the pause, runs in another thread)
            await asyncio.sleep(0.01)

    def _painted(self, request: EditRequest, mask: np.ndarray, seed: int | None, rank: int) -> Edit:
        gain = (-self.gain if request.mode == "remove" else self.gain) - 0.02 * rank
        score = Score(before=0.1, after=0.1 + gain, region_before=0.1, region_after=0.1 + gain)
        return Edit(self.paint(request.image, mask, seed), seed, score, 1.0, "traced", "float32")

    def things(self, image: np.ndarray, colour: tuple[int, int, int]) -> list[np.ndarray]:
        """Return the masks, HxW bool, of all things of a colour in the picture, the largest first."""
        like = np.abs(image.astype(int) - colour).sum(axis=2) < TOLERANCE
        labels, count = ndimage.label(like)
        masks = [labels == label for label in range(1, count + 1)]
        return sorted((mask for mask in masks if mask.sum() > 30), key=lambda mask: -int(mask.sum()))

    def paint(self, image: np.ndarray, mask: np.ndarray, seed: int | None) -> np.ndarray:
        """Return the picture painted in the mask; without a seed, with the ground."""
        colour = GROUND if seed is None else colour_of(seed)
        return np.where(mask[..., None], np.uint8(colour), image)

    def found(self, request: EditRequest | LocateRequest) -> Location:
        """Return where the things are that the request means."""
        image = request.image
        mask = getattr(request, "mask", None)
        target = request.target or getattr(request, "prompt", "") or "it"
        if mask is not None:
            return _location(target, [mask], None, 1.0)
        if request.points or request.box:
            return _location(target, [_pointed(request)], None, 0.9)
        name = next((name for name in self.colours if name in target), None)
        masks = [] if name is None else self.things(image, self.colours[name])
        heat = _heat(masks, image)
        if not masks:
            guess = np.zeros(image.shape[:2], bool)
            guess[:20, :20] = True
            return replace(_location(target, [guess], heat, 0.21), found=False)
        location = _location(target, masks, heat, 0.9)
        candidate = getattr(request, "candidate", None)
        if candidate is not None and candidate >= len(masks):
            raise InvalidInput(f"`candidate` must be less than {len(masks)}.", "candidate")
        if request.all or target.startswith("both "):
            return replace(location, instances=tuple(range(len(masks))))
        return replace(location, chosen=candidate or 0)


def colour_of(seed: int) -> tuple[int, int, int]:
    """Return the colour that the painter paints with a seed."""
    return 240, seed % 251, seed // 251 % 251


def _pointed(request: EditRequest | LocateRequest) -> np.ndarray:
    """Return the things under the points that are on it, cut by the box, without those under the others."""
    image = request.image
    mask = np.zeros(image.shape[:2], bool)
    labels = request.labels or (1,) * len(request.points)
    for (x, y), label in sorted(zip(request.points, labels, strict=True), key=lambda pair: -pair[1]):
        like = np.abs(image.astype(int) - image[y, x].astype(int)).sum(axis=2) < TOLERANCE
        parts, _ = ndimage.label(like)
        mask = mask | (parts == parts[y, x]) if label else mask & (parts != parts[y, x])
    if request.box is not None:
        left, top, right, bottom = request.box
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        mask = inside & mask if request.points and mask.any() else inside
    return mask


def _location(target: str, masks: list[np.ndarray], heat: np.ndarray | None, confidence: float) -> Location:
    candidates = tuple(_candidate(mask, rank) for rank, mask in enumerate(masks))
    return Location(target, target, candidates[0].point_xy, confidence, 1.0, True, heat, candidates)


def _candidate(mask: np.ndarray, rank: int) -> Candidate:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    point = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
    return Candidate(point, box, float(mask.mean()), 5.0 - rank, 0.9, "peak", PackedMask.of(mask), {"coverage": 0.5})


def _heat(masks: list[np.ndarray], image: np.ndarray) -> np.ndarray:
    heat = np.full((12, 16), 0.05, np.float32)
    where = masks[0] if masks else np.pad(np.ones((20, 20), bool), ((0, image.shape[0] - 20), (0, image.shape[1] - 20)))
    rows, columns = np.nonzero(where)
    heat[rows * 12 // where.shape[0], columns * 16 // where.shape[1]] = 0.9
    return heat
