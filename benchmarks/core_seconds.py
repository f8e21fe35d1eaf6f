"""What an edit costs beside the steps of the UNet, in seconds of a core, wherever in the service they are spent.

Measured is the CPU time, user and system, of all processes of this program's Ray: proxy, driver, models, Ray's own. One
caller asks over HTTP, never twice with the same pixels. What those processes spend when nobody asks is taken off. Edits
of few and of many steps lie on a line: its slope is a step, and where it meets no steps is all the rest: HTTP and the
picture's file, finding, CLIP's scores, the painter's text and VAE, and Serve's hops.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import psutil

from benchmarks.figures import Figure, interleaved

FEW, MANY = 2, 22  # steps
EDITS = 8  # of each in a round
IDLE_S = 5.0
WANTED = 0.2  # half of what it was on two cores when this was first measured


def outside_the_unet(rounds: int, edit: Callable[[int], None], say: Callable[[str], None]) -> Figure:
    """Return the figure; `edit(steps)` makes one edit and waits for it."""
    say("core-seconds of an edit by its steps")
    edit(FEW)
    idle = idle_cores()
    sides = {
        f"core-s at {steps} steps": lambda _, steps=steps: _per_edit(lambda: edit(steps), idle) for steps in (FEW, MANY)
    }
    few, many = interleaved(rounds, sides, say).values()
    per_step = [(most - least) / (MANY - FEW) for least, most in zip(few, many, strict=True)]
    rest = tuple(least - FEW * step for least, step in zip(few, per_step, strict=True))
    parts = {"core-s of a step": statistics.median(per_step), "cores busy when idle": idle}
    return Figure("core-seconds an edit outside the UNet", rest, WANTED, True, parts)


def _per_edit(edit: Callable[[], None], idle: float) -> float:
    start, before = time.monotonic(), _spent_s()
    for _ in range(EDITS):
        edit()
    return (_spent_s() - before - idle * (time.monotonic() - start)) / EDITS


def idle_cores() -> float:
    """Return how many cores the processes below this one take while nobody asks for anything."""
    start, before = time.monotonic(), _spent_s()
    time.sleep(IDLE_S)
    return (_spent_s() - before) / (time.monotonic() - start)


def _spent_s() -> float:
    """CPU seconds of all processes that this one has started, and of those that they have."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:  # it has ended between the two calls
            continue
        total += times.user + times.system
    return total
