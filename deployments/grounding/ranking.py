"""From SAM's answers to candidates: which masks fit what CLIP saw, and how well.

SAM's own score hardly tells a mask that helps from one that harms; how the heat lies in and around it does. What is
weighed here, and the weights to begin with, follow measurements on COCO with CLIP Surgery's maps: log density ratio
first, then coverage, agreement of the candidates, points inside, area, SAM's score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from deployments.config import GroundingSettings
from deployments.grounding.peaks import HotSpot
from deployments.messages import Box, Candidate, Masks, Point, Prompt, Source
from deployments.pixels.masks import iou

WEIGHTS = {
    "density": 1.0,
    "coverage": 0.7,
    "area": -0.3,
    "agreement": 0.5,
    "points": 0.5,
    "sam": 0.2,
}
MAX_DENSITY = 4.0  # of the logarithm: a mask that holds all the heat is not infinitely good
SAME_IOU = 0.95
LEAST_AREA, MOST_AREA = 0.001, 0.9  # shares of what SAM saw
MISFIT_DENSITY = 0.7  # a best mask with less is worse than the heat map itself
MAX_LOGIT = 6.0
SMALL_CELLS = 8  # a thing that covers fewer of SAM's patches, side by side, deserves a look from nearby
NEARBY = 2.5  # side of that look over the thing's longest side


@dataclass(frozen=True, eq=False)
class View:
    """A piece of the picture that SAM looks at: `image` hxwx3 uint8, and `box_xyxy`, where it lies in the picture."""

    image: np.ndarray
    box_xyxy: Box

    @property
    def size_hw(self) -> tuple[int, int]:
        """The height and width of the piece."""
        return self.image.shape[0], self.image.shape[1]

    def shows(self, point: Point) -> bool:
        """Return whether a point of the picture lies in the view."""
        left, top, right, bottom = self.box_xyxy
        return left <= point[0] < right and top <= point[1] < bottom

    def inside(self, point: Point) -> Point:
        """Return a point of the picture in pixels of the view; one outside is moved to the nearest edge."""
        left, top, right, bottom = self.box_xyxy
        return min(max(point[0], left), right - 1) - left, min(max(point[1], top), bottom - 1) - top

    def box_inside(self, box: Box) -> Box:
        """Return a box of the picture in pixels of the view; what reaches beyond the view is cut off."""
        left, top, right, bottom = self.box_xyxy
        return (
            min(max(box[0], left), right - 1) - left,
            min(max(box[1], top), bottom - 1) - top,
            min(max(box[2], left + 1), right) - left,
            min(max(box[3], top + 1), bottom) - top,
        )

    def grid(self, over_picture: np.ndarray, picture_hw: tuple[int, int], size_hw: tuple[int, int]) -> np.ndarray:
        """Return the part that the view shows of a grid over the whole picture, resized to `size_hw`: hxw float32.

        `over_picture` is of any size and covers the picture, which has `picture_hw` pixels.
        """
        rows, columns = over_picture.shape
        scale_y, scale_x = rows / picture_hw[0], columns / picture_hw[1]
        left, top, right, bottom = self.box_xyxy
        box = (left * scale_x, top * scale_y, right * scale_x, bottom * scale_y)
        grid = Image.fromarray(over_picture.astype(np.float32))
        return np.asarray(grid.resize(size_hw[::-1], Image.Resampling.BILINEAR, box=box))


def whole_view(image: np.ndarray) -> View:
    """Return the view of the whole picture, HxWx3 uint8."""
    return View(image, (0, 0, image.shape[1], image.shape[0]))


def whole_mask(mask: np.ndarray, view: View, size_hw: tuple[int, int]) -> np.ndarray:
    """Return a mask of the view (hxw bool) as one of the whole picture, which has `size_hw` pixels: HxW bool."""
    left, top, right, bottom = view.box_xyxy
    whole = np.zeros(size_hw, bool)
    whole[top:bottom, left:right] = mask
    return whole


def nearby_view(image: np.ndarray, candidate: Candidate, small_side: int) -> View | None:
    """Return a square view around a thing that is small among SAM's patches; None if it is not small.

    `image` is HxWx3 uint8. `small_side` is the longer side of SAM's small masks, four pixels to a patch.
    """
    left, top, right, bottom = candidate.box_xyxy
    longest, height, width = max(right - left, bottom - top), *image.shape[:2]
    if longest * small_side / max(height, width) >= 4 * SMALL_CELLS:
        return None
    side = min(round(NEARBY * longest), height, width)
    x = min(max(0, (left + right - side) // 2), width - side)
    y = min(max(0, (top + bottom - side) // 2), height - side)
    view = View(image[y : y + side, x : x + side], (x, y, x + side, y + side))
    # A mask may lie beside the point that it answers; seen from nearby, that point would mean nothing.
    return view if view.shows(candidate.point_xy) else None


@dataclass(frozen=True, eq=False)
class Thing:
    """One thing that SAM is asked about: `points_xy` lie on it, in pixels of the picture, the best first.

    `spot` is the part of CLIP's heat map that belongs to it.
    """

    points_xy: tuple[Point, ...]
    spot: HotSpot


@dataclass(frozen=True, eq=False)
class Question:
    """A prompt for SAM, what kind of prompt it is, and the number of the thing it is about."""

    prompt: Prompt
    source: Source
    thing: int


@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for or against a mask of one thing, at the small size of SAM's masks.

    `heat` hxw float32, 0 where it is no more than usual; `others` hxw bool is what belongs to other things, which
    counts neither way; `points_xy` lie on the thing, in pixels of that size.
    """

    heat: np.ndarray
    others: np.ndarray
    points_xy: tuple[Point, ...]


@dataclass(frozen=True, eq=False)
class Rated:
    """One of SAM's masks: its number in the answer, the question it answers, its features, and their weighted sum."""

    number: int
    question: Question
    features: dict[str, float]
    score: float


def questions(
    view: View, things: Sequence[Thing], heat: np.ndarray, size_hw: tuple[int, int], settings: GroundingSettings
) -> list[Question]:
    """Return the questions for SAM about each thing: its best point, several points, and its box with its rough shape.

    `heat` (hxw float32, 0..1) is that of the whole picture, which has `size_hw` pixels; the prompts are in pixels of
    the view.
    """
    asked: list[Question] = []
    for number, thing in enumerate(things):
        points = tuple(map(view.inside, thing.points_xy[: settings.peaks]))
        asked.append(Question(Prompt(points[:1], (1,), several=True), "peak", number))
        if len(points) > 1:
            asked.append(Question(Prompt(points, (1,) * len(points), several=True), "peaks", number))
        if settings.use_box:
            rough = view.grid(_logits(np.where(thing.spot.cells, heat, 0.0)), size_hw, view.size_hw)
            box = view.box_inside(thing.spot.box_xyxy)
            asked.append(Question(Prompt(points[:1], (1,), box, rough), "box", number))
    return asked


def _logits(heat: np.ndarray) -> np.ndarray:
    edge = 1 / (1 + np.exp(MAX_LOGIT))
    inside = np.clip(heat, edge, 1 - edge)
    return np.asarray(np.log(inside / (1 - inside)), np.float32)


def evidence(
    view: View, things: Sequence[Thing], heat: np.ndarray, size_hw: tuple[int, int], small_hw: tuple[int, int]
) -> list[Evidence]:
    """Return for each of the things what speaks for or against its masks, at `small_hw`, the size of SAM's small masks.

    `heat` (hxw float32, 0..1) is that of the whole picture, which has `size_hw` pixels.
    """
    scale_x, scale_y = small_hw[1] / view.size_hw[1], small_hw[0] / view.size_hw[0]
    cells = [view.grid(thing.spot.cells, size_hw, small_hw) > 0.5 for thing in things]
    warm = view.grid(np.maximum(0, heat - np.median(heat)), size_hw, small_hw)
    found = []
    for number, thing in enumerate(things):
        others = np.zeros(small_hw, bool)
        for other, area in enumerate(cells):
            if other != number:
                others |= area
        inside = map(view.inside, thing.points_xy)
        points = tuple((int(x * scale_x), int(y * scale_y)) for x, y in inside)
        found.append(Evidence(warm, others, points))
    return found


def rate(
    masks: Masks, asked: Sequence[Question], known: Sequence[Evidence], settings: GroundingSettings
) -> list[Rated]:
    """Return all masks that are worth keeping, by their scores, the best first.

    `known` has the evidence for each thing, by which its masks are rated.
    """
    kept = usable(masks.small)
    rated = []
    for number in kept:
        question = asked[masks.prompts[number]]
        siblings = [n for n in kept if n != number and asked[masks.prompts[n]].thing == question.thing]
        found = {"sam": float(masks.scores[number])}
        found |= _features(masks.small[number], masks.small[siblings], known[question.thing])
        score = weigh(found) if settings.choose else found["sam"]
        rated.append(Rated(number, question, found, score))
    return distinct(sorted(rated, key=lambda one: -one.score), masks.small)


def weigh(features: dict[str, float]) -> float:
    """Return the score of a candidate: the weighted sum of its features."""
    return sum(WEIGHTS[name] * value for name, value in features.items())


def _features(mask: np.ndarray, siblings: np.ndarray, known: Evidence) -> dict[str, float]:
    inside = [bool(mask[y, x]) for x, y in known.points_xy]
    judged = ~known.others
    hot, around = known.heat[mask & judged], known.heat[~mask & judged]
    total = float(known.heat[judged].sum())
    return {
        "area": float(mask.mean()),
        "agreement": agreement(mask, siblings),
        "points": float(np.mean(inside)),
        "density": _log_ratio(hot, around),
        "coverage": float(hot.sum()) / total if total else 0.0,
    }


def agreement(mask: np.ndarray, siblings: np.ndarray) -> float:
    """Return the mean IoU of a mask (hxw bool) with other answers about the same thing (kxhxw bool); 1 without any."""
    return float(np.mean([iou(mask, other) for other in siblings])) if len(siblings) else 1.0


def _log_ratio(hot: np.ndarray, around: np.ndarray) -> float:
    """Return log(mean heat inside / mean heat outside), within bounds."""
    inside = float(hot.mean()) if hot.size else 0.0
    outside = float(around.mean()) if around.size else 0.0
    return float(np.clip(np.log((inside + 1e-6) / (outside + 1e-6)), -MAX_DENSITY, MAX_DENSITY))


def usable(small: np.ndarray) -> list[int]:
    """Return the numbers of the masks (kxhxw bool) that are neither specks nor nearly all of the view.

    Where there is none such, all that are not empty are usable.
    """
    areas = small.mean(axis=(1, 2))
    fitting = [n for n, area in enumerate(areas) if LEAST_AREA <= area <= MOST_AREA]
    return fitting or [n for n, area in enumerate(areas) if area]


def distinct(rated: Sequence[Rated], small: np.ndarray) -> list[Rated]:
    """Return the masks without those that look like a better one.

    `small` (kxhxw bool) has all masks of SAM's answer.
    """
    kept: list[Rated] = []
    for one in rated:
        if all(iou(small[one.number], small[other.number]) <= SAME_IOU for other in kept):
            kept.append(one)
    return kept
