"""Cuts a long mask into overlapping squares that are painted each for itself, and weighs them where they overlap.

A square around something long shows mostly what is beside it, or beyond the picture, and shows the thing itself too
small. The tiles lie on a grid over the mask; those that are not needed to cover it are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from deployments.messages import Box
from deployments.pixels.masks import Place

OVERLAP = 0.25  # of a tile's side is shared with its neighbour: wide enough for one painting to become another unseen
CONTEXT = 0.15  # of a tile's side is seen beyond the ends of the mask, as in the square around an ordinary thing
COVER = 6  # times the mask's area is what all tiles together cover, if they need not be smaller than ...
SMALLEST_PX = 256  # ... this: the published models paint 512 px, and enlarging twice is enough
SHRINK, GROW = 0.75, 1.1  # steps in which the tiles' side is looked for


Cell = tuple[int, int]  # row and column


@dataclass(frozen=True)
class Grid:
    """Squares of `side` px whose left edges are `lefts` and top edges `tops`, all combinations, in picture coordinates.

    Neighbours overlap. `cells` are those in use.
    """

    side: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    cells: tuple[Cell, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The boxes of the squares in use, in pixels of the picture."""
        return tuple(self._box(cell) for cell in self.cells)

    def shares(self, number: int, alpha: np.ndarray) -> np.ndarray:
        """Return how much of tile `number` is laid over what the tiles before it left, SxS float32 in 0..1.

        `alpha`, SxS float32 in 0..1, is the share that all tiles together have. Laid over the picture one after
        another, the tiles then have weights that add up to it, with linear ramps where two overlap.
        """
        box = self._box(self.cells[number])
        own = self._depth(self.cells[number], box)
        earlier, later = (
            sum((self._depth(cell, box) for cell in cells if self._overlap(cell, box)), np.zeros_like(alpha))
            for cells in (self.cells[:number], self.cells[number + 1 :])
        )
        # Each tile's weight is its depth over the sum of all. What the tiles after this one cover is not left for it.
        left = earlier + own + (1 - alpha) * later
        return np.divide(alpha * own, left, out=np.zeros_like(alpha), where=alpha > 0).clip(0, 1)

    def _box(self, cell: Cell) -> Box:
        top, left = self.tops[cell[0]], self.lefts[cell[1]]
        return left, top, left + self.side, top + self.side

    def _overlap(self, cell: Cell, box: Box) -> bool:
        left, top, _, _ = self._box(cell)
        return abs(left - box[0]) < self.side and abs(top - box[1]) < self.side

    def _depth(self, cell: Cell, box: Box) -> np.ndarray:
        """Return how deep each pixel of `box` is in the cell, 0 outside, as the product of both axes: float32."""
        left, top, _, _ = self._box(cell)
        return np.outer(_depths(top, self.side, box[1], box[3]), _depths(left, self.side, box[0], box[2]))


def grid_over(mask: np.ndarray, box: Box, size_wh: tuple[int, int], most: int) -> Grid:
    """Return at most `most` tiles that cover `mask` (hxw bool, what is masked within `box`) in a picture of that size.

    No larger than the picture's shorter side, as long as `most` of them are enough.
    """
    area = COVER * int(mask.sum())
    side = float(max(SMALLEST_PX, min(size_wh)))
    grid = _grid(mask, box, size_wh, round(side))
    while len(grid.cells) * side**2 > area and side > SMALLEST_PX:
        side = max(SMALLEST_PX, SHRINK * side)
        grid = _grid(mask, box, size_wh, round(side))
    while len(grid.cells) > most:
        side *= GROW
        grid = _grid(mask, box, size_wh, round(side))
    return grid


def _grid(mask: np.ndarray, box: Box, size_wh: tuple[int, int], side: int) -> Grid:
    left, top, right, bottom = box
    lefts, tops = _starts(left, right, side, size_wh[0]), _starts(top, bottom, side, size_wh[1])
    cells = []
    for row, y in enumerate(tops):
        strip = np.asarray(mask[max(0, y - top) : max(0, y + side - top)].any(axis=0))
        cells += [
            (row, column) for column, x in enumerate(lefts) if strip[max(0, x - left) : max(0, x + side - left)].any()
        ]
    grid = Grid(side, tops, lefts, tuple(cells))
    return replace(grid, cells=_needed(mask, [_cut(each, box) for each in grid.boxes], grid.cells))


def _needed(mask: np.ndarray, places: list[Place], cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Return the cells without those of which the others cover all that is masked; the emptiest are left out first."""
    layers = np.zeros(mask.shape, np.uint8)
    for place in places:
        layers[place] += 1
    kept = set(cells)
    for place, cell in sorted(zip(places, cells, strict=True), key=lambda each: int(mask[each[0]].sum())):
        if layers[place][mask[place]].min() > 1:
            layers[place] -= 1
            kept.remove(cell)
    return tuple(cell for cell in cells if cell in kept)


def _cut(square: Box, box: Box) -> Place:
    """Return where a square is in an array of what is in `box`."""
    left, top, right, bottom = square
    return (
        slice(max(0, top - box[1]), max(0, bottom - box[1])),
        slice(max(0, left - box[0]), max(0, right - box[0])),
    )


def _starts(first: int, last: int, side: int, limit: int) -> tuple[int, ...]:
    """Return where tiles start that cover `first` to `last` of an axis of `limit` px, with some context if there is."""
    context = round(CONTEXT * side)
    low, high = max(0, first - context), min(limit, last + context)
    if high - low <= side:
        return (shifted_inside((low + high - side) // 2, side, limit),)
    overlap = round(OVERLAP * side)
    count = math.ceil((high - low - overlap) / (side - overlap))
    return tuple(round(start) for start in np.linspace(low, high - side, count))


def shifted_inside(start: int, length: int, limit: int) -> int:
    """Return where a stretch of `length` starts once it is shifted into 0..`limit`; centred if it is longer."""
    if length > limit:
        return (limit - length) // 2
    return min(max(start, 0), limit - length)


def _depths(start: int, side: int, first: int, last: int) -> np.ndarray:
    """Return how far each position from `first` to `last` is from the ends of a stretch, 0 outside it: float32."""
    middles = np.arange(first, last, dtype=np.float32) + 0.5
    return np.minimum(middles - start, start + side - middles).clip(0, None) / side
