"""The shift map of a hole: for each of its places another place whose surroundings look like those of the hole.

It follows Pritch, Kav-Venaki and Peleg (Shift-Map Image Editing, ICCV 2009) and He and Sun (Statistics of Patch Offsets
for Image Completion, ECCV 2012): few shifts explain a picture. Here these are the shifts under which parts of the ring
around the hole match best, and each place takes the one that matches best at the parts of the ring near to it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import fft, ndimage

Shift = tuple[int, int]  # rows, columns
Spread = Callable[[np.ndarray], np.ndarray]

SECTORS = 8  # of the ring, seen from the middle of the hole
SHIFTS = 6  # for each sector, and for all of the ring
APART = 5  # no two of those are nearer to each other
MIN_OVERLAP = 0.6  # of a sector must have ground to be compared with
MIN_COVER = 0.15  # of the hole must be shown ground


def sources(colours: np.ndarray, ground: np.ndarray, hole: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Return for each place of the hole the flat index of the place to show there: hxw int.

    It is -1 where there is none, and outside the hole. `colours` are hxwx3 float; the others are hxw bool in the same
    frame: `ground` has the places that may be shown, and `ring` is what surrounds the hole.
    """
    ring = ring & ground
    indices = np.arange(hole.size).reshape(hole.shape)
    lowest, found = np.full(hole.shape, np.inf), np.full(hole.shape, -1)
    spread = _inverse_distance(hole.shape)
    for shift in _shifts(colours, ground, hole, ring):
        there = _moved(ground, shift)
        errors = np.square(_moved(colours, shift) - colours).sum(axis=2) * (ring & there)
        costs = spread(errors) / spread((ring & there).astype(float))
        better = hole & there & (costs < lowest)
        lowest[better], found[better] = costs[better], _moved(indices, shift)[better]
    return found


def _moved(array: np.ndarray, shift: Shift) -> np.ndarray:
    """Return an array that has at each place the value `shift` further; zeros come from beyond the edges."""
    moved = np.zeros_like(array)
    (to_y, from_y), (to_x, from_x) = (_overlap(*each) for each in zip(shift, array.shape, strict=False))
    moved[to_y, to_x] = array[from_y, from_x]
    return moved


def _overlap(by: int, size: int) -> tuple[slice, slice]:
    return slice(max(0, -by), max(0, min(size, size - by))), slice(max(0, by), max(0, min(size, size + by)))


def _inverse_distance(shape: tuple[int, ...]) -> Spread:
    """Return a function that sums up an array around each of its places.

    Its weights fall by about the inverse fourth power of the distance (Shepard, ACM 1968).
    """
    size = _room(shape)
    y, x = (np.minimum(np.arange(length), length - np.arange(length)) for length in size)
    kernel = fft.rfft2(1.0 / (y[:, None] ** 2 + x**2 + 1) ** 2)

    def spread(array: np.ndarray) -> np.ndarray:
        sums = fft.irfft2(fft.rfft2(array, size) * kernel, size)[: shape[0], : shape[1]]
        return np.asarray(np.maximum(sums, 1e-12))

    return spread


def _room(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a size (rows, columns) in which nothing that is shifted comes in again at the other side."""
    return fft.next_fast_len(2 * shape[0], True), fft.next_fast_len(2 * shape[1], True)


def _shifts(colours: np.ndarray, ground: np.ndarray, hole: np.ndarray, ring: np.ndarray) -> list[Shift]:
    """Return the best shifts of each sector of the ring and of the whole ring, each of them once."""
    middle_y, middle_x = ndimage.center_of_mass(hole)
    y, x = np.indices(hole.shape)
    turn = (np.arctan2(y - middle_y, x - middle_x) / (2 * np.pi)) % 1
    sectors = [ring & ((turn * SECTORS).astype(int) == number) for number in range(SECTORS)]
    matcher = _Matcher(colours, ground, hole)
    return list(dict.fromkeys(shift for part in [ring, *sectors] if part.any() for shift in matcher.best(part)))


class _Matcher:
    """Compares a part of a picture with its ground under all shifts at once, by the Fourier transform."""

    def __init__(self, colours: np.ndarray, ground: np.ndarray, hole: np.ndarray) -> None:
        self._size = _room(ground.shape)
        self._shape = ground.shape
        self._colours = colours.astype(float)
        self._squares = np.square(self._colours).sum(axis=2)
        self._ground = self._spectrum(ground)
        self._ground_colours = [self._spectrum(colour * ground) for colour in np.moveaxis(self._colours, 2, 0)]
        self._ground_squares = self._spectrum(self._squares * ground)
        self._covers = self._correlation(hole, self._ground) >= MIN_COVER * hole.sum()

    def best(self, part: np.ndarray) -> list[Shift]:
        """Return the shifts under which `part` (hxw bool) differs least from the ground (mean square), best first."""
        counts = np.round(self._correlation(part, self._ground))
        errors = self._correlation(part * self._squares, self._ground) + self._correlation(part, self._ground_squares)
        for colour, spectrum in zip(np.moveaxis(self._colours, 2, 0), self._ground_colours, strict=True):
            errors -= 2 * self._correlation(part * colour, spectrum)
        allowed = self._covers & (counts >= MIN_OVERLAP * part.sum())
        means = np.where(allowed, errors / np.maximum(counts, 1), np.inf)
        lows = allowed & (means == ndimage.minimum_filter(means, APART, mode="wrap"))
        places = np.argwhere(lows)[np.argsort(means[lows], kind="stable")[:SHIFTS]]
        return [self._shift(int(row), int(column)) for row, column in places]

    def _shift(self, row: int, column: int) -> Shift:
        """Return the shift at a place of the transform, whose second half stands for negative shifts."""
        return (
            row - self._size[0] if row >= self._shape[0] else row,
            column - self._size[1] if column >= self._shape[1] else column,
        )

    def _correlation(self, part: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
        """Return for each shift the sum over all places of `part` there times the other array further on."""
        return np.asarray(fft.irfft2(np.conj(self._spectrum(part)) * spectrum, self._size))

    def _spectrum(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(fft.rfft2(array.astype(float), self._size))
