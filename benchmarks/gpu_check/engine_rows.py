"""The rows of the speed table that need no Ray: what sharing steps brings, how soon a newcomer starts, how exact."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from benchmarks.engine import Timeline, exact, paint, saturated
from benchmarks.figures import Figure, interleaved, percentile, ratios
from benchmarks.gpu_check.models import Models, Place, scenes
from benchmarks.gpu_check.results import say
from benchmarks.gpu_check.timing import Clock
from benchmarks.workload import MIX, EditCase, TimedRequest, arrivals, closed_loop, open_loop
from deployments.config import InpaintArgs, InpaintSettings
from deployments.inpaint.denoiser import Denoiser
from deployments.inpaint.engine import InpaintEngine
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.rows import Rows
from deployments.messages import InpaintRequest

BATCH = 8
CAPS = (1, 8)
SHORT = min(MIX)


@dataclass(frozen=True)
class Amount:
    """How much is asked for: pictures at once and in how many rounds, and pictures of the mixed load."""

    saturated: int
    rounds: int
    mixed: int


FULL, TINY = Amount(8, 2, 12), Amount(4, 1, 4)


def measure(models: Models, place: Place, clock: Clock) -> Iterator[Figure]:
    amount = TINY if place.tiny else FULL
    known, timeline = scenes(8, models.inpaint.native_px), Timeline()
    args = InpaintArgs(device=place.device)
    engine = InpaintEngine(models.inpaint, args, InpaintSettings(max_pictures=10_000), timeline)
    try:
        yield Figure("rows that share a step, as the profile at the start chose", (float(engine.max_rows),))
        yield replace(saturated(engine, amount.rounds, known, say, amount.saturated, CAPS), target=2.0)
        yield exact(engine, args, known)
        if not clock.over:
            yield from _mixed(engine, timeline, known, amount)
    finally:
        engine.close()


class WholeRequests:
    """Batching of whole requests: the oldest, with up to seven others that wait and take as many steps, to their end.

    Never idle while somebody waits, which is more than `@serve.batch` does. The model, the execution and the rows are
    the engine's own, so that only the scheduling differs.
    """

    def __init__(self, model: InpaintModel, example: InpaintRequest) -> None:
        self._model = model
        self._denoiser = Denoiser(model.unet, threads=1)
        self._waiting: deque[tuple[InpaintRequest, Future[bool]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        for count in (1, 2, 4, BATCH):  # the engine has taken steps of these sizes by now, too
            self._paint([example] * count)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __call__(self, request: InpaintRequest) -> bool:
        """Return once it is painted."""
        done: Future[bool] = Future()
        with self._changed:
            self._waiting.append((request, done))
            self._changed.notify()
        return done.result()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._denoiser.close()

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._paint([request for request, _ in batch])
            except Exception as error:
                for _, done in batch:
                    done.set_exception(error)
            else:
                for _, done in batch:
                    done.set_result(True)

    def _next(self) -> list[tuple[InpaintRequest, Future[bool]]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return []
            steps = _steps(self._waiting[0][0])
            batch = [each for each in self._waiting if _steps(each[0]) == steps][:BATCH]
            for each in batch:
                self._waiting.remove(each)
            return batch

    @torch.inference_mode()
    def _paint(self, requests: list[InpaintRequest]) -> None:
        paintings = [self._model.prepare(request)[0] for request in requests]
        rows = Rows(paintings, self._denoiser)
        while not paintings[0].finished:
            for painting, prediction in zip(rows.paintings, rows.predict(), strict=True):
                painting.advance(prediction)
        for painting in paintings:
            self._model.decode(painting.latents, self._model.native_px)


@dataclass
class _Engine:
    """Asks the engine, and notes how many steps each request waited for its first one, and where its time went."""

    engine: InpaintEngine
    timeline: Timeline
    waits: list[float] = field(default_factory=list)
    spans: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __call__(self, request: InpaintRequest) -> bool:
        arrived = time.time()
        painted = self.engine.submit(request).future.result()
        spans = {span.name: span for span in painted.spans}
        step_s = self.timeline.step_at(arrived)
        self.waits.append((spans["inpaint.steps"].start_s - arrived) / step_s)
        self.spans["step"].append(step_s)
        self.spans["inpaint.prepare, from the arrival"].append(spans["inpaint.prepare"].end_s - arrived)
        for name in ("inpaint.wait", "inpaint.decode"):
            self.spans[name].append(spans[name].end_s - spans[name].start_s)
        return True

    def parts(self) -> dict[str, float]:
        """Return medians and 95th percentiles in milliseconds: a step is no fixed unit, and preparing takes none."""
        shares = {"median": 0.5, "p95": 0.95}
        return {
            f"ms, {name}, {which}": 1000 * percentile(seconds, share)
            for name, seconds in self.spans.items()
            for which, share in shares.items()
        }


def _mixed(engine: InpaintEngine, timeline: Timeline, known: list[EditCase], amount: Amount) -> Iterator[Figure]:
    """10, 20, 30 and 50 steps at random times, at 70 % of what batching whole requests can do."""
    engine.reconfigure(InpaintSettings(max_pictures=10_000))
    ours, theirs = _Engine(engine, timeline), WholeRequests(engine.model, known[0].inpaint(0, 2))
    mixed = [known[index % len(known)].inpaint(index, MIX[index % len(MIX)]) for index in range(amount.mixed)]
    try:
        short = [closed_loop(lambda each: paint(engine, each), [known[0].inpaint(seed, SHORT)], 1) for seed in range(5)]
        sides: Mapping[str, Callable[[InpaintRequest], bool]] = {"engine": ours, "request batching": theirs}
        capacity = {name: amount.mixed / closed_loop(ask, mixed, BATCH) for name, ask in sides.items()}
        ours.waits.clear()
        ours.spans.clear()
        per_s = 0.7 * capacity["request batching"]
        say(f"mixed steps, {per_s:.2f} images/s: mean latency in seconds")
        kept: dict[str, list[TimedRequest[InpaintRequest]]] = {name: [] for name in sides}

        def run(name: str) -> Callable[[int], float]:
            def mean_latency(number: int) -> float:
                outcomes = open_loop(sides[name], mixed, arrivals(len(mixed), per_s, number))
                kept[name] += outcomes
                return float(np.mean([outcome.latency_s for outcome in outcomes]))

            return mean_latency

        made = interleaved(1, {name: run(name) for name in sides}, say)
    finally:
        theirs.close()
    yield Figure(
        "mean latency, mixed steps: engine over request batching",
        ratios(made["engine"], made["request batching"]),
        0.7,
        below=True,
        parts={f"images/s at most, {name}": value for name, value in capacity.items()}
        | {f"mean s, {name}": float(np.median(values)) for name, values in made.items()},
    )
    alone, tail = float(np.median(short)), [each.latency_s for each in kept["engine"] if _steps(each.item) == SHORT]
    yield Figure(
        f"p95 of {SHORT}-step jobs in that mix, over the same alone",
        (percentile(tail, 0.95) / alone,),
        3,
        below=True,
        parts={"s alone": alone},
    )
    yield Figure(
        "arrival to first own step, over the current step time, p95",
        (percentile(ours.waits, 0.95),),
        1.5,
        below=True,
        parts={"median": float(np.median(ours.waits)), **ours.parts()},
    )


def _steps(request: InpaintRequest) -> int:
    return request.options.num_inference_steps or 0
