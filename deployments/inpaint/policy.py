"""Who takes part in the next step, when not all can or need to.

It is fair between requests, not between pictures: a request for eight has no more of a claim than a request for one.
The requests go in the order in which equal shares of the steps would finish them (`shares.py`).

On hardware where a row costs nearly the same alone as in company, a step for everybody makes all of them wait for all.
So a step goes to those for whom a second of the machine does most: a request is worth more the less work it has left,
as in shortest-remaining-time-first (Schrage, Operations Research 16, 1968), but by the square root only, and company is
weighed by what it really costs here. Where rows cost next to nothing (a GPU at few rows) that is everybody.

The request that is first in the order always takes part, so nobody starves. No request is passed over more than
`PATIENCE` times in a row, and a newcomer's first step is the next one: a step of one of its pictures, the others follow
in their turn. Only where the rows do not suffice for all does the order alone decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deployments.inpaint.painting import Painting

# Simulated with two cores' costs: with a limit of 2, short requests take a tenth to a fifth longer; with none, a
# request for eight among four callers of one each ends three tenths later.
PATIENCE = 4

Cost = Callable[[float], float]


@dataclass(eq=False)
class Claim:
    """A request's claim to the steps: its unfinished paintings, and when equal shares would finish it.

    `due` is a value of `EqualShares.now`. `undone` are the rows of those that left before they were finished.
    """

    paintings: list[Painting]
    due: float
    new: bool = True  # until one of them has been chosen
    passed_over: int = 0  # steps in a row that others took without any of them
    undone: int = 0


@dataclass(frozen=True, eq=False)
class _Candidate:
    painting: Painting
    claim: Claim
    worth: float
    leads: bool  # the first of its request


def rows_left(painting: Painting) -> int:
    """Return the rows of all steps that the painting still has to take."""
    return (painting.steps - painting.taken) * painting.rows


def seated(claims: Sequence[Claim], max_rows: int) -> list[Painting]:
    """Return the paintings that there is room for, in order of precedence; always at least one of them.

    The paintings of a request go by the steps that they have left, so that those which have begun are finished first.
    """
    room = max_rows
    chosen: list[Painting] = []
    for claim in sorted(claims, key=lambda claim: claim.due):
        for painting in sorted(claim.paintings, key=lambda each: each.steps - each.taken):
            if chosen and painting.rows > room:
                return chosen
            room -= painting.rows
            chosen.append(painting)
    return chosen


def choose(claims: Sequence[Claim], seats: Sequence[Painting], now: float, cost: Cost | None) -> list[Painting]:
    """Return those of the seated paintings that take the next step, and note which requests were passed over.

    `seats` comes from `seated`, `now` is that of `EqualShares`. `cost` returns the seconds of a step from its number of
    rows; without it all that are seated take part.
    """
    chosen = set(seats) if cost is None else _worthwhile(_candidates(claims, seats, now), cost)
    for claim in claims:
        takes_part = not chosen.isdisjoint(claim.paintings)
        claim.new = claim.new and not takes_part
        claim.passed_over = 0 if takes_part else claim.passed_over + 1
    return [each for claim in claims for each in claim.paintings if each in chosen]


def _candidates(claims: Sequence[Claim], seats: Sequence[Painting], now: float) -> list[_Candidate]:
    owner = {painting: claim for claim in claims for painting in claim.paintings}
    worth = {claim: _worth(claim, now) for claim in claims}
    first = {owner[painting]: painting for painting in reversed(seats)}
    return [_Candidate(each, owner[each], worth[owner[each]], first[owner[each]] is each) for each in seats]


def _worth(claim: Claim, now: float) -> float:
    """Return what a step of one of its paintings is worth.

    A request that has had less than an equal share is no smaller for that: then its rows that are left count.
    """
    return float(max(claim.due - now, sum(map(rows_left, claim.paintings))) ** -0.5)


def _worthwhile(candidates: Sequence[_Candidate], cost: Cost) -> set[Painting]:
    """Return those that must take part, and as many others in order as bring the most worth for a second."""
    must = [
        each
        for number, each in enumerate(candidates)
        if each.leads and (number == 0 or each.claim.new or each.claim.passed_over >= PATIENCE)
    ]
    others = [each for each in candidates if each not in must]
    rows, worth = sum(each.painting.rows for each in must), sum(each.worth for each in must)
    best, joined = worth / cost(rows), 0
    for count, each in enumerate(others, start=1):
        rows, worth = rows + each.painting.rows, worth + each.worth
        if worth / cost(rows) >= best:
            best, joined = worth / cost(rows), count
    return {each.painting for each in (*must, *others[:joined])}
