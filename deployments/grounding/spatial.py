"""Decide which of several things is meant: apply the order and the relation of a wording to what was found.

What cannot be decided is refused by the name `target`: the third of two, something left of a thing that is not there,
or a place where there is nothing. Another thing is never taken in silence.

Values that differ by less than `SAME` (of the picture's side, or of the size) count as equal, and the stronger match
comes first: of two that stand one above the other neither is the leftmost. Things that are still equal keep their
order. So, except for exact doubles, the answer does not depend on the order in which the things come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deployments.errors import InvalidInput
from deployments.language.meaning import Order, Relation, Wording
from deployments.messages import Box

SAME = 0.01
ABOUT_EQUAL = 0.8  # of the best match's strength: a hint decides among things that are so strong
STRAIGHT, ASKEW, ELSEWHERE = range(3)  # how well a thing fits a relation

# Where the places are, in shares of the picture's width and height.
SPOTS = {
    **{"upper_left": (0.0, 0.0), "upper_middle": (0.5, 0.0), "upper_right": (1.0, 0.0)},
    **{"middle_left": (0.0, 0.5), "centre": (0.5, 0.5), "middle_right": (1.0, 0.5)},
    **{"lower_left": (0.0, 1.0), "lower_middle": (0.5, 1.0), "lower_right": (1.0, 1.0)},
}


@dataclass(frozen=True, eq=False, slots=True)
class Detection:
    """A thing that was found: its box and centre in pixels of the picture, and its `area` in any unit common to all.

    `strength`, at least 0, says how well it matches the phrase.
    """

    box_xyxy: Box
    area: float
    centre_xy: tuple[float, float]
    strength: float


def arrange(
    wording: Wording, things: Sequence[Detection], anchor: tuple[float, float] | None, size_wh: tuple[int, int]
) -> list[int]:
    """Return all indices of `things`, the best first: by order and relation, or the strongest first without either.

    All things are taken to be what the phrase names: those that hardly match it have to be left out before. `anchor` is
    where the relation's other thing is, in pixels. Things that fit a relation come before those that do not: straight
    in its direction (within 45 degrees, and not where the other thing itself is) before askew, then the nearest first.
    Raises InvalidInput where the words mean none of them.
    """
    strongest = sorted(range(len(things)), key=lambda index: -things[index].strength)
    order = wording.order or (Order("anchor") if wording.relation else None)
    if order is None or not things:
        return strongest
    fits = _fits(wording, things, anchor)
    meant = _meant(wording, order, things, fits, size_wh)
    values = _values(order, [things[index] for index in meant], anchor, size_wh)
    levels = _levels(-values if order.descending else values)
    strengths = np.array([things[index].strength for index in meant])
    tiers = fits[meant] if order.key == "anchor" else np.zeros(len(meant))
    ranked = [int(meant[place]) for place in np.lexsort((-strengths, levels, tiers))]
    if order.rank > len(ranked):
        message = f"`target` asks for number {order.rank} of {wording.phrase!r}, but the picture shows {len(ranked)}."
        raise InvalidInput(message, "target")
    first = ranked.pop(order.rank - 1)
    return [first, *ranked, *(index for index in strongest if index not in (first, *ranked))]


def fitting(
    wording: Wording, things: Sequence[Detection], anchor: tuple[float, float] | None, size_wh: tuple[int, int]
) -> list[int]:
    """Return the indices of all `things` that are where the wording says, in their order.

    Raises InvalidInput where none is, or where the words do not say which are: all are more or less near to something.
    """
    if wording.relation and wording.relation.kind == "near":
        raise InvalidInput(
            f"`target` names every {wording.phrase!r} near {wording.relation.anchor!r}, and how near is not said. Name "
            "one of them, or those in a part of the picture, such as on the left.",
            "target",
        )
    if not things:
        return []
    return [int(index) for index in _meant(wording, None, things, _fits(wording, things, anchor), size_wh)]


def _fits(wording: Wording, things: Sequence[Detection], anchor: tuple[float, float] | None) -> np.ndarray:
    """Return how well each thing fits the relation, N int; lower is better."""
    relation = wording.relation
    if relation is None:
        return np.full(len(things), STRAIGHT)
    if anchor is None:
        message = f"`target` says where {wording.phrase!r} is by {relation.anchor!r}, which was not found."
        raise InvalidInput(message, "target")
    return np.array([_fit(relation, thing, anchor) for thing in things])


def _fit(relation: Relation, thing: Detection, anchor: tuple[float, float]) -> int:
    (left, top, right, bottom), (x, y) = thing.box_xyxy, anchor
    is_there = left <= x < right and top <= y < bottom
    if relation.kind == "near":
        return ASKEW if is_there else STRAIGHT
    dx, dy = thing.centre_xy[0] - x, thing.centre_xy[1] - y
    along = {"left_of": -dx, "right_of": dx, "above": -dy, "below": dy}[relation.kind]
    across = abs(dy) if relation.kind in ("left_of", "right_of") else abs(dx)
    if along <= 0:
        return ELSEWHERE
    return ASKEW if is_there or along < across else STRAIGHT


def _meant(
    wording: Wording, order: Order | None, things: Sequence[Detection], fits: np.ndarray, size_wh: tuple[int, int]
) -> np.ndarray:
    """Return the indices of the things among which the order counts; there is at least one."""
    counts = fits < ELSEWHERE
    if not counts.any() and wording.relation:
        where = f"{wording.relation.kind.replace('_', ' ')} {wording.relation.anchor!r}"
        raise InvalidInput(f"`target` asks for {wording.phrase!r} {where}, but there is none.", "target")
    if wording.among:
        counts &= _in_part(wording.among, _centres(things) / size_wh)
    if order and not order.firm:
        strengths = np.array([thing.strength for thing in things])
        counts &= strengths >= ABOUT_EQUAL * strengths.max()
    if not counts.any():
        raise InvalidInput(f"`target` asks for {wording.phrase!r} in a part of the picture that shows none.", "target")
    return np.flatnonzero(counts)


def _in_part(place: Order, shares: np.ndarray) -> np.ndarray:
    """Return which of Nx2 positions (shares of the sides) are in that half, quarter or middle of a picture: N bool."""
    end = float(place.descending)
    spot = {"x": (end, None), "y": (None, end)}.get(place.key) or SPOTS[place.key]
    inside = np.ones(len(shares), bool)
    for share, middle in zip(shares.T, spot, strict=True):
        if middle is not None:
            inside &= np.abs(share - middle) <= (0.25 if middle == 0.5 else 0.5)
    return inside


def _values(
    order: Order, things: Sequence[Detection], anchor: tuple[float, float] | None, size_wh: tuple[int, int]
) -> np.ndarray:
    """Return what the order compares, N float: shares of the picture's sides, or logarithms of sizes."""
    centres = _centres(things)
    left, top, right, bottom = np.array([thing.box_xyxy for thing in things], float).T
    if order.key in ("x", "y"):
        return (centres / size_wh)[:, "xy".index(order.key)]
    if order.key in ("area", "height", "width"):
        sizes = {"area": np.array([thing.area for thing in things]), "height": bottom - top, "width": right - left}
        return np.log(np.maximum(sizes[order.key], 1e-9))
    if order.key == "anchor" and anchor is not None:
        return np.hypot(*(centres - anchor).T) / max(size_wh)
    if order.key == "middle" and len(things) % 2 and len(things) > 1:
        along = centres[:, np.ptp(centres, axis=0).argmax()]
        return np.abs(along - np.median(along)) / max(size_wh)
    return np.hypot(*(centres / size_wh - SPOTS.get(order.key, SPOTS["centre"])).T)


def _centres(things: Sequence[Detection]) -> np.ndarray:
    return np.array([thing.centre_xy for thing in things], float)


def _levels(values: np.ndarray) -> np.ndarray:
    """Return the ranks of N values from 0 on, N int. Values within `SAME` of the lowest of a level share that level."""
    levels = np.zeros(len(values), int)
    level, lowest = 0, values.min()
    for index in np.argsort(values, kind="stable"):
        if values[index] - lowest > SAME:
            level, lowest = level + 1, values[index]
        levels[index] = level
    return levels
