"""The feather: the soft edge over which a painting fades into the picture. All of it lies inside the mask."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

FEATHER = 0.06  # how wide it is at most: a share of a thing's longest side ...
MIN_FEATHER_PX = 2  # ... but at least this many pixels


def feather_px(longest_px: float, room_px: float) -> float:
    """Return how wide the feather of a thing is whose longest side is `longest_px`, in pixels.

    It is no wider than `room_px`, by which the mask reaches beyond the thing that was found: however far a mask grows,
    the painting should not fade out over what it is meant to cover.
    """
    return float(max(MIN_FEATHER_PX, min(room_px, FEATHER * longest_px)))


def feathered(mask: np.ndarray, width_px: float) -> np.ndarray:
    """Return the share of the painting at each pixel, HxW float32: 0 outside `mask` (HxW bool), 1 from `width_px` on.

    In between it rises with the distance to the mask's edge. Where the mask reaches the edge of the array it does not
    end, so nothing falls off there.
    """
    if mask.all():
        return np.ones(mask.shape, np.float32)
    return np.clip(ndimage.distance_transform_edt(mask) / width_px, 0, 1).astype(np.float32)
