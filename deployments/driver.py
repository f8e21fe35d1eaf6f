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
    Score,
    ScoreRequest,
    SegmentRequest,
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
        start = time.monotonic()
        async with self._calls() as calls:
            # SAM's encoder does not need the point: it runs while CLIP looks. Its answer is passed on
            # unresolved, so the embedding goes from replica to replica and never through here.
            embedding = calls.begin(self._sam.encode.remote(job.image))
            location = await self._locate(calls, LocateRequest(job.image, job.target))
            if not location.found:
                raise TargetNotFound(location.target, location.point_xy, location.confidence)
            mask = await self._segment(calls, job.image, embedding, location)
            region = await asyncio.to_thread(regions.plan, mask)
            pictures = await self._repaint(calls, job, region)
            edits = await self._score(calls, job, region, pictures)
        timings = {**calls.timings_s, "total": time.monotonic() - start}
        return await asyncio.to_thread(_result, job, location, region, edits, timings)

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

    async def _segment(self, calls: Calls, image: np.ndarray, embedding: Any, location: Location) -> np.ndarray:
        """The mask (HxW bool) of the thing at that place, in one piece."""
        at_point = SegmentRequest(points_xy=(location.point_xy,), labels=(1,))

        def call(attempt: int) -> Any:
            # The replica that died may be the one that held the embedding.
            source = embedding if attempt == 0 else calls.begin(self._sam.encode.remote(image))
            return self._sam.segment.remote(source, at_point)

        masks: Masks = await calls.run("segment", call)
        cut_out = next((mask for mask in masks.masks if mask.any()), None)
        if cut_out is None:
            raise TargetNotFound(location.target, location.point_xy, location.confidence)
        return regions.part_at(cut_out, location.point_xy)

    async def _repaint(self, calls: Calls, job: CompleteEdit, region: Region) -> list[np.ndarray]:
        """The whole picture once for each seed, with the region repainted."""
        request = InpaintRequest(
            image=region.crop(job.image),
            mask=region.crop(region.mask),
            prompt=job.prompt,
            negative_prompt=job.negative_prompt,
            seeds=job.seeds,
            num_inference_steps=job.num_inference_steps,
            guidance_scale=job.guidance_scale,
        )
        crops: np.ndarray = await calls.run("inpaint", lambda _: self._inpaint.inpaint.remote(request))
        return await asyncio.to_thread(lambda: [regions.paste_back(job.image, crop, region) for crop in crops])

    async def _score(self, calls: Calls, job: CompleteEdit, region: Region, pictures: list[np.ndarray]) -> list[Edit]:
        """Each picture with its scores, the one whose region matches the prompt best first."""

        async def score(view: np.ndarray) -> float:
            request = ScoreRequest(view, job.prompt)
            return float(await calls.run("score", lambda _: self._clip.score.remote(request)))

        # All views at once: CLIP batches them.
        whole = [job.image, *pictures]
        scores = await asyncio.gather(*map(score, [*whole, *map(region.crop, whole)]))
        (before, *after), (region_before, *region_after) = scores[: len(whole)], scores[len(whole) :]
        edits = [
            Edit(picture, seed, Score(before, picture_after, region_before, picture_region_after))
            for picture, seed, picture_after, picture_region_after in zip(
                pictures, job.seeds, after, region_after, strict=True
            )
        ]
        return sorted(edits, key=lambda edit: edit.score.region_after, reverse=True)


def _result(
    job: CompleteEdit, location: Location, region: Region, edits: list[Edit], timings_s: dict[str, float]
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
