"""Masks: their boxes, shapes, parts and distances, and how two compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from deployments.messages import Box, MaskShape, Point

SPECK_SHARE = 0.02  # of a mask's area: smaller holes are errors

Place = tuple[slice, slice]  # rows and columns of a part of a picture


def bounding_box(mask: np.ndarray) -> Box:
    """Return the box around the pixels of `mask` (HxW bool) that are set. It is all zero where none is set.

    Right and bottom are exclusive.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def bounding_slices(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of the box around the pixels of `mask` (HxW bool) that are set."""
    left, top, right, bottom = bounding_box(mask)
    return slice(top, bottom), slice(left, right)


def middle_of(box: Box) -> Point:
    """Return the pixel (x, y) in the middle of a box."""
    return (box[0] + box[2]) // 2, (box[1] + box[3]) // 2


def centre(mask: np.ndarray) -> tuple[float, float]:
    """Return the mean (x, y) of the pixels of `mask` (HxW bool) that are set, in pixels from its left and top edge."""
    y, x = ndimage.center_of_mass(mask)
    return float(x) + 0.5, float(y) + 0.5


def dilate(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Return all pixels within `radius_px` of one that is set in `mask`. Both are HxW bool."""
    if not mask.any():
        return mask.copy()
    left, top, right, bottom = bounding_box(mask)
    reach = int(np.ceil(radius_px))
    window = (slice(max(0, top - reach), bottom + reach), slice(max(0, left - reach), right + reach))
    grown = mask.copy()
    grown[window] = ndimage.distance_transform_edt(~mask[window]) <= radius_px
    return grown


def convex_hull(mask: np.ndarray) -> np.ndarray:
    """Return the smallest convex shape that holds all pixels that are set in `mask`. Both are HxW bool."""
    y, x = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    try:
        corners = ConvexHull(np.column_stack([x, y])).vertices
    except QhullError:  # a single pixel or a straight line is its own hull
        return mask.copy()
    canvas = Image.new("1", (mask.shape[1], mask.shape[0]))
    polygon = [(int(x[index]), int(y[index])) for index in corners]
    ImageDraw.Draw(canvas).polygon(polygon, fill=1, outline=1)
    return np.array(canvas) | mask


def filled_box(mask: np.ndarray) -> np.ndarray:
    """Return the smallest upright rectangle that holds all pixels that are set in `mask`. Both are HxW bool."""
    left, top, right, bottom = bounding_box(mask)
    filled = np.zeros_like(mask)
    filled[top:bottom, left:right] = True
    return filled


SHAPES: dict[MaskShape, Callable[[np.ndarray], np.ndarray]] = {
    "silhouette": lambda mask: mask,
    "hull": convex_hull,
    "box": filled_box,
}


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two masks, HxW bool each, in 0..1."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def tidy(mask: np.ndarray, points_xy: Sequence[Point]) -> np.ndarray:
    """Return the parts of `mask` that hold one of the points, or else its largest part, with small holes closed.

    Both masks are HxW bool; `points_xy` are in their pixels.
    """
    if not mask.any():
        return mask
    window = bounding_slices(mask)
    labels, count = ndimage.label(mask[window])
    if count > 1:
        wanted = {_label_at(labels, x - window[1].start, y - window[0].start) for x, y in points_xy} - {0}
        wanted = wanted or {int(np.bincount(labels.ravel())[1:].argmax()) + 1}
        labels = np.where(np.isin(labels, list(wanted)), labels, 0)
    cleaned = np.zeros_like(mask)
    cleaned[window] = _without_specks(labels > 0)
    return cleaned


def _label_at(labels: np.ndarray, x: int, y: int) -> int:
    inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
    return int(labels[y, x]) if inside else 0


def _without_specks(mask: np.ndarray) -> np.ndarray:
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    sizes = np.bincount(holes.ravel(), minlength=count + 1)
    small = np.flatnonzero(sizes <= SPECK_SHARE * mask.sum())
    return np.asarray(mask | (np.isin(holes, small[small > 0])))


def disc(size_hw: tuple[int, int], point: Point, radius_px: float) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the disc around a point of a picture of `size_hw`.

    It is the window (rows, columns) of the picture that the disc lies in, and hxw bool in that window.
    """
    (x, y), reach = point, int(radius_px)
    rows = slice(max(0, y - reach), min(size_hw[0], y + reach + 1))
    columns = slice(max(0, x - reach), min(size_hw[1], x + reach + 1))
    row, column = np.ogrid[rows, columns]
    return (rows, columns), np.hypot(row - y, column - x) <= radius_px


def distance_px(mask: np.ndarray, point: Point, most_px: float) -> float:
    """Return how far the nearest pixel of `mask` (HxW bool) is from a point (x, y); infinity if more than `most_px`."""
    window, near = disc((mask.shape[0], mask.shape[1]), point, most_px)
    rows, columns = np.nonzero(mask[window] & near)
    if not rows.size:
        return math.inf
    row, column = point[1] - window[0].start, point[0] - window[1].start
    return float(np.hypot(rows - row, columns - column).min())


def outline(mask: np.ndarray, width_px: int) -> np.ndarray:
    """Return the rim of `mask`, `width_px` wide and inside it. Both are HxW bool."""
    return np.asarray(mask & ~ndimage.binary_erosion(mask, iterations=width_px, border_value=0))
