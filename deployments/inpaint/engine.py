"""The inpaint engine: requests in, pictures out, any number of them under way at once.

    submit -> prepare (text, VAE encoder) -> steps (shared, see steps.py) -> decode (VAE decoder) -> result
              a thread of its own            a thread of its own            a thread of its own

The step loop never waits for text, VAE or pixels, and no part knows Ray: the engine is used the same way by the
deployment, the tests and the benchmarks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from deployments.config import InpaintArgs, InpaintSettings
from deployments.errors import Overloaded
from deployments.inpaint import profile
from deployments.inpaint.denoiser import Denoiser
from deployments.inpaint.executions import Executions
from deployments.inpaint.job import Job, OnProgress, StepTaken
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.painting import Painting
from deployments.inpaint.policy import rows_left
from deployments.inpaint.speed import Speed
from deployments.inpaint.steps import StepLoop, StepRecord
from deployments.inpaint.turns import Turns
from deployments.messages import InpaintRequest, Painted
from deployments.serving.watch import Watch

logger = logging.getLogger(__name__)

MB = 2**20
FEWEST_PICTURES = 64  # held by default, however few share a step: the driver lets in no more work than it has to


class InpaintEngine:
    """Paints for any number of callers. Use from any thread; `close` it when done."""

    def __init__(
        self,
        model: InpaintModel,
        args: InpaintArgs | None = None,
        settings: InpaintSettings | None = None,
        on_step: Callable[[StepRecord], None] | None = None,
    ) -> None:
        args = args or InpaintArgs()
        self.model = model
        self.settings = settings or InpaintSettings()
        self._native_side = model.native_px // model.vae_scale_factor
        self._executions = Executions(model.unet, args, model.tokenizer.model_max_length)
        first = self._executions.first
        self._profiled = self._profile(first)
        self._on_step = on_step
        cost = self._cost if self._profiled else None
        self._loop = StepLoop(first, self._cap(), self._native_side, cost, self._count, model.unet.device)
        self._preparing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prepare")
        self._decoding = Turns("decode")
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()
        self._speed = Speed()
        self._watch = Watch()
        self._executions.follow(self._adopt)

    @property
    def max_rows(self) -> int:
        """The greatest number of rows that share a step now."""
        return self._loop.max_rows

    def reconfigure(self, settings: InpaintSettings) -> None:
        """Take new settings, from the next step and the next request on."""
        self.settings = settings
        self._loop.max_rows = self._cap()

    def submit(self, request: InpaintRequest, on_progress: OnProgress | None = None, previews: int = 0) -> Job:
        """Take the request in and return at once. Raises Overloaded when there is no room for it.

        `on_progress` is called from the engine's threads, after each step, and must return quickly. With it come
        `previews` views of each painting of the first seed, fewer where there are fewer steps.
        """
        scheduler = request.options.scheduler or self.settings.scheduler
        job = Job(request.with_options(scheduler=scheduler), on_progress, previews)
        with self._lock:
            self._check_room(job)
            if not self._jobs:
                self._watch.moved()
            self._jobs.add(job)
        self._preparing.submit(self._prepare, job)
        return job

    def cancel(self, job: Job) -> None:
        """Stop the job before its next step. Nothing happens to a job that is done."""
        job.future.cancel()
        self._drop(job)

    def check_health(self) -> None:
        """Raise RuntimeError when nothing would ever be painted again."""
        self._loop.check_health()
        if self._jobs:
            self._watch.check(self.settings.max_stall_s)

    @property
    def row_steps_left(self) -> float:
        """What is still to be done for all jobs."""
        with self._lock:
            jobs = list(self._jobs)
        return float(sum(job.row_steps_left for job in jobs))

    @property
    def row_steps_per_s(self) -> float:
        """What was done a second in the last steps; 0 before the first."""
        return self._speed.rows_per_s

    def close(self) -> None:
        """End all threads; what is unfinished fails."""
        for job in list(self._jobs):
            self.cancel(job)
        self._preparing.shutdown()
        self._loop.close()
        self._decoding.close()
        self._executions.close()

    def _adopt(self, denoiser: Denoiser) -> None:
        """Plan the steps by what they cost in the denoiser that paints from now on.

        Measured beside the steps under way it can only seem slower than it is, so the faster of old and new counts.
        """
        if self._profiled:
            old, new = self._profiled, self._profile(denoiser)
            never = float("inf")
            self._profiled = {rows: min(old.get(rows, never), new.get(rows, never)) for rows in sorted(old | new)}
            self._loop.max_rows = self._cap()

    def _profile(self, denoiser: Denoiser) -> dict[int, float]:
        """Return the seconds of a step by its rows here; empty where the cap is set and all take every step."""
        if self.settings.max_rows is not None:
            return {}
        measured = profile.measure(partial(self._empty_step, denoiser))
        steps = ", ".join(f"{rows} rows {1000 * seconds:.1f} ms" for rows, seconds in measured.items())
        logger.info("steps: %s, %s, %d threads: %s", denoiser.execution, denoiser.precision, denoiser.threads, steps)
        return measured

    def _cost(self, rows: float) -> float:
        return profile.seconds_at(self._profiled, rows)

    def _cap(self) -> int:
        if self.settings.max_rows is not None:
            return self.settings.max_rows
        # Set by hand from the start, and now no longer: there is no profile, and none can be made between steps.
        return profile.most_rows(self._profiled, self.settings.max_step_s) if self._profiled else self.max_rows

    @torch.inference_mode()
    def _empty_step(self, denoiser: Denoiser, rows: int) -> None:
        text = self.model.encode_text("")
        rows = denoiser.padded(rows)
        channels = text.new_zeros(rows, self.model.unet.config.in_channels, self._native_side, self._native_side)
        denoiser(channels, torch.zeros(rows, device=text.device), text.expand(rows, -1, -1).contiguous())
        if text.is_cuda:
            # Not the whole device: another engine of this process may be recording a graph, which that would spoil.
            torch.cuda.current_stream(text.device).synchronize()

    def _count(self, record: StepRecord) -> None:
        self._speed.count(record.rows, record.seconds)
        self._watch.moved()
        if self._on_step:
            self._on_step(record)

    def _check_room(self, job: Job) -> None:
        """Raise Overloaded where the job has to wait. One that finds nothing else here is always let in.

        A job that would fill the engine alone is let in as soon as one place is free: among many small jobs the engine
        is never empty. While it is under way no place is free, so there is no second one beside it. No job counts for
        more places than the one that asks to be let in: large ones do not lock the small ones out.
        """
        held = sum(min(other.size, job.size) for other in self._jobs)
        held_bytes = sum(other.held_bytes for other in self._jobs)
        settings = self.settings
        most = settings.max_pictures or max(FEWEST_PICTURES, self.max_rows)
        too_many = held >= most if job.size >= most else held + job.size > most
        too_large = held_bytes + job.held_bytes > settings.max_held_mb * MB
        if self._jobs and (too_many or too_large):
            raise Overloaded("All places are taken.", retry_after_s=self._seconds_until_room())

    def _seconds_until_room(self) -> float:
        """Return about how many seconds the pictures under way need until the first of them is done."""
        left = [rows_left(painting) for job in self._jobs for painting in list(job.paintings)]
        speed = self._speed.rows_per_s
        return max(1.0, sum(left) / (speed * len(left))) if speed and left else 1.0

    def _prepare(self, job: Job) -> None:
        if job.future.done():
            return
        start = time.time()
        try:
            paintings = self.model.prepare(job.request, job.previews)
            job.text_tokens = self.model.text_tokens(job.request)
            if self.model.unet.device.type == "cuda":
                # The steps run on a stream of their own, and must not read what is still being computed here.
                torch.cuda.current_stream(self.model.unet.device).synchronize()
            denoiser = self._executions.for_size(*paintings[0].latents.shape[2:])
            job.execution, job.precision = denoiser.execution, denoiser.precision
            job.prepared_s = (start, time.time())
            self._watch.moved()
            with self._lock:
                job.paintings = paintings
            self._loop.add(paintings, _JobWatcher(self, job), denoiser)
        except Exception as error:
            self._fail(job, error)
        if job.future.done():  # cancelled meanwhile, when there was no painting yet to stop
            self._drop(job)

    def stepped(self, job: Job, painting: Painting, estimate: torch.Tensor | None) -> None:
        """Note that the loop has taken a step of one of the job's pictures. `estimate` is that of a `Watcher`."""
        if job.on_progress is None:
            return
        progress = StepTaken(job.paintings.index(painting), painting.taken, painting.steps)
        if estimate is None:
            job.on_progress(progress)
        else:
            self._decoding.submit(job, partial(self._preview, job, progress, estimate))

    def ended(self, job: Job, painting: Painting, error: Exception | None) -> None:
        """Note that the loop is done with one of the job's pictures."""
        if error is not None:
            self._fail(job, error)
        elif painting.finished and not job.future.done():
            job.ended_s = time.time()
            self._decoding.submit(job, partial(self._decode, job, painting))

    def _preview(self, job: Job, progress: StepTaken, estimate: torch.Tensor) -> None:
        """Report a step with its preview. None is shown once the safety checker has objected to one."""
        if job.future.done() or job.on_progress is None:
            return
        try:
            if not job.hides_previews:
                preview, job.hides_previews = self._pixels(estimate, job.side_of(progress.painting))
                progress = replace(progress, preview=None if job.hides_previews else preview)
            job.on_progress(progress)
        except Exception:
            # The caller asked for the picture itself, which goes on without this view of it.
            logger.warning("a preview failed", exc_info=True)

    def _decode(self, job: Job, painting: Painting) -> None:
        if job.future.done():
            return
        index = job.paintings.index(painting)
        try:
            job.pictures[index], flagged = self._pixels(painting.latents, job.side_of(index))
        except Exception as error:
            self._fail(job, error)
            return
        job.flagged |= {job.seed_of(index)} if flagged else set()
        if len(job.pictures) == len(job.paintings):
            self._finish(job, job.painted())

    def _pixels(self, latents: torch.Tensor, side_px: int) -> tuple[np.ndarray, bool]:
        self._loop.finish_queued()
        return self.model.finish(latents, side_px)

    def _finish(self, job: Job, painted: Painted) -> None:
        self._drop(job)  # first, so that whoever asks again at once finds the place free
        with suppress(InvalidStateError):  # it was cancelled this very moment
            job.future.set_result(painted)

    def _fail(self, job: Job, error: Exception) -> None:
        self._drop(job)
        with suppress(InvalidStateError):  # cancelled, or another of its pictures has failed before
            job.future.set_exception(error)

    def _drop(self, job: Job) -> None:
        self._watch.moved()
        with self._lock:
            self._jobs.discard(job)
        for painting in job.paintings:
            if not painting.finished:
                self._loop.cancel(painting)


@dataclass(frozen=True, eq=False)
class _JobWatcher:
    engine: InpaintEngine
    job: Job

    def stepped(self, painting: Painting, estimate: torch.Tensor | None) -> None:
        self.engine.stepped(self.job, painting, estimate)

    def ended(self, painting: Painting, error: Exception | None) -> None:
        self.engine.ended(self.job, painting, error)
