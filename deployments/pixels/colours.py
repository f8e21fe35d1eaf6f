"""Correct a shift of colours that the painter made, by comparing what it made of pixels that are known.

Just outside the region a painting should show what the picture shows. Where it does not, a gain and an offset for each
channel are fitted there, and applied to all of the painting.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deployments.pixels.regions import Plan, Region

MIN_PIXELS = 64  # a smaller band says too little
GAINS = (0.8, 1.25)
MAX_OFFSET = 32.0  # of 255
RIDGE = 10.0**2  # pulls the gain towards 1 as a variance of ten levels would: a plain ground says nothing of it

Correction = tuple[np.ndarray, np.ndarray]  # gain and offset of each channel


def fit_each(painted: Sequence[np.ndarray], original: np.ndarray, plan: Plan) -> list[np.ndarray]:
    """Return the squares of a plan's regions, SxSx3 uint8 each, as `fit` does by the whole picture, HxWx3 uint8."""
    return [fit(square, region.crop(original), region) for square, region in zip(painted, plan.regions, strict=True)]


def fit(painted: np.ndarray, original: np.ndarray, region: Region) -> np.ndarray:
    """Return `painted` with the colours that fit best around the region, or as it is where none fit better.

    Both are squares as `region.crop` gives them, SxSx3 uint8 in sRGB; `original` shows the unedited picture.
    """
    band = region.band
    made, truth = painted[band].astype(np.float32), original[band].astype(np.float32)
    if len(made) < MIN_PIXELS or not _helps(made, truth, _quadrants(band)):
        return painted
    return _corrected(painted, _correction(made, truth))


def _helps(made: np.ndarray, truth: np.ndarray, half: np.ndarray) -> bool:
    """Return whether the shift is one all around: the correction by each half of the band (N bool) helps the other."""
    if min(half.sum(), (~half).sum()) < MIN_PIXELS // 4:
        return False
    error = sum(
        np.abs(_corrected(made[test], _correction(made[~test], truth[~test])) - truth[test]).sum()
        for test in (half, ~half)
    )
    whole = np.abs(_corrected(made, _correction(made, truth)) - truth).sum()
    return bool(max(error, whole) < np.abs(made - truth).sum())


def _quadrants(band: np.ndarray) -> np.ndarray:
    """Return for each pixel of the band whether it is in the first or third quadrant of the square: N bool."""
    y, x = np.nonzero(band)
    return np.asarray((y < len(band) / 2) == (x < len(band) / 2))


def _correction(made: np.ndarray, truth: np.ndarray) -> Correction:
    """Return the correction that makes `truth` of `made`, Nx3 float32 both, within limits.

    A painting also lacks some detail and has some of its own. The gain then lies between those that least squares find
    one way and the other (Frisch, Statistical Confluence Analysis, 1934). The one nearest to 1 is taken. The offset is
    the median of what is left: where the painting spilled over into the band, it says nothing of a shift.
    """
    middle, wanted = made.mean(axis=0), truth.mean(axis=0)
    covariance = ((made - middle) * (truth - wanted)).mean(axis=0) + RIDGE
    one_way = covariance / (made.var(axis=0) + RIDGE)
    other_way = (truth.var(axis=0) + RIDGE) / np.maximum(covariance, 1e-6)
    gain = np.clip(np.clip(1, one_way, other_way), *GAINS)
    left = np.median(truth - middle - gain * (made - middle), axis=0)
    return gain, middle + np.clip(left, -MAX_OFFSET, MAX_OFFSET) - gain * middle


def _corrected(colours: np.ndarray, correction: Correction) -> np.ndarray:
    gain, offset = correction
    return np.round((colours * gain + offset).clip(0, 255)).astype(np.uint8)
