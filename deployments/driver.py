"""The driver deployment: composes the stages of an edit into a DAG."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
from ray.serve.handle import DeploymentHandle

from deployments import regions
from deployments.calls import Calls
from deployments.checks import CompleteEdit, complete_edit, complete_locate, complete_score
from deployments.config import DriverSettings
from deployments.errors import TargetNotFound
from deployments.messages import (
    Edit,
    EditRequest,
    EditResult,
    InpaintRequest,
    LocateRequest,
    Location,
    Masks,
    Painted,
    Score,
    ScoreRequest,
    SegmentRequest,
    Span,
)
from deployments.regions import Region

READY_TIMEOUT_S = 5.0


class Driver:
    """Edits pictures with three other deployments: CLIP finds and scores, SAM cuts out, SD repaints."""

    def __init__(self, clip: DeploymentHandle, sam: DeploymentHandle, inpaint: DeploymentHandle) -> None:
        self._clip = clip
        self._sam = sam
        self._inpaint = inpaint
        self.settings = DriverSettings()

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Takes effect with the next request."""
        self.settings = DriverSettings.model_validate(user_config)

    async def edit(self, request: EditRequest) -> EditResult:
        """Finds what `request.target` names, repaints it as the prompt says, scores the result.

        Raises InvalidInput, TargetNotFound, Overloaded, DeadlineExceeded or ModelFailed.
        """
        job = complete_edit(request, self.settings)
        start = time.time()
        async with self._calls() as calls:
            # SAM's encoder does not need the point: it runs while CLIP looks. Its answer is passed on
            # unresolved, so the embedding goes from replica to replica and never through here.
            embedding = calls.begin(self._sam.encode.remote(job.image))
            location = await self._locate(calls, LocateRequest(job.image, job.target))
            if not location.found:
                raise TargetNotFound(location.target, location.point_xy, location.confidence)
            masks = await self._segment(calls, job.image, embedding, location)
            region = await asyncio.to_thread(_region, masks, location)
            # How well the picture matched before can be told while it is being repainted.
            painted, before = await asyncio.gather(
                self._repaint(calls, job, region), self._score(calls, job.prompt, [job.image], region)
            )
            pictures = await asyncio.to_thread(_paste_back, job, region, painted)
            after = await self._score(calls, job.prompt, pictures, region)
        edits = _ranked(job, pictures, before[0], after)
        trace = (*calls.spans, *location.spans, *masks.spans, *painted.spans, Span("edit", start, time.time()))
        timings = {**calls.timings_s(), "total": time.time() - start}
        return await asyncio.to_thread(_result, job, location, region, edits, timings, trace)

    async def locate(self, request: LocateRequest) -> Location:
        """Where something is, without touching it; `found` says whether an edit would go ahead."""
        request = complete_locate(request, self.settings)
        async with self._calls() as calls:
            return await self._locate(calls, request)

    async def score(self, request: ScoreRequest) -> float:
        """CLIP's cosine of picture and text, in -1..1."""
        request = complete_score(request, self.settings)
        async with self._calls() as calls:
            return float(await calls.run("score", lambda _: self._clip.score.remote(request)))

    async def ready(self) -> dict[str, bool]:
        """Which of the stages would answer now."""
        stages = {"clip": self._clip, "sam": self._sam, "inpaint": self._inpaint}
        answers = await asyncio.gather(*(_healthy(handle) for handle in stages.values()))
        return dict(zip(stages, answers, strict=True))

    def _calls(self) -> Calls:
        return Calls(self.settings.deadline_s, self.settings.max_attempts)

    async def _locate(self, calls: Calls, request: LocateRequest) -> Location:
        location: Location = await calls.run("locate", lambda _: self._clip.locate.remote(request))
        return location

    async def _segment(self, calls: Calls, image: np.ndarray, embedding: Any, location: Location) -> Masks:
        """What may be the thing at that place, best guess first."""
        at_point = SegmentRequest(points_xy=(location.point_xy,), labels=(1,))

        def call(attempt: int) -> Any:
            # The replica that died may be the one that held the embedding.
            source = embedding if attempt == 0 else calls.begin(self._sam.encode.remote(image))
            return self._sam.segment.remote(source, at_point)

        masks: Masks = await calls.run("segment", call)
        return masks

    async def _repaint(self, calls: Calls, job: CompleteEdit, region: Region) -> Painted:
        """The region's square once for each seed."""
        request = InpaintRequest(
            image=region.crop(job.image),
            mask=region.crop(region.mask),
            prompt=job.prompt,
            negative_prompt=job.negative_prompt,
            seeds=job.seeds,
            num_inference_steps=job.num_inference_steps,
            guidance_scale=job.guidance_scale,
            strength=job.strength,
            scheduler=job.scheduler,
        )
        painted: Painted = await calls.run("inpaint", lambda _: self._inpaint.inpaint.remote(request))
        return painted

    async def _score(
        self, calls: Calls, prompt: str, pictures: list[np.ndarray], region: Region
    ) -> list[tuple[float, float]]:
        """How well each picture and its region match the prompt."""

        async def score(view: np.ndarray) -> float:
            request = ScoreRequest(view, prompt)
            return float(await calls.run("score", lambda _: self._clip.score.remote(request)))

        # All views at once: CLIP batches them.
        scores = await asyncio.gather(*map(score, [*pictures, *map(region.crop, pictures)]))
        return list(zip(scores[: len(pictures)], scores[len(pictures) :], strict=True))


def _region(masks: Masks, location: Location) -> Region:
    cut_out = next((mask for mask in masks.masks if mask.any()), None)
    if cut_out is None:
        raise TargetNotFound(location.target, location.point_xy, location.confidence)
    return regions.plan(regions.part_at(cut_out, location.point_xy))


def _paste_back(job: CompleteEdit, region: Region, painted: Painted) -> list[np.ndarray]:
    """The whole picture once for each seed, with the region repainted."""
    return [regions.paste_back(job.image, square, region) for square in painted.images]


def _ranked(
    job: CompleteEdit, pictures: list[np.ndarray], before: tuple[float, float], after: list[tuple[float, float]]
) -> list[Edit]:
    """The pictures with their scores, the one whose region matches the prompt best first."""
    edits = [
        Edit(picture, seed, Score(before[0], whole, before[1], of_region))
        for picture, seed, (whole, of_region) in zip(pictures, job.seeds, after, strict=True)
    ]
    return sorted(edits, key=lambda edit: edit.score.region_after, reverse=True)


def _result(
    job: CompleteEdit,
    location: Location,
    region: Region,
    edits: list[Edit],
    timings_s: dict[str, float],
    trace: tuple[Span, ...],
) -> EditResult:
    changed = max(regions.changed_outside(job.image, edit.image, region.mask) for edit in edits)
    assert changed == 0, "pixels outside the mask have changed"
    return EditResult(
        edits=tuple(edits),
        location=location,
        mask=region.mask,
        num_inference_steps=job.num_inference_steps,
        guidance_scale=job.guidance_scale,
        changed_outside_px=changed,
        timings_s=timings_s,
        trace=trace,
    )


async def _healthy(handle: DeploymentHandle) -> bool:
    response = handle.check_health.remote()
    try:
        await asyncio.wait_for(_awaited(response), READY_TIMEOUT_S)
    except Exception:
        response.cancel()
        return False
    return True


async def _awaited(response: Any) -> Any:
    return await response
