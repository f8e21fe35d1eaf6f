"""Removes what stands in a picture: closes its mask from the surroundings, without a model.

Plain grounds are closed by a membrane. Textured ones by a shift map: each place shows another place of the picture,
chosen so that few seams are seen (Pritch, Kav-Venaki and Peleg, Shift-Map Image Editing, ICCV 2009; in OpenCV after He
and Sun, Statistics of Patch Offsets, ECCV 2012). It is found in a small copy and applied to the picture itself, so it
takes seconds whatever the picture's size, and loses no detail.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from deployments import membrane
from deployments.errors import InvalidInput
from deployments.regions import bounding_box

CONTEXT = 0.75  # what is looked at reaches so far beyond the mask, over its longest side
WORKING_PX = 160  # the longest side of the small copy
RING = 0.15  # width of what counts as the mask's surroundings, over its longest side
COLOUR_BIN = 14.0  # colours less than two bins apart in CIELAB (lightness in 0..255) are alike
MIN_SHARE = 0.04  # of the surroundings: rarer colours belong to other things
ROUGH = 0.6  # a ground whose lightness deviates more from its blurred self, in 0..255, has a texture
INDEX_SCALE = np.float32(2.0**-20)
LAB_SCALE = np.array([255 / 100, 1, 1], np.float32)  # OpenCV's lightness is in 0..100
LAB_OFFSET = np.array([0, 128, 128], np.float32)  # to the lowest values


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
    margin = 4 + round(CONTEXT * max(right - left, bottom - top))
    return slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)


def _closed(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture of the size of `image` in which what is masked is made up."""
    step = -(-max(mask.shape) // WORKING_PX)
    cells, holes = _cells(image, step), _cells(mask, step)
    seen = (~holes).sum(axis=(2, 3))
    sums = np.where(holes[..., None], np.uint8(0), cells).sum(axis=(2, 3), dtype=np.float32)
    small = sums / np.maximum(seen, 1).astype(np.float32)[..., None]
    whole = seen == step**2
    ground, rough = _ground(_lab(small), seen > 0, whole)
    if rough and (ground & whole).any():
        sources = _shift_map(_lab(small), ground & whole)
        made = _joined(cells.reshape(-1, step, step, 3)[sources])
    else:
        made = _enlarged(membrane.close(small, ground), step)
    return made[: mask.shape[0], : mask.shape[1]]


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
    size_wh = (small.shape[1] * step, small.shape[0] * step)
    return np.round(cv2.resize(small, size_wh, interpolation=cv2.INTER_CUBIC).clip(0, 255)).astype(np.uint8)


def _lab(small: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(small / 255, cv2.COLOR_RGB2Lab) * LAB_SCALE)


def _ground(lab: np.ndarray, seen: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, bool]:
    """Which cells show what mostly surrounds the hole, hxw bool, and whether that has a texture."""
    soft = _blurred(lab, seen)
    left, top, right, bottom = bounding_box(~whole)
    width = max(3.0, RING * max(right - left, bottom - top))
    ring = seen & (ndimage.distance_transform_edt(whole) <= width)
    ground = seen & _common(soft, ring)
    if not (ground & ring).any():  # no colour is common
        ground = seen
    deviations = np.abs(lab - soft)[..., 0][ground & ring]
    return ground, bool(np.median(deviations) > ROUGH)


def _blurred(lab: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """By the cells that are seen alone (Knutsson and Westin, Normalized Convolution, CVPR 1993)."""
    weights = ndimage.gaussian_filter(seen.astype(np.float32), 1)
    sums = ndimage.gaussian_filter(lab * seen[..., None], (1, 1, 0))
    return np.asarray(sums / np.maximum(weights, 1e-3)[..., None])


def _common(lab: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """The cells whose colours, or ones like them, at least MIN_SHARE of the ring has."""
    bins = np.moveaxis(((lab + LAB_OFFSET) / COLOUR_BIN).astype(int), 2, 0)
    counts = np.zeros((int(256 // COLOUR_BIN) + 1,) * 3)
    np.add.at(counts, tuple(bins[:, ring]), 1)
    alike = ndimage.convolve(counts, np.ones((3, 3, 3)), mode="constant")
    return np.asarray(alike[tuple(bins)] >= MIN_SHARE * ring.sum())


def _shift_map(lab: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """For each cell the index of the one to show in its place, hxw, always one of the ground."""
    indices = np.arange(ground.size, dtype=np.float32).reshape(ground.shape)
    # OpenCV gives the finished picture, not the map. So a further channel tells where each colour comes from, in
    # numbers so small that they count for nothing when colours are compared.
    labelled = np.dstack([lab, indices * INDEX_SCALE]).astype(np.float32)
    made = np.zeros_like(labelled)
    cv2.setRNGSeed(0)
    cv2.xphoto.inpaint(labelled, ground.astype(np.uint8) * 255, made, cv2.xphoto.INPAINT_SHIFTMAP)
    sources = np.round(made[..., 3] / INDEX_SCALE).astype(int)
    usable = ground.ravel()[sources.clip(0, ground.size - 1)] & (sources >= 0) & (sources < ground.size)
    nearest = ndimage.distance_transform_edt(~ground, return_distances=False, return_indices=True)
    return np.where(usable, sources, np.ravel_multi_index(tuple(nearest), ground.shape))
