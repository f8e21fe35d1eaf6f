"""The driver deployment: composes the stages of an edit into a DAG."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from deployments.admission.gate import Gate, Ongoing, SharedBook
from deployments.config import DriverSettings
from deployments.driver.calls import Calls, OnNews
from deployments.driver.finder import Finder, drawn_by_hand
from deployments.driver.handles import ClipHandle, InpaintHandle, SamHandle
from deployments.driver.jobs import EditJob, complete_edit, complete_locate, complete_score
from deployments.driver.painter import Finished, Painter
from deployments.driver.rules import check_partial_images, check_rank
from deployments.driver.work import FINDING, key_of, work_of
from deployments.errors import TargetNotFound
from deployments.messages import (
    EditRequest,
    EditResult,
    LocateRequest,
    Location,
    News,
    PartialImage,
    Readiness,
    ScoreRequest,
    Span,
)
from deployments.pixels import pasting, regions
from deployments.pixels.regions import Plan
from deployments.serving.health import Health
from deployments.serving.metrics import Recorder, recorder, result
from deployments.serving.progress import Latest
from deployments.serving.status import StageStatus, read_own

STAGES = ("clip", "sam", "inpaint")


class Driver:
    """Edits pictures with three other deployments: CLIP finds and scores, SAM cuts out, SD repaints."""

    def __init__(
        self,
        clip: ClipHandle,
        sam: SamHandle,
        inpaint: InpaintHandle,
        read_stages: Callable[[], Mapping[str, StageStatus]] = read_own,
        metrics: Recorder | None = None,
        book: SharedBook | None = None,
    ) -> None:
        self._clip = clip
        self._sam = sam
        self._inpaint = inpaint
        self._health = Health(read_stages)
        self._metrics = metrics or recorder()
        self._gate = Gate(book)
        self.settings = DriverSettings()

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take new `DriverSettings`, from the next request on."""
        self.settings = DriverSettings.model_validate(user_config)

    async def edit(self, request: EditRequest) -> EditResult:
        """Find what `request.target` names, repaint it as the prompt says, and score the result.

        Raises InvalidInput, TargetNotFound, ContentFiltered, Overloaded, DeadlineExceeded or ModelFailed.
        """
        return await self._edit(request)

    async def edit_stream(
        self, request: EditRequest, partial_images: int = 0
    ) -> AsyncGenerator[News | EditResult, None]:
        """Yield the progress of an edit as it goes on, and last what `edit` returns.

        In between come up to `partial_images` previews of the first seed's picture, 0 to 3, evenly spread over the
        steps. A classical fill has none, and none come once the safety checker has objected to one.
        """
        latest: Latest[News] = Latest()

        def on_news(news: News) -> None:
            latest.put(news, kept=isinstance(news, PartialImage))

        news = latest.followed_by(asyncio.ensure_future(self._edit(request, on_news, partial_images)))
        async with aclosing(news):
            async for item in news:
                yield item

    async def _edit(self, request: EditRequest, on_news: OnNews | None = None, partial_images: int = 0) -> EditResult:
        with result(self._metrics, "driver", "edit"):
            return await self._edited(request, on_news, check_partial_images(partial_images))

    async def _edited(self, request: EditRequest, on_news: OnNews | None, partial_images: int) -> EditResult:
        job = complete_edit(request, self.settings)
        async with self._admitted(request, work_of(job)) as ongoing:
            async with self._calls(on_news) as calls:
                edited = await self._carried_out(job, calls, ongoing, partial_images)
            ongoing.done = FINDING + edited.row_steps
            return edited

    async def _carried_out(self, job: EditJob, calls: Calls, ongoing: Ongoing, partial_images: int) -> EditResult:
        start = time.time()
        finder = Finder(self._clip, self._sam, calls, self.settings.grounding)
        painter = Painter(self._clip, self._inpaint, calls, self.settings.painting, partial_images)
        location = drawn_by_hand(job.where, job.mask) if job.mask is not None else await finder.find(job.where)
        location = _chosen(location, job)
        await finder.check_target(job.where, location)
        plan = await asyncio.to_thread(self._plan, job, location)
        ongoing.work = work_of(job, len(plan.regions))
        done = await (painter.remove if job.mode == "remove" else painter.paint)(job, plan)
        trace = (*calls.spans, *finder.spans, *painter.spans, Span("edit", start, time.time()))
        timings = {**calls.timings_s(), "total": time.time() - start}
        return await asyncio.to_thread(_result, job, location, plan, done, timings, trace)

    async def locate(self, request: LocateRequest) -> Location:
        """Return where something is, without touching it; `found` says whether an edit would go ahead."""
        with result(self._metrics, "driver", "locate"):
            return await self._located(request)

    async def _located(self, request: LocateRequest) -> Location:
        sought = complete_locate(request, self.settings)
        start = time.time()
        async with self._admitted(request, FINDING) as ongoing:
            async with self._calls() as calls:
                finder = Finder(self._clip, self._sam, calls, self.settings.grounding)
                location = await finder.find(sought)
                await finder.check_target(sought, location)
            ongoing.done = FINDING
        return replace(location, timings_s={**calls.timings_s(), "total": time.time() - start})

    async def score(self, request: ScoreRequest) -> float:
        """Return CLIP's cosine of picture and text, in -1..1."""
        with result(self._metrics, "driver", "score"):
            request = complete_score(request, self.settings)
            async with self._calls() as calls:
                return float(await calls.run("score", lambda _: self._clip.score.remote(request)))

    async def ready(self) -> dict[str, Readiness]:
        """Say of each stage whether it would answer now.

        Serve is asked and not the stages: a call would wake one that is scaled to zero, and keep it awake.
        """
        known = await self._health.stages()
        return {stage: _readiness(known.get(stage)) for stage in STAGES}

    async def check_health(self) -> None:
        """Ask Serve about the stages when it asks for this: a last word to repeat when it knows none."""
        await self._health.stages()

    @asynccontextmanager
    async def _admitted(self, request: EditRequest | LocateRequest, work: float) -> AsyncIterator[Ongoing]:
        """Count the request among the work under way. Raises Overloaded where there is too much before it."""
        limit_s = self.settings.max_backlog_s
        if limit_s is None:
            yield Ongoing(work)
            return
        key = await asyncio.to_thread(key_of, request)
        async with self._gate.passed(key, work, limit_s) as ongoing:
            yield ongoing

    def _calls(self, on_news: OnNews | None = None) -> Calls:
        return Calls(self.settings.deadline_s, self.settings.max_attempts, on_news)

    def _plan(self, job: EditJob, location: Location) -> Plan:
        """Return what is repainted: the chosen candidate, or each of those that are meant."""
        masks = [location.candidates[index].mask.unpack() for index in location.repainted]
        settings = self.settings.painting
        return regions.plan(masks, job.mask_shape, job.dilation, settings.context, settings.crop)


def _chosen(location: Location, job: EditJob) -> Location:
    """Return the location with the candidate to repaint. Raises TargetNotFound if there is nothing to repaint."""
    if not location.found or not location.candidates:
        raise TargetNotFound(location, job.where.size)
    if location.instances:
        return location
    check_rank(job.candidate, len(location.candidates))
    return replace(location, chosen=job.candidate, point_xy=location.candidates[job.candidate].point_xy)


def _result(
    job: EditJob,
    location: Location,
    plan: Plan,
    done: Finished,
    timings_s: dict[str, float],
    trace: tuple[Span, ...],
) -> EditResult:
    changed = max(pasting.changed_outside(job.image, edit.image, plan.mask) for edit in done.edits)
    assert changed == 0, "pixels outside the mask have changed"
    return EditResult(
        edits=done.edits,
        location=location,
        mask=plan.mask,
        mode=job.mode,
        fill_method=job.fill_method,
        num_inference_steps=job.options.num_inference_steps or 0,
        guidance_scale=done.guidance_scale,
        changed_outside_px=changed,
        improved=done.improved,
        filtered_seeds=done.filtered_seeds,
        row_steps=done.row_steps,
        text_tokens=done.text_tokens,
        timings_s=timings_s,
        trace=trace,
    )


def _readiness(status: StageStatus | None) -> Readiness:
    return Readiness(False) if status is None else Readiness(status.ready, status.setting)
