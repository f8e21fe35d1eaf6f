"""Masks of the whole picture: from SAM's answer in a view of it, from the heat map itself, or around points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from deployments.grounding.candidates import View
from deployments.grounding.peaks import HotSpot
from deployments.messages import Box, Point

SPECK_SHARE = 0.02  # of a mask's area: smaller holes are errors


def whole_mask(mask: np.ndarray, view: View, size_hw: tuple[int, int]) -> np.ndarray:
    """A view's mask as one of the whole picture: HxW bool."""
    left, top, right, bottom = view.box_xyxy
    whole = np.zeros(size_hw, bool)
    whole[top:bottom, left:right] = mask
    return whole


def tidy(mask: np.ndarray, points_xy: Sequence[Point]) -> np.ndarray:
    """The parts of `mask` that hold one of the points, or else its largest, with small holes closed."""
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
    """The disc around a point: the window of a picture that it lies in, and hxw bool in that window."""
    (x, y), reach = point, int(radius_px)
    rows = slice(max(0, y - reach), min(size_hw[0], y + reach + 1))
    columns = slice(max(0, x - reach), min(size_hw[1], x + reach + 1))
    row, column = np.ogrid[rows, columns]
    return (rows, columns), np.hypot(row - y, column - x) <= radius_px


def distance_px(mask: np.ndarray, point: Point, most_px: float) -> float:
    """Return how far the nearest pixel of a mask is from a point; infinity if that is more than `most_px`."""
    window, near = disc((mask.shape[0], mask.shape[1]), point, most_px)
    rows, columns = np.nonzero(mask[window] & near)
    if not rows.size:
        return math.inf
    row, column = point[1] - window[0].start, point[0] - window[1].start
    return float(np.hypot(rows - row, columns - column).min())


def box_of(mask: np.ndarray) -> Box:
    """Around the pixels that are set; right and bottom are exclusive. All zero where there are none."""
    if not mask.any():
        return 0, 0, 0, 0
    rows, columns = bounding_slices(mask)
    return columns.start, rows.start, columns.stop, rows.stop


def middle_of(box: Box) -> Point:
    return (box[0] + box[2]) // 2, (box[1] + box[3]) // 2


def outline(mask: np.ndarray, width_px: int) -> np.ndarray:
    """The rim of a mask, inside it: HxW bool."""
    return np.asarray(mask & ~ndimage.binary_erosion(mask, iterations=width_px, border_value=0))


def spotlight(image: np.ndarray, mask: np.ndarray, longest_px: int) -> np.ndarray:
    """The masked thing with some of its surroundings, which are blurred: hxwx3 uint8, at most `longest_px` a side.

    FGVP (Yang et al. 2023) found that CLIP names a region best so: cut out or blackened, it loses the context.
    """
    left, top, right, bottom = box_of(mask)
    margin = max(right - left, bottom - top) // 4
    window = slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)
    crop = Image.fromarray(image[window])
    inside = Image.fromarray(mask[window])
    crop.thumbnail((longest_px, longest_px))
    inside = inside.resize(crop.size)
    blurred = crop.filter(ImageFilter.GaussianBlur(max(crop.size) / 16))
    return np.asarray(Image.composite(crop, blurred, inside))


def bounding_slices(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns around the pixels that are set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def heat_mask(spot: HotSpot, heat: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The heat map itself as a mask: HxW bool, where the thing is at least half as hot as at its peak."""
    own = np.where(spot.cells, heat, np.minimum(heat, spot.strength / 4)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(own).resize(size_hw[::-1], Image.Resampling.BICUBIC))
    return np.asarray(smooth >= spot.strength / 2)
