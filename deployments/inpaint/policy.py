"""Who takes part in the next step, when not all need to.

On hardware where a row costs nearly the same alone as in company, a step for everybody makes all of them wait for all.
So a step goes to those for whom a second of the machine does most: a picture is worth more the fewer steps it has left,
as in shortest-remaining-time-first (Schrage, Operations Research 16, 1968), but by the square root only, and company is
weighed by what it really costs here. Where rows cost next to nothing (a GPU at few rows) that is everybody. Nobody is
passed over more than `PATIENCE` times in a row, and a newcomer's first step is the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deployments.inpaint.painting import Painting

PATIENCE = 2  # a simulation of Poisson arrivals of 10 to 50 steps: short jobs gain much, long ones lose little

Cost = Callable[[float], float]


def choose(paintings: Sequence[Painting], cost: Cost) -> list[Painting]:
    """Return the paintings that take the next step, and note which were passed over.

    `cost` returns the seconds of a step from its number of rows.
    """
    chosen = [each for each in paintings if each.taken == 0 or each.passed_over >= PATIENCE]
    others = [each for each in paintings if each not in chosen]
    others.sort(key=lambda each: each.steps - each.taken)
    rows, worth = sum(each.rows for each in chosen), sum(map(_worth, chosen))
    best = worth / cost(rows) if chosen else 0.0
    fewest = len(chosen)
    for count, each in enumerate(others, start=fewest + 1):
        rows, worth = rows + each.rows, worth + _worth(each)
        if worth / cost(rows) >= best:
            best = worth / cost(rows)
            chosen = [*chosen[:fewest], *others[: count - fewest]]
    for each in paintings:
        each.passed_over = 0 if each in chosen else each.passed_over + 1
    return [each for each in paintings if each in chosen]


def _worth(painting: Painting) -> float:
    return (painting.steps - painting.taken) ** -0.5
