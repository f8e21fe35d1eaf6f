"""From which level on a grey mask marks, and which masks are not light and dark at all.

Programs write masks in several ways: white on black, as 0 and 1, or with a number for each of several things. The first
two are plain. Of the last nobody but the caller knows which thing is meant, so it is refused with what to send instead.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from deployments.errors import InvalidInput

FEW = 32  # a mask drawn by hand or by a model has its edges smoothed, so more levels than that, or just two
SMALL = 31  # of labels beside the top level, which marks what is to be ignored
EDGE_SHARE = 0.05  # of the pixels of the lightest level: what lies between it and the darkest may be an edge


def check_colours(picture: Image.Image, param: str) -> None:
    """Refuse an RGB picture of a few colours that are no greys, each of which seems to stand for a thing."""
    colours = [colour for _, colour in picture.getcolors(FEW) or ()]
    if len(colours) > 2 and any(isinstance(colour, tuple) and len(set(colour)) > 1 for colour in colours):
        raise _labelled(param, f"{len(colours)} colours")


def counts_of(light: np.ndarray, top: int) -> np.ndarray:
    """Return how many pixels of `light`, HxW uint8 or uint16, have each of the levels 0..`top`: (`top` + 1) int64."""
    counts = np.zeros(top + 1, np.int64)
    for row in light:  # all at once would take eight bytes a pixel
        levels, found = np.unique(row, return_counts=True)
        counts[levels] += found
    return counts


def check_levels(counts: np.ndarray, top: int, param: str) -> None:
    """Refuse levels that number several things, such as 0, 1 and 2. A few pixels between dark and light are an edge.

    `counts` has the number of pixels at each level 0..`top`, as `counts_of` returns it.
    """
    found = np.flatnonzero(counts)
    if not 2 < len(found) <= FEW:
        return
    if 2 * found[-1] >= top and counts[found[1:-1]].sum() < EDGE_SHARE * counts[found[-1]]:
        return
    if found[-1] < top or found[-2] <= SMALL:
        shown = ", ".join(map(str, found[:4])) + (", ..." if len(found) > 4 else "")
        raise _labelled(param, f"the levels {shown}")


def threshold(found: np.ndarray, top: int) -> int:
    """Return the least level that marks: half of the scale, or less for a mask of 0 and one dark level (0 and 1).

    `found` has the levels that occur, N int in 0..`top`, in ascending order.
    """
    half = (top + 1) // 2
    return int(found[1]) if len(found) == 2 and found[0] == 0 and found[1] < half else half


def _labelled(param: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"`{param}` has {what}, as if each stood for a thing, and does not say which is meant. Send white where that "
        "thing is and black elsewhere, or `mask_mode` luminance to go by what is light.",
        param,
    )
