"""What is asked of the systems: pictures of the pocket world, closed loops and offered load with fixed seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from deployments.config import ClipSettings, ModelArgs
from deployments.messages import InpaintRequest, PaintOptions, SearchRequest
from deployments.pixels import regions
from deployments.pixels.files import encode
from pocket import world
from pocket.vocabulary import STICKERS

STREAM = 8
SIZE_WH = (320, 256)
STEPS = 30
GUIDANCE_SCALE = 3.0
MIX = (10, 20, 30, 50)  # steps, equally often

Item = TypeVar("Item")
MARKED_EVERY = 16  # pixels


@dataclass(frozen=True, eq=False)
class EditCase:
    """An edit to ask for: the picture, as pixels and as a PNG, what to find, what to paint there, and its mask."""

    image: np.ndarray
    png: bytes
    target: str
    prompt: str
    mask: np.ndarray

    def marked(self, number: int) -> EditCase:
        """The same with other pixels here and there, different ones for each number: no view of it was seen before."""
        rng = np.random.default_rng(number % 2**32)
        image = self.image.copy()
        image[::MARKED_EVERY, ::MARKED_EVERY] = rng.integers(0, 256, image[::MARKED_EVERY, ::MARKED_EVERY].shape)
        return replace(self, image=image, png=encode(image))

    def inpaint(self, seed: int, steps: int = STEPS) -> InpaintRequest:
        """The painter's part of the edit alone."""
        squares = regions.plan(self.mask).squares(self.image)
        options = PaintOptions(num_inference_steps=steps, guidance_scale=GUIDANCE_SCALE)
        return InpaintRequest(squares, self.prompt, (seed,), options)


def cases(count: int, size_wh: tuple[int, int] = SIZE_WH) -> list[EditCase]:
    """Scenes of the evaluation stream whose target CLIP finds; each another picture."""
    from deployments.clip.model import ClipMatcher

    matcher, settings = ClipMatcher.load(ModelArgs()), ClipSettings()
    found: list[EditCase] = []
    seed = 0
    while len(found) < count:
        rng = world.evaluation_rng(STREAM, seed)
        scene = world.compose(rng, size_wh)
        placed = scene.placed[0]
        target, prompt = f"the {placed.sticker.name}", f"a {STICKERS[int(rng.integers(len(STICKERS)))].name}"
        (search,) = matcher.locate([SearchRequest(scene.image, (target,))], settings)
        if not isinstance(search, Exception) and search.maps[0].found:
            found.append(EditCase(scene.image, encode(scene.image), target, prompt, placed.mask))
        seed += 1
    return found


@dataclass(frozen=True)
class TimedRequest(Generic[Item]):
    """One request: when it was due, how long it took from then on, and whether it was answered."""

    item: Item
    due_s: float
    latency_s: float
    answered: bool


def closed_loop(call: Callable[[Item], object], items: Sequence[Item], concurrency: int) -> float:
    """Return the seconds until all are done, with `concurrency` callers that ask again once they are answered."""
    start = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as callers:
        list(callers.map(call, items))
    return time.perf_counter() - start


def arrivals(count: int, per_s: float, seed: int) -> list[float]:
    """A Poisson process: seconds from the start at which requests are due."""
    gaps = np.random.default_rng([STREAM, seed]).exponential(1 / per_s, count)
    return [float(due) for due in np.cumsum(gaps)]


def arrivals_within(seconds: float, per_s: float, seed: int) -> list[float]:
    """A Poisson process for that long: seconds from its first arrival, which is at 0, at which requests are due."""
    rng = np.random.default_rng([STREAM, seed])
    due = [0.0]
    while (following := due[-1] + float(rng.exponential(1 / per_s))) < seconds:
        due.append(following)
    return due


def open_loop(call: Callable[[Item], bool], items: Sequence[Item], due_s: Sequence[float]) -> list[TimedRequest[Item]]:
    """Asks when each is due, whether or not the earlier ones are answered. `call` says whether it was answered."""
    start = time.perf_counter()

    def ask(item: Item, due: float) -> TimedRequest[Item]:
        time.sleep(max(0.0, start + due - time.perf_counter()))
        answered = call(item)
        return TimedRequest(item, due, time.perf_counter() - start - due, answered)

    with ThreadPoolExecutor(len(items)) as callers:
        return list(callers.map(ask, items, due_s))
