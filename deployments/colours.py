"""Corrects a shift of colours that the painter made, by what it made of pixels that are known.

Just outside the region a painting should show what the picture shows. Where it does not, a gain and an offset for each
channel are fitted there, and applied to all of the painting.
"""

from __future__ import annotations

import numpy as np

from deployments.regions import Region

MIN_PIXELS = 64  # a smaller band says too little
GAINS = (0.8, 1.25)
MAX_OFFSET = 32.0  # of 255
RIDGE = 10.0**2  # pulls the gain towards 1 as a variance of ten levels would: a plain band cannot tell it


def fit(painted: np.ndarray, original: np.ndarray, region: Region) -> np.ndarray:
    """`painted` with the colours that fit best around the region, or as it is if none fit better.

    Both are squares as `region.crop` gives them, SxSx3 uint8; `original` is the picture's own.
    """
    band = region.band
    if band.sum() < MIN_PIXELS:
        return painted
    made, truth = painted[band].astype(np.float32), original[band].astype(np.float32)
    gain, offset = _gain_and_offset(made, truth)
    if _error(_rounded(made * gain + offset), truth) >= _error(made, truth):
        return painted
    return _rounded(painted * gain + offset)


def _gain_and_offset(made: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each channel, for `made` Nx3 to become `truth`: ridge regression (Hoerl and Kennard, 1970), within limits."""
    middle, wanted = made.mean(axis=0), truth.mean(axis=0)
    covariance = ((made - middle) * (truth - wanted)).mean(axis=0)
    gain = np.clip((covariance + RIDGE) / (made.var(axis=0) + RIDGE), *GAINS)
    shift = np.clip(wanted - middle, -MAX_OFFSET, MAX_OFFSET)
    return gain, middle + shift - gain * middle


def _rounded(colours: np.ndarray) -> np.ndarray:
    return np.round(colours.clip(0, 255)).astype(np.uint8)


def _error(made: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(made - truth).mean())
