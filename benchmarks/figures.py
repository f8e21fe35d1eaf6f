"""Figures: one row of the table of targets each, from interleaved rounds; and comparisons, tables of their own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One row. `rounds` has its value in each round, or the one value that all rounds together have.

    `target` is what it is to reach on a CPU: "at least" or, where `below`, at most; None is reported and not judged.
    `parts` are the numbers it was made of, by name and unit. Where nothing could be measured `rounds` is empty and
    `missing` says why.
    """

    what: str
    rounds: tuple[float, ...]
    target: float | None = None
    below: bool = False
    parts: Mapping[str, float] = field(default_factory=dict)
    missing: str = ""

    @property
    def value(self) -> float | None:
        return statistics.median(self.rounds) if self.rounds else None

    @property
    def reached(self) -> str:
        return self.missing if self.value is None else f"{self.value:.2f}"

    @property
    def met(self) -> bool | None:
        if self.target is None or self.value is None:
            return None
        return self.value <= self.target if self.below else self.value >= self.target

    @property
    def wanted(self) -> str:
        if self.target is None:
            return "no target"
        return f"{'<=' if self.below else '>='} {self.target:g}"

    @property
    def verdict(self) -> str:
        return {None: "", True: "reached", False: "**missed**"}[self.met]

    @property
    def summary(self) -> str:
        return f"{self.what}: {self.reached} (wanted: {self.wanted})"

    @property
    def spread(self) -> str:
        if len(self.rounds) < 2:
            return ""
        return f"{min(self.rounds):.2f} to {max(self.rounds):.2f}"


@dataclass(frozen=True)
class Comparison:
    """A table beside that of the targets: what each of several systems did, by row and column, in the columns' units.

    A row without a value in some column has None there.
    """

    title: str
    rows: Mapping[str, Mapping[str, float | None]]

    @property
    def summary(self) -> str:
        return f"table: {self.title}"


def interleaved(
    rounds: int, sides: Mapping[str, Callable[[int], float]], say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Runs all sides in turn, round by round, in changing order: a slow minute then hits them all.

    Each side gets the number of the round and returns its figure for it.
    """
    made: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in names:
            made[name].append(sides[name](number))
        say(f"round {number + 1}: " + "  ".join(f"{name} {values[-1]:.3g}" for name, values in made.items()))
    return made


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, ...]:
    """Round by round, so that what slowed both is out of it."""
    return tuple(above / below for above, below in zip(numerators, denominators, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered) - 1e-9) - 1]
