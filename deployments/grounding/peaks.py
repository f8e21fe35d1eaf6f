"""From a heat map to places: the one to point at, and the things that stand out from one another.

Cells are (row, column) of the heat map; points and boxes are in pixels of the picture it covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from deployments.messages import Box, Point
from deployments.pixels.masks import bounding_box

Cell = tuple[int, int]

HOT_SHARE = 0.7  # of the peak: what is at least this hot and touches the peak belongs to it
CENTRE_PULL = 0.3  # how much a hot cell at the rim of its region has to be hotter than one in its middle
EXTENT_SHARE = 0.5  # of a thing's peak: how far the thing reaches
WEAKEST_SHARE = 0.5  # of the hottest peak: what is weaker is no other one of the same things
VALLEY_SHARE = 0.8  # of the lower of two peaks: a valley deeper than that makes two things of them
LEVELS = 16
APART_SHARE = 1 / 7  # of a thing's longer side: how far apart its points are, at least


@dataclass(frozen=True, eq=False)
class HotSpot:
    """A hot part of a heat map, which is taken for one thing.

    `cells` (hxw bool, in the heat map) is what belongs to it. The rest is in pixels of the picture: `box_xyxy` is the
    box around the cells, `points_xy` lie on it, the best first. `strength` is the heat of its peak, in 0..1.
    """

    cells: np.ndarray
    points_xy: tuple[Point, ...]
    box_xyxy: Box
    strength: float


def hot_spots(heat: np.ndarray, size_hw: tuple[int, int], most_points: int) -> list[HotSpot]:
    """Return the things in a heat map (hxw float32, 0..1) over a picture of `size_hw`, hottest first.

    There is always at least one. Each has at most `most_points` points.
    """
    spots = []
    for cells in _parts(heat):
        points = tuple(to_pixel(cell, heat.shape, size_hw) for cell in _spread(heat, cells, most_points))
        spots.append(HotSpot(cells, points, _pixel_box(cells, size_hw), float(heat[cells].max())))
    return sorted(spots, key=lambda spot: -spot.strength)


def _parts(heat: np.ndarray) -> list[np.ndarray]:
    """Return the cells (hxw bool) of each part of the map that a valley divides from the others."""
    levels = np.linspace(WEAKEST_SHARE, 1, LEVELS, endpoint=False) * heat.max()
    cores = [core for region in _pieces(heat >= levels[0]) for core in _cores(heat, region, levels[1:])]
    numbers = np.zeros(heat.shape, int)
    for number, core in enumerate(cores, start=1):
        numbers[core] = number
    nearest = numbers[tuple(ndimage.distance_transform_edt(numbers == 0, return_distances=False, return_indices=True))]
    return [_extent(heat, nearest == number, core) for number, core in enumerate(cores, start=1)]


def _cores(heat: np.ndarray, region: np.ndarray, levels: np.ndarray) -> list[np.ndarray]:
    """Return the cores of the things in a connected region: the region, or the pieces it falls into as the level rises.

    A piece counts if its own peak stands out from the level at which it parted from the rest.
    """
    for index, level in enumerate(levels):
        standing = [piece for piece in _pieces(region & (heat >= level)) if level <= VALLEY_SHARE * heat[piece].max()]
        if len(standing) > 1:
            return [core for piece in standing for core in _cores(heat, piece, levels[index + 1 :])]
    return [region]


def _extent(heat: np.ndarray, own: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Return how far the thing with that core reaches among the cells that are nearest to it."""
    peak = _hottest(heat, core)
    return region_of(own & (heat >= EXTENT_SHARE * heat[peak]), peak)


def _spread(heat: np.ndarray, cells: np.ndarray, most: int) -> list[Cell]:
    """Return the best cell to point at, and further hot ones at a distance from it and from each other."""
    worth = _worth(heat, region_of(cells & (heat >= HOT_SHARE * heat[cells].max()), _hottest(heat, cells)))
    rows, columns = np.nonzero(cells)
    apart = max(1.5, APART_SHARE * max(np.ptp(rows) + 1, np.ptp(columns) + 1))
    y, x = np.indices(heat.shape)
    found: list[Cell] = []
    while len(found) < most and np.isfinite(worth).any():
        row, column = np.unravel_index(int(worth.argmax()), heat.shape)
        found.append((int(row), int(column)))
        worth[np.hypot(y - row, x - column) < apart] = -np.inf
    return found


def heat_mask(spot: HotSpot, heat: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Return the heat map around a thing as a mask of the picture: HxW bool, True where it is half as hot as its peak.

    `heat` is hxw float32 in 0..1, and `size_hw` the size of the picture.
    """
    own = np.where(spot.cells, heat, np.minimum(heat, spot.strength / 4)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(own).resize(size_hw[::-1], Image.Resampling.BICUBIC))
    return np.asarray(smooth >= spot.strength / 2)


def best_cell(heat: np.ndarray) -> Cell:
    """Return the row and column of the best place to point at in a heat map (hxw float32, 0..1).

    It is hot, and towards the middle of the hot region of the peak. The peak itself often lies at the rim, where the
    map saturates; the centroid may lie beside a curved thing.
    """
    peak = _hottest(heat, np.ones_like(heat, bool))
    worth = _worth(heat, region_of(heat >= HOT_SHARE * heat[peak], peak))
    row, column = np.unravel_index(int(worth.argmax()), heat.shape)
    return int(row), int(column)


def _worth(heat: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Return how good each cell of a hot region is to point at, hxw float; -inf outside it."""
    rows, columns = np.nonzero(region)
    hot = heat[rows, columns]
    weights = hot + 1e-9  # a cold map has a middle too
    squared = (rows - np.average(rows, weights=weights)) ** 2 + (columns - np.average(columns, weights=weights)) ** 2
    worth = np.full(heat.shape, -np.inf)
    worth[rows, columns] = hot - CENTRE_PULL * hot.max() * squared / max(1.0, float(squared.max()))
    return worth


def _hottest(heat: np.ndarray, cells: np.ndarray) -> Cell:
    row, column = np.unravel_index(int(np.where(cells, heat, -np.inf).argmax()), heat.shape)
    return int(row), int(column)


def region_of(mask: np.ndarray, seed: Cell) -> np.ndarray:
    """Return the cells of `mask` that are connected with the cell `seed` by their edges. Both are hxw bool."""
    labels, _ = ndimage.label(mask)
    return np.asarray((labels == labels[seed]) & mask)


def _pieces(mask: np.ndarray) -> list[np.ndarray]:
    labels, count = ndimage.label(mask)
    return [labels == label for label in range(1, count + 1)]


def to_pixel(cell: Cell, cells: tuple[int, ...], size_hw: tuple[int, int]) -> Point:
    """Return the pixel (x, y) of a picture of `size_hw` in the middle of a cell (row, column) of a map of `cells`."""
    y, x = (
        min(length - 1, int((index + 0.5) / count * length))
        for index, count, length in zip(cell, cells, size_hw, strict=True)
    )
    return x, y


def _pixel_box(cells: np.ndarray, size_hw: tuple[int, int]) -> Box:
    """Return the box, in pixels of the picture, around all that lies under `cells` (hxw bool)."""
    left, top, right, bottom = bounding_box(cells)
    scale_y, scale_x = (length / count for length, count in zip(size_hw, cells.shape, strict=True))
    return (
        int(left * scale_x),
        int(top * scale_y),
        min(size_hw[1], round(right * scale_x)),
        min(size_hw[0], round(bottom * scale_y)),
    )
