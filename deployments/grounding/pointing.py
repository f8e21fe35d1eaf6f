"""What the caller points at: what SAM is asked about it, which of its answers obey, and what stands in for them.

An answer obeys that holds the points which are on the thing and none which is not, and lies in the box. SAM gives
others too: for a point on bare ground it often cuts out the nearest thing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deployments.config import GroundingSettings
from deployments.errors import InvalidInput
from deployments.grounding.ranking import (
    SAME_IOU,
    Question,
    Rated,
    View,
    agreement,
    distinct,
    nearby_view,
    usable,
    weigh,
    whole_mask,
    whole_view,
)
from deployments.messages import Box, Candidate, HeatMap, Masks, PackedMask, Point, Prompt, Source
from deployments.pixels.masks import bounding_box, disc, distance_px, iou, middle_of, tidy

RIM_CELLS = 2  # pixels of SAM's small masks, which are no finer: how far a mask may end before a point that it means
MOST_ALONE = 16  # points that SAM is asked about one by one
TOGETHER = -1  # the number of the question about all points and the box together
INSIDE_SHARE = 0.5  # of a mask: with less of it in the box it is of something else
FILLED_SHARE = 0.05  # of the box: a mask that fills less of it is not what the box is around
AROUND_SHARE = 0.05  # of the picture's shorter side: the radius of the region around a point that no mask holds
MIN_AROUND_PX = 2
HOT_SHARE = 0.5  # of the picture's greatest heat: what is weaker is not what the words name
# How much of a mask has to be as hot as that: a part of it, or, as a mask may be drawn wide of the thing, a part of all
# that is hot in the picture.
HOT_PART_OF_MASK = 0.1
HOT_PART_OF_HEAT = 0.5


@dataclass(frozen=True, eq=False)
class Pointer:
    """The points and the box that the caller gives, with the fields of `messages.Prompt`, in pixels of the picture."""

    points_xy: tuple[Point, ...]
    labels: tuple[int, ...]
    box_xyxy: Box | None

    @property
    def on_it(self) -> tuple[Point, ...]:
        """The points that lie on the thing."""
        return self._labelled(1)

    @property
    def off_it(self) -> tuple[Point, ...]:
        """The points that do not lie on the thing."""
        return self._labelled(0)

    def _labelled(self, wanted: int) -> tuple[Point, ...]:
        return tuple(point for point, label in zip(self.points_xy, self.labels, strict=True) if label == wanted)

    def obeyed_by(self, mask: np.ndarray, on_it: Sequence[Point], cell_px: int) -> np.ndarray | None:
        """Return the part of `mask` (HxW bool) that `on_it` and the box mean, or None if it does not obey.

        `cell_px` is how fine SAM's masks are. One may end RIM_CELLS before a point and is then made to reach it, and
        reach one cell beyond the box.
        """
        if self.box_xyxy is not None:
            mask = self._boxed(mask, self.box_xyxy, cell_px)
        reaching = mask.copy()
        for point in on_it:
            missed_by_px = distance_px(mask, point, RIM_CELLS * cell_px)
            if math.isinf(missed_by_px):
                return None
            window, patch = disc((mask.shape[0], mask.shape[1]), point, missed_by_px)
            reaching[window] |= patch
        part = tidy(reaching, on_it)
        if self.off_it:  # a hole may be what such a point is in
            part &= reaching
        return part if part.any() and not any(part[y, x] for x, y in self.off_it) else None

    def _boxed(self, mask: np.ndarray, box: Box, leak_px: int) -> np.ndarray:
        """Return the mask within the box and `leak_px` around it; empty if it is a mask of something else."""
        left, top, right, bottom = box
        inside = int(mask[top:bottom, left:right].sum())
        least = 0 if self.on_it else FILLED_SHARE * (right - left) * (bottom - top)
        kept = np.zeros_like(mask)
        if inside >= max(least, INSIDE_SHARE * int(mask.sum())):
            rows = slice(max(0, top - leak_px), bottom + leak_px)
            columns = slice(max(0, left - leak_px), right + leak_px)
            kept[rows, columns] = mask[rows, columns]
        return kept

    def around(self, points_xy: Sequence[Point], size_hw: tuple[int, int]) -> np.ndarray:
        """Return a small region around each of the points, or the box where there are none: HxW bool, `size_hw` large.

        It keeps away from the points that are not on the thing. Raises InvalidInput if they leave nothing of the box.
        """
        radius = max(MIN_AROUND_PX, AROUND_SHARE * min(size_hw))
        left, top, right, bottom = self.box_xyxy or (0, 0, size_hw[1], size_hw[0])
        region = np.zeros(size_hw, bool)
        for point in points_xy:
            nearest = min((math.dist(point, other) for other in self.off_it), default=math.inf)
            window, near = disc(size_hw, point, min(radius, nearest / 2))
            region[window] |= near
        if not points_xy:
            region[top:bottom, left:right] = True
            for point in self.off_it:
                window, near = disc(size_hw, point, radius)
                region[window] &= ~near
        inside = np.zeros_like(region)
        inside[top:bottom, left:right] = region[top:bottom, left:right]
        if not inside.any():
            raise InvalidInput("`points` with label 0 leave nothing of the `box`.", "points")
        return inside


@dataclass(frozen=True, eq=False)
class Pointing:
    """A search in one picture (HxWx3 uint8) for the things that a pointer marks."""

    image: np.ndarray
    pointer: Pointer
    settings: GroundingSettings

    @property
    def size_hw(self) -> tuple[int, int]:
        """The height and width of the picture."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def whole(self) -> View:
        """The view of the whole picture."""
        return whole_view(self.image)

    def questions(self, view: View) -> list[Question]:
        """Return questions for SAM about all points and the box, and about each point alone.

        The points may be on several things. Those that are not on the thing are part of every question, as far as the
        view shows them.
        """
        on_it, box = self.pointer.on_it, self.pointer.box_xyxy
        inside = None if box is None else view.box_inside(box)
        source: Source = "points" if box is None else "box"
        asked = [Question(self._prompt(view, on_it, inside, True), source, TOGETHER)]
        if len(on_it) > 1 or inside is not None:  # less ambiguous than a lone point: SAM has one mask for these
            asked.append(Question(self._prompt(view, on_it, inside, False), source, TOGETHER))
        if len(on_it) > 1:
            alone = enumerate(on_it[:MOST_ALONE])
            asked += [Question(self._prompt(view, (point,), None, True), "points", number) for number, point in alone]
        return asked

    def _prompt(self, view: View, on_it: Sequence[Point], box: Box | None, several: bool) -> Prompt:
        off_it = tuple(filter(view.shows, self.pointer.off_it))
        points = tuple(map(view.inside, (*on_it, *off_it)))
        return Prompt(points, (1,) * len(on_it) + (0,) * len(off_it), box, several=several)

    def answers(self, view: View, asked: Sequence[Question], masks: Masks) -> list[Candidate]:
        """Return those of SAM's answers that obey, best first; where none does, a region around the points."""
        on_it = self.pointer.on_it
        found = list(self._obeying(view, asked, masks, TOGETHER, on_it))
        if len(on_it) > 1:
            parts, missed = self._parts(view, asked, masks)
            if not missed:
                # What SAM makes of points on several things is rarely all of them, and of points on one it is the best.
                own = _united(parts)
                found = [*found, own] if len(parts) == 1 else [own, *found]
            elif not found:
                return [self._around(missed, parts)]
        return _different(found) or [self._around(on_it, [])]

    def _parts(self, view: View, asked: Sequence[Question], masks: Masks) -> tuple[list[Candidate], list[Point]]:
        """Return the best mask of each thing that a point is on, and the points that no mask holds."""
        held = np.zeros(self.size_hw, bool)
        parts: list[Candidate] = []
        missed: list[Point] = []
        for number, point in enumerate(self.pointer.on_it):
            if held[point[::-1]]:
                continue
            part = next(self._obeying(view, asked, masks, number, (point,)), None)
            if part is None:
                missed.append(point)
            else:
                parts.append(part)
                held |= part.mask.unpack()
        return parts, [point for point in missed if not held[point[::-1]]]

    def _obeying(
        self, view: View, asked: Sequence[Question], masks: Masks, thing: int, on_it: Sequence[Point]
    ) -> Iterator[Candidate]:
        """Yield the answers to the questions about `thing` that obey, best first."""
        cell = math.ceil(max(view.size_hw) / max(masks.small.shape[1:]))
        for rated in self._rated(asked, masks, thing):
            mask = whole_mask(masks.masks[rated.number].unpack(), view, self.size_hw)
            part = self.pointer.obeyed_by(mask, on_it, cell)
            if part is not None:
                point = on_it[0] if on_it else middle_of(bounding_box(part))
                made = candidate_of(part, point, rated.question.source, rated.score, rated.features["sam"])
                yield replace(made, features=rated.features)

    def _rated(self, asked: Sequence[Question], masks: Masks, thing: int) -> list[Rated]:
        """Return the answers to the questions about `thing`, best first by their agreement and SAM's own score."""
        own = [number for number, prompt in enumerate(masks.prompts) if asked[prompt].thing == thing]
        rated = []
        for number in np.array(own, int)[usable(masks.small[own])]:
            siblings = masks.small[[other for other in own if other != number]]
            small = masks.small[number]
            sam = float(masks.scores[number])
            features = {"sam": sam, "agreement": agreement(small, siblings), "area": float(small.mean())}
            score = weigh(features) if self.settings.choose else sam
            rated.append(Rated(int(number), asked[masks.prompts[number]], features, score))
        return distinct(sorted(rated, key=lambda one: -one.score), masks.small)

    def _around(self, points_xy: Sequence[Point], parts: Sequence[Candidate]) -> Candidate:
        """Return a small region around points that no mask holds, or the box itself, with the other points' masks."""
        region = self.pointer.around(points_xy, self.size_hw)
        for part in parts:
            region |= part.mask.unpack()
        point = self.pointer.on_it[0] if points_xy else middle_of(bounding_box(region))
        return candidate_of(region, point, "around", 0.0, 0.0)

    def closer_view(self, first: Candidate, small_side: int) -> View | None:
        """Return what `nearby_view` returns.

        It is None also where SAM found nothing, or where the view would not show all points on the thing.
        """
        view = None if first.source == "around" else nearby_view(self.image, first, small_side)
        return view if view is not None and all(map(view.shows, self.pointer.on_it)) else None


def with_nearby(far: Sequence[Candidate], nearby: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with those of a view from nearby in front."""
    return _different([*(candidate for candidate in nearby if candidate.source != "around"), *far])


def confidence(candidate: Candidate) -> float:
    """Return how sure SAM is of its mask, 0..1: the geometric mean of its own score and the agreement of its answers.

    It is 0 for a region that SAM did not make.
    """
    sam = min(max(candidate.sam_score, 0.0), 1.0)
    return math.sqrt(sam * candidate.features.get("agreement", 0.0))


def shows(found: HeatMap, mask: np.ndarray) -> bool:
    """Return whether `mask` (HxW bool) lies where the heat map shows what the words name."""
    if not found.found:
        return False
    left, top, right, bottom = box = bounding_box(mask)
    window = mask[top:bottom, left:right]
    heat = View(window, box).grid(found.heat, (mask.shape[0], mask.shape[1]), (bottom - top, right - left))
    least = HOT_SHARE * float(found.heat.max())
    hot_px = float((found.heat >= least).mean()) * mask.size
    wanted_px = max(1.0, min(HOT_PART_OF_MASK * float(window.sum()), HOT_PART_OF_HEAT * hot_px))
    return float((heat[window] >= least).sum()) >= wanted_px


def candidate_of(mask: np.ndarray, point: Point, source: Source, score: float, sam_score: float) -> Candidate:
    """Return `mask` (HxW bool) as a candidate, with its box and its share of the picture."""
    return Candidate(point, bounding_box(mask), float(mask.mean()), score, sam_score, source, PackedMask.of(mask))


def _united(parts: Sequence[Candidate]) -> Candidate:
    """Return the masks of several things as one candidate, which is as good as the worst of them."""
    mask = np.logical_or.reduce([part.mask.unpack() for part in parts])
    worst = {name: min(part.features[name] for part in parts) for name in parts[0].features}
    features = {**worst, "area": sum(part.features["area"] for part in parts)}
    score = min(part.score for part in parts)
    return replace(candidate_of(mask, parts[0].point_xy, "points", score, worst["sam"]), features=features)


def _different(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates without those that look like an earlier one."""
    kept: list[Candidate] = []
    masks: list[np.ndarray] = []
    for candidate in candidates:
        mask = candidate.mask.unpack()
        if all(iou(mask, other) <= SAME_IOU for other in masks):
            kept.append(candidate)
            masks.append(mask)
    return kept
