"""One search by words as it goes on: what CLIP saw, and the candidates that come of SAM's answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from deployments.config import GroundingSettings
from deployments.grounding import spatial
from deployments.grounding.peaks import heat_mask, hot_spots
from deployments.grounding.ranking import (
    MISFIT_DENSITY,
    Question,
    Rated,
    Thing,
    View,
    evidence,
    questions,
    rate,
    whole_mask,
    whole_view,
)
from deployments.language.targets import Wording
from deployments.messages import Candidate, HeatMap, Masks, PackedMask, Point
from deployments.pixels.masks import bounding_box, iou, middle_of, tidy

MOST_THINGS = 6
LIKELY = 0.5  # heat: what is not as likely the phrase as all else is no other one of the same things
MASKS_PER_THING = 3
ONE_THING_IOU = 0.6  # of the best masks of two things: more, and they are one


@dataclass(frozen=True, eq=False)
class GroundedPhrase:
    """The wording that CLIP found best, its heat map, and where the thing of its relation is (x, y in pixels)."""

    map: HeatMap
    wording: Wording
    anchor: Point | None


@dataclass(frozen=True, eq=False)
class Proposal:
    """A candidate, and the number of the thing whose mask it may be."""

    candidate: Candidate
    thing: int


@dataclass(frozen=True, eq=False)
class TargetSearch:
    """A search in one picture (HxWx3 uint8) for the things that a grounded phrase names."""

    image: np.ndarray
    things: tuple[Thing, ...]
    grounded: GroundedPhrase
    settings: GroundingSettings

    @classmethod
    def of_words(cls, image: np.ndarray, grounded: GroundedPhrase, settings: GroundingSettings) -> TargetSearch:
        """Return the search for the likely hot places of the phrase's heat map, in `image` (HxWx3 uint8)."""
        first, *others = hot_spots(grounded.map.heat, image.shape[:2], settings.peaks)
        likely = [first, *(spot for spot in others if spot.strength >= LIKELY)]
        things = tuple(Thing(spot.points_xy, spot) for spot in likely[:MOST_THINGS])
        return cls(image, things, grounded, settings)

    @property
    def heat(self) -> np.ndarray:
        """The heat map of the phrase, hxw float32 in 0..1 over the whole picture."""
        return self.grounded.map.heat

    @property
    def size_hw(self) -> tuple[int, int]:
        """The height and width of the picture."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def whole(self) -> View:
        """The view of the whole picture."""
        return whole_view(self.image)

    def questions(self, view: View, only: Collection[int] | None = None) -> list[Question]:
        """Return the questions for SAM about all things, or about those with the numbers `only`."""
        asked = questions(view, self.things, self.heat, self.size_hw, self.settings)
        return [question for question in asked if only is None or question.thing in only]

    def proposals(self, view: View, asked: Sequence[Question], masks: Masks) -> list[Proposal]:
        """Return the best masks of SAM's answer as proposals, the best first within each thing."""
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
        mask = tidy(whole_mask(masks.masks[rated.number].unpack(), view, self.size_hw), thing.points_xy)
        features = rated.features
        candidate = Candidate(
            point_xy=thing.points_xy[0],
            box_xyxy=bounding_box(mask),
            area=float(mask.mean()),
            score=rated.score,
            sam_score=features["sam"],
            source=rated.question.source,
            mask=PackedMask.of(mask),
            features=features,
        )
        return Proposal(candidate, rated.question.thing)

    def arranged(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Return the best proposal of each thing, in the order in which the words mean them, and then all others."""
        best: dict[int, Proposal] = {}
        for proposal in proposals:
            best.setdefault(proposal.thing, proposal)
        firsts = _different([best[thing] for thing in sorted(best)])
        if self.grounded.map.found:
            strengths = [self.things[first.thing].spot.strength for first in firsts]
            things = [
                as_detection(first.candidate, strength) for first, strength in zip(firsts, strengths, strict=True)
            ]
            order = spatial.arrange(self.grounded.wording, things, self.grounded.anchor, self.size_hw[::-1])
            firsts = [firsts[index] for index in order]
        ranks = {first.thing: rank for rank, first in enumerate(firsts)}
        rest = [one for one in proposals if one.thing in ranks and one is not best[one.thing]]
        return firsts + sorted(rest, key=lambda one: ranks[one.thing])

    def with_heat(self, arranged: Sequence[Proposal]) -> list[Proposal]:
        """Return the proposals, with the heat map itself in front where the best mask does not fit it."""
        if not self.settings.use_heat:
            return list(arranged)
        thing = arranged[0].thing if arranged else 0
        if arranged and arranged[0].candidate.features["density"] >= MISFIT_DENSITY:
            return list(arranged)
        return [self.heat_proposal(thing, arranged[0].candidate.score if arranged else 0.0), *arranged]

    def heat_proposal(self, thing: int, score: float) -> Proposal:
        """Return the heat map itself as the mask of the thing with that number."""
        spot = self.things[thing].spot
        mask = heat_mask(spot, self.heat, self.size_hw)
        rough = Candidate(
            spot.points_xy[0], bounding_box(mask), float(mask.mean()), score, 0.0, "heat", PackedMask.of(mask)
        )
        return Proposal(rough, thing)


def anchor_point(found: HeatMap, wording: Wording, size_hw: tuple[int, int]) -> Point:
    """Return where the other thing of a relation is: (x, y) in a picture of `size_hw`.

    It may have words of place of its own ("the dog on the right").
    """
    spots = hot_spots(found.heat, size_hw, 1)
    things = [
        spatial.Detection(spot.box_xyxy, float(spot.cells.sum()), spot.points_xy[0], spot.strength) for spot in spots
    ]
    return spots[spatial.arrange(wording, things, None, size_hw[::-1])[0]].points_xy[0]


def with_nearby(arranged: Sequence[Proposal], nearby: Sequence[Proposal]) -> list[Proposal]:
    """Return the proposals with the first thing's masks from a nearby view, in place of those that they sharpen."""
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
    """Return the first proposals of things, without those whose mask is that of a stronger thing."""
    kept: list[Proposal] = []
    masks: list[np.ndarray] = []
    for first in firsts:
        mask = first.candidate.mask.unpack()
        if all(iou(mask, other) <= ONE_THING_IOU for other in masks):
            kept.append(first)
            masks.append(mask)
    return kept


def as_detection(candidate: Candidate, strength: float) -> spatial.Detection:
    """Return the candidate as the words of place and size compare it."""
    return spatial.Detection(candidate.box_xyxy, candidate.area, middle_of(candidate.box_xyxy), strength)
