"""How many rows should share a step? A short measurement at start-up answers for this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

CANDIDATES = (2, 4, 8, 16, 32, 64)
REPEATS = 2
BUDGET_S = 4.0
WORTH = 1.1  # a larger step may cost at most so much more a row than the cheapest


def measure(step: Callable[[int], None], max_step_s: float, budget_s: float = BUDGET_S) -> dict[int, float]:
    """Seconds of `step(rows)` for each candidate, the fastest of a few tries after one to warm up.

    Stops before a step that would take longer than `max_step_s` if costs go on growing as they did, and when the
    budget is spent: a model so slow that it is spent at once gains nothing from company.
    """
    until = time.monotonic() + budget_s
    measured: dict[int, float] = {}
    for rows in CANDIDATES:
        _seconds(step, rows)
        tries = [_seconds(step, rows)]
        while len(tries) < REPEATS and time.monotonic() < until:
            tries.append(_seconds(step, rows))
        measured[rows] = min(tries)
        growth = measured[rows] / measured.get(rows // 2, measured[rows])
        if growth * measured[rows] > max_step_s or time.monotonic() > until:
            break
    return measured


def best_rows(measured: Mapping[int, float], max_step_s: float) -> int:
    """The most rows that share a step without throughput lost and without one step taking too long.

    Not the fewest that reach the full throughput: with room for more, a newcomer starts at the next step instead of
    waiting for somebody's last one, and a short job is not held up by long ones.
    """
    cheapest = min(seconds / rows for rows, seconds in measured.items())
    fit = [rows for rows, seconds in measured.items() if seconds <= max_step_s and seconds / rows <= WORTH * cheapest]
    return max(fit, default=min(measured, key=lambda rows: measured[rows] / rows))


def seconds_at(measured: Mapping[int, float], rows: float) -> float:
    """Of a step with so many rows, between what was measured."""
    sizes = sorted(measured)
    if rows >= sizes[-1]:
        return measured[sizes[-1]] * rows / sizes[-1]
    return float(np.interp(rows, sizes, [measured[size] for size in sizes]))


def _seconds(step: Callable[[int], None], rows: int) -> float:
    start = time.monotonic()
    step(rows)
    return time.monotonic() - start
