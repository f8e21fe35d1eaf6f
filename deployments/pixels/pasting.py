"""Puts painted squares back into the whole picture, and measures what that changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deployments.pixels.regions import Plan, Region


def paste_back(image: np.ndarray, painted: Sequence[np.ndarray], plan: Plan) -> np.ndarray:
    """Return a new picture: the painted squares inside their regions, and `image` (HxWx3 uint8) everywhere else.

    `painted` has SxSx3 uint8 for each region of the plan.
    """
    result = image.copy()
    for square, region in zip(painted, plan.regions, strict=True):
        _paste(result, square, region)
    return result


def _paste(picture: np.ndarray, painted: np.ndarray, region: Region) -> None:
    """Blend one square into a picture, in place. A pixel at a time is looked at only where the painting has a share."""
    there, in_box = region.inside((picture.shape[1], picture.shape[0]))
    below, above = picture[there], region.uncrop(painted)[in_box]
    share = region.alpha[in_box]
    changes = share > 0
    alpha = share[changes][:, None]
    below[changes] = np.round(below[changes] * (1 - alpha) + above[changes] * alpha).astype(np.uint8)


def changed_outside(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> int:
    """Return how many pixels outside `mask` (HxW bool) differ in any channel between two pictures, HxWx3 uint8 each."""
    return int(np.any(before != after, axis=-1)[~mask].sum())


def seam(picture: np.ndarray, painted: Sequence[np.ndarray], plan: Plan) -> float:
    """Return how badly the painted squares continue the picture (HxWx3 uint8) around them: a mean difference, 0..255.

    `painted` has SxSx3 uint8 for each region. They are compared in the bands just outside the regions, where both
    should show the same; the answer is 0 where there is no such band.
    """
    differences = [
        square[region.band].astype(np.float32) - region.crop(picture)[region.band]
        for square, region in zip(painted, plan.regions, strict=True)
    ]
    every = np.concatenate(differences)
    return float(np.abs(every).mean()) if every.size else 0.0
