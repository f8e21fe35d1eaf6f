"""The inpaint deployment: the engine behind an asyncio face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from deployments.config import InpaintArgs, InpaintSettings
from deployments.messages import InpaintRequest, Painted, Preview, Progress
from deployments.serving.metrics import (
    PICTURES,
    PICTURES_WAITING,
    ROWS,
    STEP_ROWS,
    STEP_TIME,
    Occupancy,
    Recorder,
    recorder,
    result,
)
from deployments.serving.placement import loading
from deployments.serving.progress import Latest
from deployments.serving.scaling import ROW_STEPS, ROW_STEPS_PER_S

if TYPE_CHECKING:
    from deployments.inpaint.job import Job, OnProgress, StepTaken
    from deployments.inpaint.steps import StepRecord

STAGE = {"stage": "inpaint"}


class InpaintServer:
    """The stage that repaints: all requests together, step by step. A cancelled one leaves between two steps."""

    def __init__(self, args: dict[str, Any] | InpaintArgs, metrics: Recorder | None = None) -> None:
        self._metrics = metrics = metrics or recorder()
        self._pictures = Occupancy(metrics, PICTURES, STAGE)
        args = InpaintArgs.model_validate(args)
        with loading("inpaint") as imported:
            # torch and diffusers take seconds to import; only the replica that runs the model pays for them.
            from deployments.inpaint.engine import InpaintEngine
            from deployments.inpaint.model import InpaintModel

            imported()
            self._engine = InpaintEngine(InpaintModel.load(args, metrics), args, on_step=_steps(metrics))

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take new `InpaintSettings`, from the next step and the next request on."""
        self._engine.reconfigure(InpaintSettings.model_validate(user_config))

    async def inpaint(self, request: InpaintRequest) -> Painted:
        """Paint what the request asks for, see `InpaintRequest`.

        Raises InvalidInput, Overloaded, or what went wrong with this one request.
        """
        with result(self._metrics, "inpaint", "inpaint"):
            job = self._submit(request)
            try:
                return await asyncio.wrap_future(job.future)
            except asyncio.CancelledError:
                self._engine.cancel(job)
                raise

    async def inpaint_stream(
        self, request: InpaintRequest, previews: int = 0
    ) -> AsyncIterator[Progress | Preview | Painted]:
        """Yield how many steps have been taken, as they are taken, and last what `inpaint` returns.

        In between come up to `previews` previews of each square. None come once the safety checker has objected to one.
        """
        with result(self._metrics, "inpaint", "inpaint"):
            async with aclosing(self._watched(request, previews)) as news:
                async for item in news:
                    yield item

    async def _watched(
        self, request: InpaintRequest, previews: int
    ) -> AsyncGenerator[Progress | Preview | Painted, None]:
        loop = asyncio.get_running_loop()
        latest: Latest[Progress | Preview] = Latest()
        count = _counter(len(request.squares) * len(request.seeds))

        def report(step: StepTaken) -> None:
            latest.put(count(step))
            if step.preview is not None:
                latest.put(Preview(step.painting, step.step, step.preview), kept=True)

        def on_step(step: StepTaken) -> None:
            # Two threads of the engine call this. On the loop the steps are counted by one.
            loop.call_soon_threadsafe(report, step)

        job = self._submit(request, on_step, previews)
        news = latest.followed_by(asyncio.wrap_future(job.future))
        try:
            async with aclosing(news):
                async for item in news:
                    yield item
        finally:
            self._engine.cancel(job)

    def _submit(self, request: InpaintRequest, on_progress: OnProgress | None = None, previews: int = 0) -> Job:
        """Hand the request to the engine, and count its pictures until it has ended, in whatever way."""
        job = self._engine.submit(request, on_progress, previews)
        self._pictures.move(job.size)
        job.future.add_done_callback(lambda _: self._ended(job.size))
        return job

    def _ended(self, pictures: int) -> None:
        if self._pictures.move(-pictures) == 0:
            # Those who waited may all have been cancelled, and then no further step says that nobody waits any more.
            self._metrics.record(PICTURES_WAITING, 0, STAGE)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return the row-steps that are left here, and how many are done a second, for `ScaleByWork`."""
        return {ROW_STEPS: self._engine.row_steps_left, ROW_STEPS_PER_S: self._engine.row_steps_per_s}

    def check_health(self) -> None:
        """Raise RuntimeError when nothing would ever be painted again."""
        self._engine.check_health()

    def close(self) -> None:
        """End the engine's threads; what is unfinished fails."""
        self._engine.close()


def _steps(to: Recorder) -> Callable[[StepRecord], None]:
    """Return the function that records each step of the engine, in the thread that takes the steps."""
    picture, padding = ({**STAGE, "content": content} for content in ("picture", "padding"))
    to.record(PICTURES_WAITING, 0, STAGE)

    def record(step: StepRecord) -> None:
        to.record(STEP_ROWS, step.rows, STAGE)
        to.record(STEP_TIME, step.seconds, STAGE)
        to.record(ROWS, step.rows, picture)
        if step.padded_rows > step.rows:
            to.record(ROWS, step.padded_rows - step.rows, padding)
        to.record(PICTURES_WAITING, step.waiting, STAGE)

    return record


def _counter(paintings: int) -> Callable[[StepTaken], Progress]:
    """Return a function that adds up the steps of `paintings` paintings, from the news of each.

    A step with a preview is told when that has been decoded, by which time others may have been taken.
    """
    taken = [0] * paintings

    def count(step: StepTaken) -> Progress:
        taken[step.painting] = max(taken[step.painting], step.step)
        return Progress("inpaint", sum(taken), step.steps * paintings)

    return count
