"""The whole edit in one process, against the seed's way with the same weights; and CLIP and SAM in batches."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.figures import Figure, ratios
from benchmarks.gpu_check.models import Models, Place, noise, scenes
from benchmarks.gpu_check.results import say
from benchmarks.gpu_check.timing import Clock, synchronized
from benchmarks.in_process import InProcessGraph
from benchmarks.workload import GUIDANCE_SCALE, STEPS, EditCase
from deployments.config import (
    ClipSettings,
    DriverSettings,
    GraphArgs,
    InpaintArgs,
    ModelArgs,
    PaintingSettings,
)
from deployments.messages import EditRequest, EditResult, ScoreRequest, SearchRequest

CALLERS = 8
ROUNDS = 3
SATURATED_ROUNDS = 2
AGAIN = 2  # rounds in which the same picture comes a second time
BATCHES = (8, 16)


def measure(models: Models, place: Place, clock: Clock) -> list[Figure]:
    """One caller, then eight; the seed's way in between, so that both have the same machine."""
    return asyncio.run(_Edits(models, place, clock).measure())


class _Edits:
    def __init__(self, models: Models, place: Place, clock: Clock) -> None:
        self._models = models
        self._place = place
        self._clock = clock
        self._rounds, self._saturated, self._each = (1, 1, 1) if place.tiny else (ROUNDS, SATURATED_ROUNDS, 2)
        self._cases = scenes(CALLERS, models.inpaint.native_px)
        self._number = 0

    async def measure(self) -> list[Figure]:
        device = self._place.device
        with self._models.loaded():
            graph = InProcessGraph(
                GraphArgs(
                    clip=ModelArgs(device=device), sam=ModelArgs(device=device), inpaint=InpaintArgs(device=device)
                )
            )
        # Random weights are sure of nothing; and like the baseline, one square an edit, however odd its mask.
        painting = PaintingSettings(crop=False, max_retries=0)
        graph.configure(ClipSettings(min_confidence=0), DriverSettings(painting=painting, deadline_s=None))
        try:
            await self._edit(graph, self._new())
            self._stock(self._new())
            return [*await self._one_caller(graph), *await self._callers(graph)]
        finally:
            graph.close()

    def _new(self) -> EditCase:
        """A picture that nobody has seen, or the caches would answer."""
        self._number += 1
        case = self._cases[self._number % len(self._cases)]
        image = case.image.copy()
        image[0, 0] = np.frombuffer(self._number.to_bytes(3, "little"), np.uint8)
        return replace(case, image=image)

    async def _edit(self, graph: InProcessGraph, case: EditCase, seed: int = 0) -> EditResult:
        request = EditRequest(
            case.image, case.prompt, case.target, seed=seed, num_inference_steps=STEPS, guidance_scale=GUIDANCE_SCALE
        )
        result: EditResult = await graph.driver.edit(request)
        return result

    def _stock(self, case: EditCase) -> float:
        return synchronized(lambda: self._models.stock.edit(case, self._number), self._place.device)

    async def _one_caller(self, graph: InProcessGraph) -> list[Figure]:
        ours, theirs, again, changed = [], [], [], []
        stages: dict[str, list[float]] = defaultdict(list)
        for number in range(self._rounds):
            case = self._new()
            start = time.perf_counter()
            first = await self._edit(graph, case)
            ours.append(time.perf_counter() - start)
            theirs.append(self._stock(self._new()))
            changed.append(first.changed_outside_px)
            if number < AGAIN:
                second = await self._edit(graph, case, 1)
                again.append(_seconds(second, "sam.encode") / _seconds(first, "sam.encode"))
            for name in {span.name for span in first.trace}:
                stages[name].append(_seconds(first, name))
            say(f"round {number + 1}: an edit {ours[-1]:.3f} s, the seed's way {theirs[-1]:.3f} s")
            if self._clock.over:
                break
        parts = {"s, ours": float(np.median(ours)), "s, the seed's way": float(np.median(theirs))}
        parts |= {f"s, {name}": float(np.median(values)) for name, values in sorted(stages.items())}
        return [
            Figure("one caller: an edit over the seed's way", ratios(ours, theirs), 1.0, below=True, parts=parts),
            Figure("the same picture again: SAM's encoding over the first time", tuple(again), 0.15, below=True),
            Figure("pixels changed outside the mask", (float(sum(changed)),), 0, below=True),
        ]

    async def _callers(self, graph: InProcessGraph) -> list[Figure]:
        ours, theirs = [], []
        for number in range(self._saturated):
            cases = [self._new() for _ in range(self._each * CALLERS)]
            start = time.perf_counter()
            await _with_callers(CALLERS, lambda case: self._edit(graph, case), cases)
            ours.append(len(cases) / (time.perf_counter() - start))
            theirs.append(1 / float(np.median([self._stock(self._new()) for _ in range(self._each)])))
            say(f"round {number + 1}: images/s {ours[-1]:.2f}, the seed's way {theirs[-1]:.2f}")
            if self._clock.over:
                break
        parts = {"images/s, ours": float(np.median(ours)), "images/s, the seed's way": float(np.median(theirs))}
        return [Figure(f"{CALLERS} callers: images/s over the seed's way", ratios(ours, theirs), 2.0, parts=parts)]


async def _with_callers(count: int, ask: Callable[[Any], Any], items: Sequence[Any]) -> None:
    """`count` callers, each of which asks again once it is answered."""
    left = list(items)

    async def caller() -> None:
        while left:
            await ask(left.pop())

    await asyncio.gather(*(caller() for _ in range(count)))


def _seconds(result: EditResult, name: str) -> float:
    return sum(span.end_s - span.start_s for span in result.trace if span.name == name)


def batches(models: Models, place: Place, clock: Clock) -> Iterator[Figure]:
    """Pictures a second from one call with several, over calls with one: with preprocessing, from pixels to answer."""
    side = 128 if place.tiny else 512
    settings = ClipSettings(min_confidence=0)
    tasks: dict[str, Callable[[list[np.ndarray]], object]] = {
        "CLIP score": lambda images: models.clip.score([ScoreRequest(each, "a lemon") for each in images]),
        "CLIP locate": lambda images: models.clip.locate(
            [SearchRequest(each, ("the dog",)) for each in images], settings
        ),
        "SAM encode": lambda images: models.sam.encode(images),
    }
    for name, task in tasks.items():
        for size in BATCHES:
            if not clock.over:
                yield _batch(f"{name}, {size} together over one by one", task, size, side, place)


def _batch(what: str, task: Callable[[list[np.ndarray]], object], size: int, side: int, place: Place) -> Figure:
    single, together = [], []
    task(noise(size, side))
    if place.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if place.device == "cuda" else 0
    for _ in range(1 if place.tiny else 3):
        images, others = noise(size, side), noise(size, side)
        together.append(size / synchronized(lambda i=images: task(i), place.device))  # type: ignore[misc]
        single.append(size / synchronized(lambda i=others: [task([one]) for one in i], place.device))  # type: ignore[misc]
    parts = {"pictures/s, together": float(np.median(together)), "pictures/s, one by one": float(np.median(single))}
    if place.device == "cuda":
        parts["GiB on top, together"] = (torch.cuda.max_memory_allocated() - before) / 2**30
    return Figure(what, ratios(together, single), 3.0 if what.startswith("CLIP") else None, parts=parts)
