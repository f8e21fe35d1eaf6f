"""From a mask to a region, and from a painted crop back to the whole picture.

The thing that is painted has another shape than the thing that was found, so the painter is offered more than the
mask: by default its convex hull, grown by a margin. It sees a square crop around it at the picture's own
resolution. What it made is blended in by a ramp that lives *inside* the region only: outside it
every byte of the picture stays what it was, by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from deployments.messages import Box, MaskShape, Point

MARGIN = 0.06  # the mask grows by this share of its longest side ...
MIN_MARGIN_PX = 2  # ... but if at all at least so much, to swallow the rim of what stood there
CONTEXT = 1.35  # side of the crop over the longest side of the region
MIN_CROP_PX = 32  # what the painter sees is never smaller: it enlarges it
BAND = 0.06  # width of the band around the region in which painting and picture are compared, over the crop's side


@dataclass(frozen=True, eq=False)
class Region:
    """What may change, and the square the painter sees.

    `mask` HxW bool; `box_xyxy` the crop, square, which may reach beyond the picture's edges; `alpha` hxw float32 in
    0..1, the share of the painting at each pixel of that box, 0 outside the mask.
    """

    mask: np.ndarray
    alpha: np.ndarray
    box_xyxy: Box

    def crop(self, array: np.ndarray) -> np.ndarray:
        """The square of a picture or mask; beyond the edges it is reflected, never filled with a colour."""
        return _crop(array, self.box_xyxy)

    def uncrop(self, square: np.ndarray) -> np.ndarray:
        """What the painter made of the square, with the pixels of the box."""
        return square

    @cached_property
    def band(self) -> np.ndarray:
        """SxS bool in the square: just outside the region, where a painting should show what the picture shows."""
        mask = self.crop(self.mask)
        width = max(MIN_MARGIN_PX, BAND * len(mask))
        return np.asarray(~mask & (ndimage.distance_transform_edt(~mask) <= width))


class Squeezed(Region):
    """The box is the whole picture, and the square all of it, squeezed: what a painter sees without a crop."""

    def crop(self, array: np.ndarray) -> np.ndarray:
        return _resized(array, (max(array.shape[:2]),) * 2)

    def uncrop(self, square: np.ndarray) -> np.ndarray:
        return _resized(square, self.mask.shape[::-1])


def plan(
    mask: np.ndarray,
    shape: MaskShape = "hull",
    dilation: float = MARGIN,
    context: float = CONTEXT,
    crop: bool = True,
) -> Region:
    """The region for a mask of something (HxW bool, at least one pixel set, in any number of parts).

    Its silhouette, convex hull or box, grown by `dilation` times its longest side; at 0 it is used as it is. The crop's
    side is `context` times the region's; without `crop` the painter sees the whole picture.
    """
    left, top, right, bottom = bounding_box(mask)
    longest = max(right - left, bottom - top)
    margin = max(MIN_MARGIN_PX, dilation * longest) if dilation else 0.0
    grown = dilate(_SHAPES[shape](mask), margin)
    # However far it grows, what is painted should not fade out over more than a rim.
    rim = max(MIN_MARGIN_PX, min(margin, MARGIN * longest))
    if not crop:
        return Squeezed(grown, ramp(grown, rim), (0, 0, mask.shape[1], mask.shape[0]))
    square = square_around(bounding_box(grown), (mask.shape[1], mask.shape[0]), context)
    return Region(grown, ramp(_crop(grown, square), rim), square)


def square_around(box: Box, size_wh: tuple[int, int], context: float = CONTEXT) -> Box:
    """A square with some context around `box`, shifted into the picture as far as it fits."""
    left, top, right, bottom = box
    side = max(MIN_CROP_PX, round(context * max(right - left, bottom - top)))
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
    painted = region.uncrop(painted)
    left, top, right, bottom = region.box_xyxy
    rows = slice(max(0, top), min(bottom, image.shape[0]))
    columns = slice(max(0, left), min(right, image.shape[1]))
    inner = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    alpha = region.alpha[inner][..., None]
    blended = image[rows, columns] * (1 - alpha) + painted[inner] * alpha
    allowed = region.mask[rows, columns]
    result[rows, columns][allowed] = np.round(blended).astype(np.uint8)[allowed]
    return result


def _resized(array: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A picture, or a bool mask as its nearest."""
    if array.dtype == bool:
        return _resized(array.astype(np.uint8) * 255, size_wh) >= 128
    return np.array(Image.fromarray(array).resize(size_wh, Image.Resampling.LANCZOS))


def changed_outside(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> int:
    """How many pixels outside `mask` differ in any channel."""
    return int(np.any(before != after, axis=-1)[~mask].sum())


def seam(picture: np.ndarray, painted: np.ndarray, region: Region) -> float:
    """How badly a painting (the square, uint8) goes on where the picture (HxWx3) does: their mean difference, 0..255,
    in the band just outside the region, where both show the same. 0 where there is no such band."""
    band = region.band
    if not band.any():
        return 0.0
    difference = painted[band].astype(np.float32) - region.crop(picture)[band]
    return float(np.abs(difference).mean())


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


def filled_box(mask: np.ndarray) -> np.ndarray:
    """The smallest upright rectangle that holds all pixels that are set."""
    left, top, right, bottom = bounding_box(mask)
    filled = np.zeros_like(mask)
    filled[top:bottom, left:right] = True
    return filled


_SHAPES: dict[MaskShape, Callable[[np.ndarray], np.ndarray]] = {
    "silhouette": lambda mask: mask,
    "hull": convex_hull,
    "box": filled_box,
}


def part_at(mask: np.ndarray, point: Point) -> np.ndarray:
    """The connected part of `mask` that holds `point`, or the largest one when none does."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    label = int(labels[point[1], point[0]])
    if label == 0:
        label = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    return np.asarray(labels == label)
