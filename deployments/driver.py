"""The driver deployment: composes the stages of an edit into a DAG."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments import regions
from deployments.calls import Calls
from deployments.complete import CompleteEdit, complete_edit, complete_locate, complete_score
from deployments.config import DriverSettings
from deployments.errors import InvalidInput, TargetNotFound
from deployments.finder import Finder, drawn_by_hand
from deployments.messages import EditRequest, EditResult, LocateRequest, Location, ScoreRequest, Span
from deployments.painter import Finished, Painter
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

        Raises InvalidInput, TargetNotFound, ContentFiltered, Overloaded, DeadlineExceeded or ModelFailed.
        """
        job = complete_edit(request, self.settings)
        start = time.time()
        async with self._calls() as calls:
            finder = Finder(self._clip, self._sam, calls, self.settings.grounding)
            painter = Painter(self._clip, self._inpaint, calls, self.settings.painting)
            location = drawn_by_hand(job.where, job.mask) if job.mask is not None else await finder.find(job.where)
            location = _chosen(location, job.candidate)
            region = await asyncio.to_thread(self._region, job, location)
            done = await (painter.remove if job.mode == "remove" else painter.paint)(job, region)
        trace = (*calls.spans, *finder.spans, *painter.spans, Span("edit", start, time.time()))
        timings = {**calls.timings_s(), "total": time.time() - start}
        return await asyncio.to_thread(_result, job, location, region, done, timings, trace)

    async def locate(self, request: LocateRequest) -> Location:
        """Where something is, without touching it; `found` says whether an edit would go ahead."""
        sought = complete_locate(request, self.settings)
        start = time.time()
        async with self._calls() as calls:
            location = await Finder(self._clip, self._sam, calls, self.settings.grounding).find(sought)
        return replace(location, timings_s={**calls.timings_s(), "total": time.time() - start})

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

    def _region(self, job: CompleteEdit, location: Location) -> Region:
        mask = location.candidates[location.chosen].mask.unpack()
        settings = self.settings.painting
        return regions.plan(mask, job.mask_shape, job.dilation, settings.context, settings.crop)


def _chosen(location: Location, candidate: int) -> Location:
    """The location with the candidate that is to be repainted. TargetNotFound if nothing is there to repaint."""
    if not location.found or not location.candidates:
        raise TargetNotFound(location)
    count = len(location.candidates)
    if candidate >= count:
        raise InvalidInput(f"candidate must be less than {count}: so many were found.", "candidate")
    return replace(location, chosen=candidate, point_xy=location.candidates[candidate].point_xy)


def _result(
    job: CompleteEdit,
    location: Location,
    region: Region,
    done: Finished,
    timings_s: dict[str, float],
    trace: tuple[Span, ...],
) -> EditResult:
    changed = max(regions.changed_outside(job.image, edit.image, region.mask) for edit in done.edits)
    assert changed == 0, "pixels outside the mask have changed"
    return EditResult(
        edits=done.edits,
        location=location,
        mask=region.mask,
        mode=job.mode,
        num_inference_steps=job.num_inference_steps,
        guidance_scale=job.guidance_scale,
        changed_outside_px=changed,
        improved=done.improved,
        filtered_seeds=done.filtered_seeds,
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
