"""The engine by itself, in this process: what sharing steps brings, how soon a newcomer takes part, how exact it is."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figures import Figure, interleaved, percentile, ratios
from benchmarks.workload import MIX, EditCase, arrivals, closed_loop, open_loop
from deployments.config import InpaintArgs, InpaintSettings
from deployments.inpaint.engine import InpaintEngine
from deployments.inpaint.job import Job
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.steps import StepRecord
from deployments.messages import InpaintRequest

SATURATED_JOBS = 16
SATURATED_STEPS = 12
JOIN_JOBS = 24
REPEATED = 2  # pictures that are painted alone a second time
MATMUL = 2048


class Timeline:
    """When each step ended and how long it took."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.seconds: list[float] = []

    def __call__(self, record: StepRecord) -> None:
        self.ends.append(time.time())
        self.seconds.append(record.seconds)

    def step_at(self, moment: float) -> float:
        """Seconds of the step that was running then, or of the next one when none was."""
        index = bisect.bisect_left(self.ends, moment)
        return self.seconds[min(index, len(self.seconds) - 1)]


def measure(rounds: int, args: InpaintArgs, known: list[EditCase], say: Callable[[str], None]) -> Iterator[Figure]:
    timeline = Timeline()
    engine = InpaintEngine(InpaintModel.load(args), args, on_step=timeline)
    try:
        found = engine.max_rows
        say(f"profile: {found} rows share a step")
        yield saturated(engine, rounds, known, say)
        yield _joining(engine, timeline, rounds, known, say)
        yield exact(engine, args, known)
        yield _efficiency(engine)
    finally:
        engine.close()


def _settings(max_rows: int | None) -> InpaintSettings:
    return InpaintSettings(max_rows=max_rows, max_pictures=10_000)


def paint(engine: InpaintEngine, request: InpaintRequest) -> bool:
    engine.submit(request).future.result()
    return True


def saturated(
    engine: InpaintEngine,
    rounds: int,
    known: list[EditCase],
    say: Callable[[str], None],
    jobs: int = SATURATED_JOBS,
    caps: tuple[int, ...] = (1, 2, 4, 8),
) -> Figure:
    """Images a second with all jobs there from the start, by how many pictures may share a step."""

    def images_per_s(pictures: int) -> Callable[[int], float]:
        def run(number: int) -> float:
            engine.reconfigure(_settings(2 * pictures))
            requests = [
                known[index % len(known)].inpaint(jobs * number + index, SATURATED_STEPS) for index in range(jobs)
            ]
            return jobs / closed_loop(lambda request: paint(engine, request), requests, jobs)

        return run

    say("engine, saturated, 12 steps: images/s at a cap of so many pictures")
    made = interleaved(rounds, {str(cap): images_per_s(cap) for cap in caps}, say)
    parts = {f"images/s at cap {cap}": float(np.median(values)) for cap, values in made.items()}
    most = str(caps[-1])
    return Figure(f"engine: cap {most} over cap 1, saturated images/s", ratios(made[most], made["1"]), 1.3, parts=parts)


def _joining(
    engine: InpaintEngine, timeline: Timeline, rounds: int, known: list[EditCase], say: Callable[[str], None]
) -> Figure:
    """Poisson arrivals at 70 % of what the engine can do; from there on each is prepared and waits for a step."""
    engine.reconfigure(_settings(None))
    mixed = [known[index % len(known)].inpaint(index, MIX[index % len(MIX)]) for index in range(JOIN_JOBS)]
    capacity = JOIN_JOBS / closed_loop(lambda request: paint(engine, request), mixed, 8)
    say(f"engine, 70 % of {capacity:.2f} images/s of mixed steps: waits for the first step, in steps")
    waits: list[float] = []

    def ask(request: InpaintRequest) -> bool:
        arrived = time.time()
        painted = engine.submit(request).future.result()
        steps = next(span for span in painted.spans if span.name == "inpaint.steps")
        waits.append((steps.start_s - arrived) / timeline.step_at(arrived))
        return True

    p95 = []
    for number in range(rounds):
        waits.clear()
        open_loop(ask, mixed, arrivals(JOIN_JOBS, 0.7 * capacity, number))
        p95.append(percentile(waits, 0.95))
        say(f"round {number + 1}: p95 {p95[-1]:.2f}  median {np.median(waits):.2f}")
    return Figure("arrival to first own step, over the current step time, p95", tuple(p95), 2.0, below=True)


def exact(engine: InpaintEngine, args: InpaintArgs, known: list[EditCase]) -> Figure:
    """Latents that differ between pictures painted alone and among seven others, in one bucket of rows."""
    exact = InpaintEngine(engine.model, args.model_copy(update={"row_buckets": (16,)}), _settings(16))
    try:
        requests = [known[index].inpaint(index, steps) for index, steps in enumerate((6, 9, 7, 12, 8, 10, 11, 6))]
        alone = [_latents([exact.submit(request)])[0] for request in requests]
        together = _latents([exact.submit(request) for request in requests])
        again = [_latents([exact.submit(request)])[0] for request in requests[:REPEATED]]
    finally:
        exact.close()
    different = sum(int((one != other).sum()) for one, other in zip(alone, together, strict=True))
    apart = (float((one - other).abs().max() / one.std()) for one, other in zip(alone, together, strict=True))
    return Figure(
        "latents that differ from the solo run, among seven neighbours, same bucket",
        (float(different),),
        0,
        below=True,
        parts={
            "latents that differ between two solo runs": float(
                sum(int((one != other).sum()) for one, other in zip(alone, again, strict=False))
            ),
            "greatest difference over the spread": max(apart),
        },
    )


def _latents(jobs: list[Job]) -> list[torch.Tensor]:
    """The final ones, once all are done."""
    for job in jobs:
        job.future.result()
    return [job.paintings[0].latents for job in jobs]


@torch.inference_mode()
def _efficiency(engine: InpaintEngine) -> Figure:
    """The UNet's FLOP/s over those of a square matrix product, both as one call at a time."""
    model = engine.model
    rows, side = 8, model.native_px // model.vae_scale_factor
    text = model.encode_text("").expand(rows, -1, -1).contiguous()
    like: dict[str, Any] = {"dtype": text.dtype, "device": text.device}
    inputs = (torch.randn(rows, 9, side, side, **like), torch.full((rows,), 500.0, device=text.device))
    with FlopCounterMode(display=False) as counter:
        model.unet(*inputs, encoder_hidden_states=text)
    left, right = torch.randn(2, MATMUL, MATMUL, **like)
    unet = counter.get_total_flops() / _fastest(lambda: model.unet(*inputs, encoder_hidden_states=text))
    matmul = 2 * MATMUL**3 / _fastest(lambda: left @ right)
    parts = {"UNet GFLOP/s": unet / 1e9, "matmul GFLOP/s": matmul / 1e9}
    return Figure("UNet FLOP/s over a matmul's, one caller, 8 rows", (unet / matmul,), parts=parts)


def _fastest(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
