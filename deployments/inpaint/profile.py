"""How many rows should share a step? A short measurement at start-up answers for this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

CANDIDATES = (2, 4, 8, 16, 32, 64)
REPEATS = 2
LONGEST_S = 0.6  # no step that would take longer is tried
BUDGET_S = 4.0  # without the first call of each size, which may have to compile
IN_FULL = 1.7  # a step of twice the rows that takes this much longer: company saves next to nothing


def measure(step: Callable[[int], None], longest_s: float = LONGEST_S, budget_s: float = BUDGET_S) -> dict[int, float]:
    """Return the seconds of `step(rows)` for each candidate, the fastest of a few tries after one to warm up.

    It stops before a step that would take longer than `longest_s` if costs go on growing as they did, and when the
    budget is spent: a model so slow that it is spent at once gains nothing from company. Where rows have cost in full
    twice in a row, the larger steps are not tried: their seconds are those of as many rows more.
    """
    spent_s = 0.0
    measured: dict[int, float] = {}
    in_full = 0
    for rows in CANDIDATES:
        if in_full == 2:
            measured[rows] = 2 * measured[rows // 2]
            if 2 * measured[rows] > longest_s:
                break
            continue
        _seconds(step, rows)
        tries = [_seconds(step, rows)]
        while len(tries) < REPEATS and spent_s + sum(tries) < budget_s:
            tries.append(_seconds(step, rows))
        spent_s += sum(tries)
        measured[rows] = min(tries)
        growth = measured[rows] / measured.get(rows // 2, measured[rows])
        in_full = in_full + 1 if growth > IN_FULL else 0
        if growth * measured[rows] > longest_s or spent_s > budget_s:
            break
    return measured


def most_rows(measured: Mapping[int, float], max_step_s: float) -> int:
    """Return the most rows whose step stays under `max_step_s`; the fewest measured where none does.

    It is not the fewest that reach the full throughput: with room for more, a newcomer starts at the next step instead
    of waiting for somebody's last one. That no step is larger than pays is the policy's business.
    """
    return max((rows for rows, seconds in measured.items() if seconds <= max_step_s), default=min(measured))


def seconds_at(measured: Mapping[int, float], rows: float) -> float:
    """Return the seconds of a step with `rows` rows, interpolated between those that were measured."""
    sizes = sorted(measured)
    if rows >= sizes[-1]:
        return measured[sizes[-1]] * rows / sizes[-1]
    return float(np.interp(rows, sizes, [measured[size] for size in sizes]))


def _seconds(step: Callable[[int], None], rows: int) -> float:
    start = time.monotonic()
    step(rows)
    return time.monotonic() - start
