"""The geometry of masks: boxes, hulls, dilation, and the ramp by which a painting fades in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from deployments.messages import Box, MaskShape

Place = tuple[slice, slice]  # rows and columns of a part of a picture


def bounding_box(mask: np.ndarray) -> Box:
    """Return the box of the pixels that are set; right and bottom are exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def centre(mask: np.ndarray) -> tuple[float, float]:
    """Return the mean (x, y) of the pixels that are set."""
    y, x = ndimage.center_of_mass(mask)
    return float(x) + 0.5, float(y) + 0.5


def dilate(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Return all pixels within `radius_px` of one that is set."""
    left, top, right, bottom = bounding_box(mask)
    reach = int(np.ceil(radius_px))
    window = (slice(max(0, top - reach), bottom + reach), slice(max(0, left - reach), right + reach))
    grown = mask.copy()
    grown[window] = ndimage.distance_transform_edt(~mask[window]) <= radius_px
    return grown


def convex_hull(mask: np.ndarray) -> np.ndarray:
    """Return the smallest convex shape that holds all pixels that are set."""
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
    """Return the smallest upright rectangle that holds all pixels that are set."""
    left, top, right, bottom = bounding_box(mask)
    filled = np.zeros_like(mask)
    filled[top:bottom, left:right] = True
    return filled


SHAPES: dict[MaskShape, Callable[[np.ndarray], np.ndarray]] = {
    "silhouette": lambda mask: mask,
    "hull": convex_hull,
    "box": filled_box,
}


def ramp(mask: np.ndarray, depth_px: float) -> np.ndarray:
    """Return 0 outside the mask, rising to 1 at `depth_px` inside it, float32. The array's edge is no edge of it."""
    if mask.all():
        return np.ones(mask.shape, np.float32)
    return np.clip(ndimage.distance_transform_edt(mask) / depth_px, 0, 1).astype(np.float32)
