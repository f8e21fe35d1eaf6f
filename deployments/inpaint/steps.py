"""The step loop: one thread owns the UNet, and all pictures under way share its steps.

A picture joins at the next step and leaves after its last one (continuous batching, as language models are served:
Yu et al., Orca, OSDI 2022). Pictures of different latent sizes cannot share a step; each size has a lane of its
own, as has each way to run the UNet, and the lanes take turns so that each request in them gets the same share of the
time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from deployments.inpaint.denoiser import Denoiser
from deployments.inpaint.lane import Lane, Watcher
from deployments.inpaint.painting import Painting
from deployments.inpaint.policy import choose, seated
from deployments.inpaint.row_limit import RowLimit

logger = logging.getLogger(__name__)

STEPS_AHEAD = 1  # that a GPU may have queued behind the one it is at: enough to never idle, few enough to join soon


@dataclass(frozen=True)
class StepRecord:
    """One step: its rows without and with padding, how many pictures of all sizes were left waiting, its seconds."""

    rows: int
    padded_rows: int
    waiting: int
    seconds: float


class StepLoop:
    """Paints what is added to it. `max_rows`, of the size `native_side`, may be changed at any time; it falls by itself
    when memory runs out (row_limit.py).

    `cost` returns the seconds of a step from its number of rows of that size; without it all take every step.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        max_rows: int,
        native_side: int,
        cost: Callable[[float], float] | None = None,
        on_step: Callable[[StepRecord], None] | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._limit = RowLimit(max_rows)
        self._cost = cost
        self._denoiser = denoiser
        self._native_area = native_side**2
        self._on_step = on_step
        self._lanes: dict[tuple[int, int, Denoiser], Lane] = {}
        self._changed = threading.Condition()
        self._closed = False
        # The steps go before whatever else runs on the same GPU.
        self._stream = torch.cuda.Stream(device, priority=-1) if device and device.type == "cuda" else None
        self._queued: deque[torch.cuda.Event] = deque()
        self._thread = threading.Thread(target=self._run, name="steps", daemon=True)
        self._thread.start()

    @property
    def max_rows(self) -> int:
        return self._limit.now

    @max_rows.setter
    def max_rows(self, most: int) -> None:
        self._limit = RowLimit(most)

    def add(self, paintings: Sequence[Painting], watcher: Watcher, denoiser: Denoiser | None = None) -> None:
        """Let the paintings of a request take part from the next step on, or as soon as it is their turn.

        They are of one size. All their steps are run by `denoiser`, or by the loop's own.
        """
        denoiser = denoiser or self._denoiser
        self._keep_until_read(paintings)
        with self._changed:
            if self._closed:
                raise RuntimeError("the step loop has ended")
            height, width = paintings[0].latents.shape[2:]
            lane = self._lanes.setdefault((height, width, denoiser), Lane(denoiser))
            if not lane.claims:
                # Time in which it was idle is no credit against the others,
                # and time that it had while they were idle is no debt.
                lane.spent_s = min((other.spent_s for other in self._lanes.values() if other.claims), default=0.0)
            lane.join(paintings, watcher)
            self._changed.notify()

    def _keep_until_read(self, paintings: Sequence[Painting]) -> None:
        """Tell torch's allocator that the steps' stream reads tensors that were made on another stream."""
        if self._stream is not None:
            for each in paintings:
                for tensor in (each.latents, each.mask, each.masked_latents, each.text):
                    tensor.record_stream(self._stream)

    def cancel(self, painting: Painting) -> None:
        """Take the painting out before its next step."""
        painting.cancelled = True
        with self._changed:
            self._changed.notify()

    def finish_queued(self) -> None:
        """Wait until a GPU has done all that the loop has asked of it; call before reading latents elsewhere."""
        if self._stream is not None:
            self._stream.synchronize()

    def check_health(self) -> None:
        """Raise RuntimeError when nothing would ever be painted again."""
        if not self._thread.is_alive():
            raise RuntimeError("the step loop has ended")

    def close(self) -> None:
        """End the thread after the step it is in; whatever is unfinished fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                while (chosen := self._next_lane()) is not None:
                    self._step(*chosen)
        except Exception:
            logger.exception("the step loop has ended")
            raise
        finally:
            self._give_up()

    def _next_lane(self) -> tuple[Lane, float] | None:
        """Return the lane whose turn it is, and its latents' area over that of native ones; None to end the loop."""
        while True:
            with self._changed:
                gone = self._drop_cancelled()
                busy = {size: lane for size, lane in self._lanes.items() if lane.claims}
                if not gone and not busy and not self._closed:
                    self._changed.wait()
            for painting, watcher in gone:
                watcher.ended(painting, None)
            if self._closed:
                return None
            if busy:
                size = min(busy, key=lambda size: busy[size].spent_s)
                return busy[size], size[0] * size[1] / self._native_area

    def _drop_cancelled(self) -> list[tuple[Painting, Watcher]]:
        return [
            (painting, lane.leave(painting))
            for lane in self._lanes.values()
            for painting in list(lane.guests)
            if painting.cancelled
        ]

    def _step(self, lane: Lane, area: float) -> None:
        started = time.perf_counter()
        chosen, requests = self._choose(lane, area)
        for painting, prediction in self._predict(chosen, lane, area):
            self._advance(lane, painting, prediction)
        self._limit_queue()
        seconds = time.perf_counter() - started
        lane.spent_s += seconds / requests
        if self._on_step:
            rows = sum(painting.rows for painting in chosen)
            self._on_step(StepRecord(rows, lane.denoiser.padded(rows), self._waiting(), seconds))

    def _waiting(self) -> int:
        with self._changed:
            return sum(lane.waiting() for lane in self._lanes.values())

    def _choose(self, lane: Lane, area: float) -> tuple[list[Painting], int]:
        """Return who takes the lane's next step, and how many requests there are in it."""
        cost = self._cost
        with self._changed:
            claims = list(lane.claims)
            seats = seated(claims, min(max(1, int(self.max_rows / area)), lane.denoiser.most_rows))
            lane.seats = set(seats)
            chosen = choose(claims, seats, lane.shares.now, cost and (lambda rows: cost(rows * area)))
            lane.shares.advance(sum(painting.rows for painting in chosen))
        now = time.time()
        for painting in chosen:
            painting.joined_s = painting.joined_s or now
        return chosen, len(claims)

    def _predict(
        self, paintings: list[Painting], lane: Lane, area: float
    ) -> list[tuple[Painting, torch.Tensor | Exception]]:
        """Return a prediction for each. What fails together is tried in halves, so that nobody pays for a neighbour."""
        try:
            laid_out = lane.rows_for(tuple(paintings))
            made: list[tuple[Painting, torch.Tensor | Exception]]
            made = list(zip(laid_out.paintings, laid_out.predict(), strict=True))
        except Exception as error:
            if len(paintings) == 1:
                return [(paintings[0], error)]
            if isinstance(error, torch.OutOfMemoryError):
                rows = sum(painting.rows for painting in paintings)
                self._limit.failed(int(rows * area))
            logger.warning("a step of %d pictures failed; trying it in halves", len(paintings), exc_info=True)
            middle = len(paintings) // 2
            return [*self._predict(paintings[:middle], lane, area), *self._predict(paintings[middle:], lane, area)]
        self._limit.went_well()
        return made

    def _advance(self, lane: Lane, painting: Painting, prediction: torch.Tensor | Exception) -> None:
        error = prediction if isinstance(prediction, Exception) else None
        if not isinstance(prediction, Exception):
            try:
                estimate = painting.advance(prediction)
                lane.guests[painting].watcher.stepped(painting, estimate)
            except Exception as failed:
                error = failed
        if error or painting.finished:
            with self._changed:
                watcher = lane.leave(painting)
            watcher.ended(painting, error)

    def _limit_queue(self) -> None:
        """Let a GPU have one step queued while it works on another, and no more."""
        if self._stream is None:
            return
        self._queued.append(self._stream.record_event())
        if len(self._queued) > STEPS_AHEAD:
            self._queued.popleft().synchronize()

    def _give_up(self) -> None:
        with self._changed:
            self._closed = True
            left = [
                (painting, guest.watcher) for lane in self._lanes.values() for painting, guest in lane.guests.items()
            ]
            self._lanes.clear()
        for painting, watcher in left:
            watcher.ended(painting, RuntimeError("the step loop has ended"))
