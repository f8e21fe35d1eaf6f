"""Removes what stands in a picture: closes its mask from the surroundings, without a model.

Plain grounds are closed by a membrane, textured ones by a shift map: each place shows another place of the picture.
Both are found in a small copy. A shift map is then applied to the picture itself, so that a large one takes hardly
longer and keeps its detail.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from deployments.errors import InvalidInput
from deployments.messages import Point
from deployments.pixels import membrane, shifts
from deployments.pixels.masks import Place, bounding_box
from deployments.pixels.regions import Plan

CONTEXT = 0.75  # what is looked at reaches so far beyond the mask, over its longest side ...
MIN_CONTEXT_PX = 16  # ... and never less
WORKING_PX = 160  # the longest side of the small copy
RING = 0.15  # width of what counts as the mask's surroundings, over its longest side
COLOUR_BIN = 14.0  # colours less than a bin apart, of luma and chroma in 0..255, are alike
MIN_SHARE = 0.04  # of the surroundings: rarer colours belong to other things
ROUGH = 0.6  # a ground whose luma deviates more from its blurred self, in 0..255, has a texture
YCBCR = np.array([[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]])  # as in JPEG


def fill(image: np.ndarray, mask: np.ndarray, unknown: np.ndarray | None = None) -> np.ndarray:
    """Return a copy of `image` (HxWx3 uint8) with the pixels in `mask` (HxW bool) made up. The same for the same input.

    They are made of what is not `unknown`, HxW bool, which holds all of `mask` and is no more than that if it is left
    out. Raises InvalidInput where nothing is left to make them from.
    """
    result = image.copy()
    if mask.any():
        left, top, right, bottom = bounding_box(mask)
        hole = mask[top:bottom, left:right]
        result[top:bottom, left:right][hole] = _made_up(image, mask if unknown is None else unknown, hole, (left, top))
    return result


def closed(image: np.ndarray, plan: Plan) -> tuple[np.ndarray, ...]:
    """Return the square of each region of `plan` with the region filled from its surroundings, SxSx3 uint8 each.

    Everything that the plan masks is unknown: nothing that is removed is copied into the place of something else.
    """
    filled, squares = image.copy(), []
    for region in plan.regions:
        there, in_box = region.inside((image.shape[1], image.shape[0]))
        changes = region.alpha[in_box] > 0
        if changes.any():
            left, top, right, bottom = bounding_box(changes)
            hole = changes[top:bottom, left:right]
            corner = there[1].start + left, there[0].start + top
            filled[there][top:bottom, left:right][hole] = _made_up(image, plan.mask, hole, corner)
        squares.append(region.crop(filled))
    return tuple(squares)


def _made_up(image: np.ndarray, unknown: np.ndarray, hole: np.ndarray, corner: Point) -> np.ndarray:
    """Return colours for the pixels of `hole`, Nx3: hxw bool, tight around them, `corner` its left and top."""
    window, inner = _window(unknown, hole.shape, corner)
    mask = np.zeros(unknown[window].shape, bool)
    mask[inner] = hole
    return _closed(image[window], mask, unknown[window])[mask]


def _window(unknown: np.ndarray, size: tuple[int, ...], corner: Point) -> tuple[Place, Place]:
    """Return where to look for what to fill a hole of that size with, and where the hole is in there."""
    (left, top), (height, width) = corner, size
    margin = MIN_CONTEXT_PX + round(CONTEXT * max(size))
    while True:
        first_x, first_y = max(0, left - margin), max(0, top - margin)
        window = slice(first_y, top + height + margin), slice(first_x, left + width + margin)
        if not unknown[window].all():
            inner = slice(top - first_y, top - first_y + height), slice(left - first_x, left - first_x + width)
            return window, inner
        if margin > max(unknown.shape):
            raise InvalidInput("`mask` must not cover the whole picture: nothing is left to fill it from.", "mask")
        margin *= 2


def _closed(image: np.ndarray, mask: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Return a picture of the size of `image` in which what is masked is made up of what is not unknown."""
    step = -(-max(mask.shape) // WORKING_PX)
    cells, holes = _cells(image, step), _cells(unknown, step)
    seen = (~holes).sum(axis=(2, 3))
    sums = np.where(holes[..., None], np.uint8(0), cells).sum(axis=(2, 3), dtype=np.float32)
    small = sums / np.maximum(seen, 1).astype(np.float32)[..., None]
    hole, whole = np.asarray(_cells(mask, step).any(axis=(2, 3))), seen == step**2
    colours = (small @ YCBCR).astype(np.float32)
    ring = _ring(hole, seen > 0)
    ground, rough = _ground(colours, seen > 0, ring)
    made = _cells(_enlarged(membrane.close(small, ground), step), step)
    if rough:
        sources = shifts.sources(colours, ground & whole, hole, ring)
        made[sources >= 0] = cells.reshape(-1, step, step, 3)[sources[sources >= 0]]
    return _joined(made)[: mask.shape[0], : mask.shape[1]]


def _cells(array: np.ndarray, step: int) -> np.ndarray:
    """Return the array in squares of `step` pixels, [rows, columns, step, step, ...]; the last ones are mirrored."""
    missing = [(0, -size % step) for size in array.shape[:2]] + [(0, 0)] * (array.ndim - 2)
    padded = np.pad(array, missing, mode="symmetric")
    rows, columns = padded.shape[0] // step, padded.shape[1] // step
    return padded.reshape(rows, step, columns, step, *array.shape[2:]).swapaxes(1, 2)


def _joined(cells: np.ndarray) -> np.ndarray:
    """Return the picture that `_cells` has cut."""
    rows, columns, step = cells.shape[:3]
    return cells.swapaxes(1, 2).reshape(rows * step, columns * step, *cells.shape[4:])


def _enlarged(small: np.ndarray, step: int) -> np.ndarray:
    picture = Image.fromarray(np.round(small.clip(0, 255)).astype(np.uint8))
    return np.asarray(picture.resize((picture.width * step, picture.height * step), Image.Resampling.BICUBIC))


def _ring(hole: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return which of the cells that are seen surround the hole, hxw bool; the nearest ones where none is near."""
    left, top, right, bottom = bounding_box(hole)
    width = max(3.0, RING * max(right - left, bottom - top))
    distances = ndimage.distance_transform_edt(~hole)
    ring = seen & (distances <= width)
    return np.asarray(ring if ring.any() else seen & (distances <= distances[seen].min() + width))


def _ground(colours: np.ndarray, seen: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return which cells show what is common in the ring, hxw bool, and whether that has a texture."""
    soft = _blurred(colours, seen)
    ground = seen & _common(soft, ring)
    if not (ground & ring).any():  # no colour is common
        ground = seen
    deviations = np.abs(colours - soft)[..., 0][ground & ring]
    return ground, bool(np.median(deviations) > ROUGH)


def _blurred(colours: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the colours blurred, by the seen cells alone (Knutsson and Westin, Normalized Convolution, CVPR 1993)."""
    weights = ndimage.gaussian_filter(seen.astype(np.float32), 1)
    sums = ndimage.gaussian_filter(colours * seen[..., None], (1, 1, 0))
    return np.asarray(sums / np.maximum(weights, 1e-3)[..., None])


def _common(colours: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Return the cells, hxw bool, whose colours or ones like them at least MIN_SHARE of the ring has."""
    bins = np.moveaxis(((colours + np.array([0, 128, 128])) / COLOUR_BIN).astype(int), 2, 0)
    counts = np.zeros((int(256 // COLOUR_BIN) + 1,) * 3)
    np.add.at(counts, tuple(bins[:, ring]), 1)
    alike = ndimage.convolve(counts, np.ones((3, 3, 3)), mode="constant")
    return np.asarray(alike[tuple(bins)] >= MIN_SHARE * ring.sum())
