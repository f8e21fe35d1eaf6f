"""Close holes smoothly by a membrane that is stretched from rim to rim, as a soap film would close them.

That is the solution of Laplace's equation. Coarse copies are closed first and a few sweeps correct each finer one
(cascadic multigrid: Bornemann and Deuflhard, Numerische Mathematik 75, 1996), so it costs a few looks at each pixel.
"""

from __future__ import annotations

import numpy as np

SWEEPS = 8  # over the picture itself; each coarser copy gets twice as many, which cost half as much ...
MOST_SWEEPS = 128  # ... but no more than this


def close(values: np.ndarray, known: np.ndarray, sweeps: int = SWEEPS) -> np.ndarray:
    """Return `values` (HxWxC float32) with the pixels that are not `known` (HxW bool) replaced by a smooth membrane.

    Where no pixel is known, all become the mean of the values.
    """
    if not known.any():
        return np.broadcast_to(values.mean(axis=(0, 1)), values.shape).astype(np.float32)
    if known.all():
        return values.astype(np.float32)
    coarse = close(*_halved(values, known), min(2 * sweeps, MOST_SWEEPS))
    filled = np.where(known[..., None], values, _doubled(coarse, known.shape))
    unknown = ~known[..., None]
    for _ in range(sweeps):
        np.copyto(filled, _neighbours_mean(filled), where=unknown)
    return np.asarray(filled, np.float32)


def _halved(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values in half the size, each the mean of the known ones of two by two, and which are known."""
    odd = [(0, size % 2) for size in known.shape]
    weights = np.pad(known, odd).astype(np.float32)
    counts = _block_sums(weights)
    sums = _block_sums(np.pad(values, [*odd, (0, 0)]) * weights[..., None])
    return (sums / np.maximum(counts, 1)[..., None]).astype(np.float32), counts > 0


def _block_sums(array: np.ndarray) -> np.ndarray:
    return np.asarray(array[::2, ::2] + array[1::2, ::2] + array[::2, 1::2] + array[1::2, 1::2])


def _doubled(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array in twice the size, cut to `shape`, by bilinear interpolation."""
    for axis in (0, 1):
        array = np.moveaxis(array, axis, 0)
        padded = np.pad(array, ((1, 1), (0, 0), (0, 0)), mode="edge")
        halves = np.stack([3 * array + padded[:-2], 3 * array + padded[2:]], axis=1) / 4
        array = np.moveaxis(halves.reshape(-1, *array.shape[1:]), 0, axis)
    return array[: shape[0], : shape[1]]


def _neighbours_mean(array: np.ndarray) -> np.ndarray:
    """Return the mean of the four neighbours of each pixel. Beyond an edge a pixel is its own neighbour."""
    padded = np.pad(array, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return np.asarray((padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4)
