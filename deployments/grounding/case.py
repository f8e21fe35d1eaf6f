"""One search as it goes on: what was asked for, what CLIP saw, and the candidates that come of SAM's answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deployments.config import GroundingSettings
from deployments.grounding import spatial
from deployments.grounding.candidates import (
    MISFIT_DENSITY,
    Question,
    Rated,
    Thing,
    View,
    evidence,
    iou,
    questions,
    rate,
)
from deployments.grounding.masks import box_of, heat_mask, whole_mask
from deployments.grounding.peaks import hot_spots
from deployments.grounding.words import Wording
from deployments.messages import Box, Candidate, HeatMap, Masks, PackedMask, Point, Prompt

MOST_THINGS = 6
LIKELY = 0.5  # heat: what is not as likely the phrase as all else is no other one of the same things
MASKS_PER_THING = 3
ONE_THING_IOU = 0.6  # of the best masks of two things: more, and they are one
SMALL_CELLS = 8  # a thing that covers fewer of SAM's patches, side by side, deserves a look from nearby
NEARBY = 2.5  # side of that look over the thing's longest side


@dataclass(frozen=True, eq=False)
class Seen:
    """What CLIP says: the map of the wording that was found best, and where the thing of its relation is."""

    map: HeatMap
    wording: Wording
    anchor: Point | None


@dataclass(frozen=True, eq=False)
class Pointer:
    """What the caller points at; the fields are those of `messages.Prompt`, in pixels of the picture."""

    points_xy: tuple[Point, ...]
    labels: tuple[int, ...]
    box_xyxy: Box | None

    @property
    def on_it(self) -> tuple[Point, ...]:
        return tuple(point for point, label in zip(self.points_xy, self.labels, strict=True) if label)

    def question(self, view: View) -> Question:
        """For SAM, in pixels of the view; points that it does not show are left out."""
        box = None if self.box_xyxy is None else view.box_inside(self.box_xyxy)
        shown = [number for number, point in enumerate(self.points_xy) if view.shows(point)]
        points = tuple(view.inside(self.points_xy[number]) for number in shown)
        labels = tuple(self.labels[number] for number in shown)
        several = box is None and len(points) == 1
        return Question(Prompt(points, labels, box, several=several), "box" if box else "points", 0)


@dataclass(frozen=True, eq=False)
class Proposal:
    """A candidate, and the number of the thing whose mask it may be."""

    candidate: Candidate
    thing: int


@dataclass(frozen=True, eq=False)
class Case:
    """A search in one picture. Either CLIP has `seen` something, or there is a `pointer`."""

    image: np.ndarray
    things: tuple[Thing, ...]
    seen: Seen | None
    pointer: Pointer | None
    settings: GroundingSettings

    @classmethod
    def of_words(cls, image: np.ndarray, seen: Seen, settings: GroundingSettings) -> Case:
        first, *others = hot_spots(seen.map.heat, image.shape[:2], settings.peaks)
        likely = [first, *(spot for spot in others if spot.strength >= LIKELY)]
        things = tuple(Thing(spot.points_xy, spot) for spot in likely[:MOST_THINGS])
        return cls(image, things, seen, None, settings)

    @classmethod
    def of_pointer(cls, image: np.ndarray, pointer: Pointer, settings: GroundingSettings) -> Case:
        return cls(image, (Thing(pointer.on_it, None),), None, pointer, settings)

    @property
    def heat(self) -> np.ndarray | None:
        return None if self.seen is None else self.seen.map.heat

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]

    @property
    def whole(self) -> View:
        height, width = self.size_hw
        return View(self.image, (0, 0, width, height))

    def questions(self, view: View, only: int | None = None) -> list[Question]:
        """For SAM, about all things or one of them."""
        if self.pointer is not None:
            return [self.pointer.question(view)]
        assert self.heat is not None
        asked = questions(view, self.things, self.heat, self.size_hw, self.settings)
        return [question for question in asked if only is None or question.thing == only]

    def proposals(self, view: View, asked: Sequence[Question], masks: Masks) -> list[Proposal]:
        """What came of SAM's answer, best first within each thing."""
        known = evidence(view, self.things, self.heat, self.size_hw, masks.small.shape[1:])
        counts: defaultdict[int, int] = defaultdict(int)
        found = []
        for rated in rate(masks, asked, known, self.settings):
            counts[rated.question.thing] += 1
            if counts[rated.question.thing] <= MASKS_PER_THING:
                found.append(self._proposal(view, rated, masks))
        return [proposal for proposal in found if proposal.candidate.area]

    def _proposal(self, view: View, rated: Rated, masks: Masks) -> Proposal:
        thing = self.things[rated.question.thing]
        mask = whole_mask(masks.masks[rated.number].unpack(), view, thing.points_xy, self.size_hw)
        features = rated.features
        candidate = Candidate(
            point_xy=thing.points_xy[0] if thing.points_xy else _middle(box_of(mask)),
            box_xyxy=box_of(mask),
            area=float(mask.mean()),
            score=rated.score,
            sam_score=features["sam"],
            source=rated.question.source,
            mask=PackedMask.of(mask),
            features=features,
        )
        return Proposal(candidate, rated.question.thing)

    def arranged(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """The best proposal of each thing, in the order in which the words mean them; then all others."""
        best: dict[int, Proposal] = {}
        for proposal in proposals:
            best.setdefault(proposal.thing, proposal)
        firsts = _different([best[thing] for thing in sorted(best)])
        if self.seen is not None and self.seen.map.found:
            strengths = [self.things[first.thing].strength for first in firsts]
            things = [_spatial(first.candidate, strength) for first, strength in zip(firsts, strengths, strict=True)]
            order = spatial.arrange(self.seen.wording, things, self.seen.anchor, self.size_hw[::-1])
            firsts = [firsts[index] for index in order]
        ranks = {first.thing: rank for rank, first in enumerate(firsts)}
        rest = [one for one in proposals if one.thing in ranks and one is not best[one.thing]]
        return firsts + sorted(rest, key=lambda one: ranks[one.thing])

    def closer_view(self, candidate: Candidate, small_side: int) -> View | None:
        """A square around a thing that is small among SAM's patches; None if it is not.

        `small_side` is the longer side of SAM's small masks, four pixels to a patch.
        """
        left, top, right, bottom = candidate.box_xyxy
        longest, height, width = max(right - left, bottom - top), *self.size_hw
        if longest * small_side / max(height, width) >= 4 * SMALL_CELLS:
            return None
        side = min(round(NEARBY * longest), height, width)
        x = min(max(0, (left + right - side) // 2), width - side)
        y = min(max(0, (top + bottom - side) // 2), height - side)
        view = View(self.image[y : y + side, x : x + side], (x, y, x + side, y + side))
        # A mask may lie beside the point that it answers; seen from nearby, that point would mean nothing.
        return view if view.shows(candidate.point_xy) else None

    def with_heat(self, arranged: Sequence[Proposal]) -> list[Proposal]:
        """The same, with the heat map itself in front where the best mask does not fit it."""
        if self.seen is None or not self.settings.use_heat:
            return list(arranged)
        thing = arranged[0].thing if arranged else 0
        if arranged and arranged[0].candidate.features["density"] >= MISFIT_DENSITY:
            return list(arranged)
        spot = self.things[thing].spot
        assert spot is not None
        mask = heat_mask(spot, self.seen.map.heat, self.size_hw)
        score = arranged[0].candidate.score if arranged else 0.0
        rough = Candidate(spot.points_xy[0], box_of(mask), float(mask.mean()), score, 0.0, "heat", PackedMask.of(mask))
        return [Proposal(rough, thing), *arranged]


def anchor_point(seen: HeatMap, wording: Wording, size_hw: tuple[int, int]) -> Point:
    """Where the other thing of a relation is; it may have words of place of its own ("the dog on the right")."""
    spots = hot_spots(seen.heat, size_hw, 1)
    things = [spatial.Thing(spot.box_xyxy, float(spot.cells.sum()), spot.points_xy[0], spot.strength) for spot in spots]
    return spots[spatial.arrange(wording, things, None, size_hw[::-1])[0]].points_xy[0]


def with_nearby(arranged: Sequence[Proposal], nearby: Sequence[Proposal]) -> list[Proposal]:
    """The same with the masks of the first thing as seen from nearby, instead of those that they sharpen."""
    if not nearby:
        return list(arranged)
    others = [one for one in arranged[1:] if one.thing != nearby[0].thing]
    sharp = nearby[0].candidate.mask.unpack()
    other_masks = [
        one
        for one in arranged
        if one.thing == nearby[0].thing and iou(one.candidate.mask.unpack(), sharp) <= ONE_THING_IOU
    ]
    return [nearby[0], *others, *nearby[1:], *other_masks]


def _different(firsts: Sequence[Proposal]) -> list[Proposal]:
    """Without things that turn out to be a stronger one."""
    kept: list[Proposal] = []
    masks: list[np.ndarray] = []
    for first in firsts:
        mask = first.candidate.mask.unpack()
        if all(iou(mask, other) <= ONE_THING_IOU for other in masks):
            kept.append(first)
            masks.append(mask)
    return kept


def _spatial(candidate: Candidate, strength: float) -> spatial.Thing:
    return spatial.Thing(candidate.box_xyxy, candidate.area, _middle(candidate.box_xyxy), strength)


def _middle(box: Box) -> Point:
    return (box[0] + box[2]) // 2, (box[1] + box[3]) // 2


def rescored(proposals: Sequence[Proposal], crop_scores: Sequence[float], weight: float) -> list[Proposal]:
    """With CLIP's opinion of each one's crop among the features: how far it lies above their mean, in deviations."""
    values = np.array(crop_scores)
    standing = (values - values.mean()) / max(float(values.std()), 1e-6)
    made = []
    for proposal, value in zip(proposals, standing, strict=True):
        features = {**proposal.candidate.features, "crop": float(value)}
        score = proposal.candidate.score + weight * float(value)
        made.append(replace(proposal, candidate=replace(proposal.candidate, features=features, score=score)))
    return sorted(made, key=lambda one: -one.candidate.score)
