"""From a mask to a region, and from a painted crop back to the whole picture.

The thing that is painted has another shape than the thing that was found, so the painter is offered the
convex hull of the mask, grown by a margin. It sees a square crop around it at the picture's own
resolution. What it made is blended in by a ramp that lives *inside* the grown mask only: outside it
every byte of the picture stays what it was, by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from deployments.messages import Box, Point

MARGIN = 0.06  # the mask grows by this share of its longest side ...
MIN_MARGIN_PX = 2  # ... but at least so much, to swallow the rim of what stood there
CONTEXT = 1.35  # side of the crop over the longest side of the grown mask
MIN_CROP_PX = 32


@dataclass(frozen=True, eq=False)
class Region:
    """What may change, and the square the painter sees.

    `mask` HxW bool; `alpha` hxw float32 in 0..1, the share of the painting at each pixel of the crop, 0
    outside the mask; `box_xyxy` the crop, square, which may reach beyond the picture's edges.
    """

    mask: np.ndarray
    alpha: np.ndarray
    box_xyxy: Box

    def crop(self, array: np.ndarray) -> np.ndarray:
        """The square of a picture or mask; beyond the edges it is reflected, never filled with a colour."""
        return _crop(array, self.box_xyxy)


def plan(mask: np.ndarray) -> Region:
    """The region for a mask of something (HxW bool, at least one pixel set)."""
    left, top, right, bottom = bounding_box(mask)
    margin = max(MIN_MARGIN_PX, MARGIN * max(right - left, bottom - top))
    grown = dilate(convex_hull(mask), margin)
    box = square_around(bounding_box(grown), (mask.shape[1], mask.shape[0]))
    return Region(grown, ramp(_crop(grown, box), margin), box)


def square_around(box: Box, size_wh: tuple[int, int]) -> Box:
    """A square with some context around `box`, shifted into the picture as far as it fits."""
    left, top, right, bottom = box
    side = max(MIN_CROP_PX, round(CONTEXT * max(right - left, bottom - top)))
    # A square larger than the picture's longer side would show reflections only.
    side = min(side, max(size_wh))
    new_left = _shift_inside((left + right - side) // 2, side, size_wh[0])
    new_top = _shift_inside((top + bottom - side) // 2, side, size_wh[1])
    return new_left, new_top, new_left + side, new_top + side


def _shift_inside(start: int, length: int, limit: int) -> int:
    if length > limit:
        return (limit - length) // 2
    return min(max(start, 0), limit - length)


def _crop(array: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = box
    height, width = array.shape[:2]
    before_after = [(max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width))]
    inside = array[max(0, top) : bottom, max(0, left) : right]
    return np.pad(inside, before_after + [(0, 0)] * (array.ndim - 2), mode="reflect")


def ramp(mask: np.ndarray, depth_px: float) -> np.ndarray:
    """0 outside the mask, rising to 1 at `depth_px` inside it: float32. An edge of the picture is no edge of it."""
    if mask.all():
        return np.ones(mask.shape, np.float32)
    return np.clip(ndimage.distance_transform_edt(mask) / depth_px, 0, 1).astype(np.float32)


def paste_back(image: np.ndarray, painted: np.ndarray, region: Region) -> np.ndarray:
    """A new picture: `painted` (the square crop, uint8) inside the region, `image` everywhere else."""
    result = image.copy()
    left, top, right, bottom = region.box_xyxy
    rows = slice(max(0, top), min(bottom, image.shape[0]))
    columns = slice(max(0, left), min(right, image.shape[1]))
    inner = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    alpha = region.alpha[inner][..., None]
    blended = image[rows, columns] * (1 - alpha) + painted[inner] * alpha
    allowed = region.mask[rows, columns]
    result[rows, columns][allowed] = np.round(blended).astype(np.uint8)[allowed]
    return result


def changed_outside(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> int:
    """How many pixels outside `mask` differ in any channel."""
    return int(np.any(before != after, axis=-1)[~mask].sum())


def bounding_box(mask: np.ndarray) -> Box:
    """Of the pixels that are set; right and bottom are exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def centre(mask: np.ndarray) -> tuple[float, float]:
    """The mean (x, y) of the pixels that are set."""
    y, x = ndimage.center_of_mass(mask)
    return float(x) + 0.5, float(y) + 0.5


def dilate(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """All pixels within `radius_px` of one that is set."""
    left, top, right, bottom = bounding_box(mask)
    reach = int(np.ceil(radius_px))
    window = (slice(max(0, top - reach), bottom + reach), slice(max(0, left - reach), right + reach))
    grown = mask.copy()
    grown[window] = ndimage.distance_transform_edt(~mask[window]) <= radius_px
    return grown


def convex_hull(mask: np.ndarray) -> np.ndarray:
    """The smallest convex shape that holds all pixels that are set."""
    y, x = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    try:
        corners = ConvexHull(np.column_stack([x, y])).vertices
    except QhullError:  # a single pixel or a straight line is its own hull
        return mask.copy()
    canvas = Image.new("1", (mask.shape[1], mask.shape[0]))
    outline = [(int(x[index]), int(y[index])) for index in corners]
    ImageDraw.Draw(canvas).polygon(outline, fill=1, outline=1)
    return np.array(canvas) | mask


def part_at(mask: np.ndarray, point: Point) -> np.ndarray:
    """The connected part of `mask` that holds `point`, or the largest one when none does."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    label = int(labels[point[1], point[0]])
    if label == 0:
        label = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    return np.asarray(labels == label)
