"""How long a piece of device work takes, and how much of the run's time is left."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch


class Clock:
    """The time that the run, or a part of it, may take."""

    def __init__(self, seconds: float) -> None:
        self._until = time.perf_counter() + seconds

    def left_s(self) -> float:
        return self._until - time.perf_counter()

    def part(self, seconds: float) -> Clock:
        """A clock for a part, which ends with the whole at the latest."""
        return Clock(min(seconds, self.left_s()))

    @property
    def over(self) -> bool:
        return self.left_s() <= 0


def milliseconds(call: Callable[[int], object], device: str, repeats: int = 8, warm: int = 2) -> float:
    """The median of `call(number)`, one after the other and never waited for in between, after some to warm up."""
    for number in range(warm):
        call(number)
    if device != "cuda":
        return 1000 * statistics.median(_seconds(call, warm + number) for number in range(repeats))
    torch.cuda.synchronize()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for number, event in enumerate(events[1:]):
        call(warm + number)
        event.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in pairwise(events))


def synchronized(call: Callable[[], object], device: str) -> float:
    """Seconds of `call` from start to the end of all it has asked of the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _seconds(call: Callable[[int], object], number: int) -> float:
    start = time.perf_counter()
    call(number)
    return time.perf_counter() - start
