"""Removes what stands in a picture: closes its mask from the surroundings, without a model.

Plain grounds are closed by a membrane, textured ones by a shift map: each place shows another place of the picture.
Both are found in a small copy. A shift map is then applied to the picture itself, so that a large one takes hardly
longer and keeps its detail.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from deployments import membrane, shifts
from deployments.errors import InvalidInput
from deployments.regions import bounding_box

CONTEXT = 0.75  # what is looked at reaches so far beyond the mask, over its longest side ...
MIN_CONTEXT_PX = 16  # ... and never less
WORKING_PX = 160  # the longest side of the small copy
RING = 0.15  # width of what counts as the mask's surroundings, over its longest side
COLOUR_BIN = 14.0  # colours less than a bin apart, of luma and chroma in 0..255, are alike
MIN_SHARE = 0.04  # of the surroundings: rarer colours belong to other things
ROUGH = 0.6  # a ground whose luma deviates more from its blurred self, in 0..255, has a texture
YCBCR = np.array([[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]])  # as in JPEG


def fill(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A copy of `image` (HxWx3 uint8) with the pixels in `mask` (HxW bool) made up. The same for the same input.

    Raises InvalidInput where nothing is left to make them from.
    """
    if mask.all():
        raise InvalidInput("The mask covers the whole picture: nothing is left to fill it from.", "mask")
    result = image.copy()
    if mask.any():
        window = _window(mask)
        inside = mask[window]
        result[window][inside] = _closed(image[window], inside)[inside]
    return result


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    left, top, right, bottom = bounding_box(mask)
    margin = MIN_CONTEXT_PX + round(CONTEXT * max(right - left, bottom - top))
    return slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)


def _closed(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture of the size of `image` in which what is masked is made up."""
    step = -(-max(mask.shape) // WORKING_PX)
    cells, holes = _cells(image, step), _cells(mask, step)
    seen = (~holes).sum(axis=(2, 3))
    sums = np.where(holes[..., None], np.uint8(0), cells).sum(axis=(2, 3), dtype=np.float32)
    small = sums / np.maximum(seen, 1).astype(np.float32)[..., None]
    hole, colours = seen < step**2, (small @ YCBCR).astype(np.float32)
    ring = _ring(hole) & (seen > 0)
    ground, rough = _ground(colours, seen > 0, ring)
    made = _cells(_enlarged(membrane.close(small, ground), step), step)
    if rough:
        sources = shifts.sources(colours, ground & ~hole, hole, ring)
        made[sources >= 0] = cells.reshape(-1, step, step, 3)[sources[sources >= 0]]
    return _joined(made)[: mask.shape[0], : mask.shape[1]]


def _cells(array: np.ndarray, step: int) -> np.ndarray:
    """[rows, columns, step, step, ...]: squares of `step` pixels; what is missing to whole ones is mirrored."""
    missing = [(0, -size % step) for size in array.shape[:2]] + [(0, 0)] * (array.ndim - 2)
    padded = np.pad(array, missing, mode="symmetric")
    rows, columns = padded.shape[0] // step, padded.shape[1] // step
    return padded.reshape(rows, step, columns, step, *array.shape[2:]).swapaxes(1, 2)


def _joined(cells: np.ndarray) -> np.ndarray:
    """The picture that `_cells` has cut."""
    rows, columns, step = cells.shape[:3]
    return cells.swapaxes(1, 2).reshape(rows * step, columns * step, *cells.shape[4:])


def _enlarged(small: np.ndarray, step: int) -> np.ndarray:
    picture = Image.fromarray(np.round(small.clip(0, 255)).astype(np.uint8))
    return np.asarray(picture.resize((picture.width * step, picture.height * step), Image.Resampling.BICUBIC))


def _ring(hole: np.ndarray) -> np.ndarray:
    """hxw bool: what surrounds the hole."""
    left, top, right, bottom = bounding_box(hole)
    width = max(3.0, RING * max(right - left, bottom - top))
    return np.asarray(ndimage.distance_transform_edt(~hole) <= width)


def _ground(colours: np.ndarray, seen: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, bool]:
    """Which cells show what is common in the ring, hxw bool, and whether that has a texture."""
    soft = _blurred(colours, seen)
    ground = seen & _common(soft, ring)
    if not (ground & ring).any():  # no colour is common
        ground = seen
    deviations = np.abs(colours - soft)[..., 0][ground & ring]
    return ground, bool(np.median(deviations) > ROUGH)


def _blurred(colours: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """By the cells that are seen alone (Knutsson and Westin, Normalized Convolution, CVPR 1993)."""
    weights = ndimage.gaussian_filter(seen.astype(np.float32), 1)
    sums = ndimage.gaussian_filter(colours * seen[..., None], (1, 1, 0))
    return np.asarray(sums / np.maximum(weights, 1e-3)[..., None])


def _common(colours: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """The cells whose colours, or ones like them, at least MIN_SHARE of the ring has."""
    bins = np.moveaxis(((colours + np.array([0, 128, 128])) / COLOUR_BIN).astype(int), 2, 0)
    counts = np.zeros((int(256 // COLOUR_BIN) + 1,) * 3)
    np.add.at(counts, tuple(bins[:, ring]), 1)
    alike = ndimage.convolve(counts, np.ones((3, 3, 3)), mode="constant")
    return np.asarray(alike[tuple(bins)] >= MIN_SHARE * ring.sum())
