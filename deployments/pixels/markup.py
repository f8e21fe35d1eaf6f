"""What a person has drawn over a picture to show what is meant: a loop around it, or a scribble or a dot on it.

A loop is read as the box around it. A scribble is not: it often lies within the thing, which a box would cut off at the
scribble's ends. Its ends may also lie beside the thing, so of a scribble only a point in its middle counts. Several
drawings at once mean several things, for which there are only points: a loop then gives its centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from deployments.errors import InvalidInput
from deployments.messages import Box, Point
from deployments.pixels.loaded import colour_and_alpha, turned_upright
from deployments.pixels.masks import bounding_box, middle_of

GRID = 512  # cells on the longer side: strokes are told apart no finer than that
DOT_SHARE, DOT_PX = 0.03, 12  # of the longer side: a drawing that is no larger is a dot
JOINED_SHARE = 0.02  # of the longer side: strokes that are no farther apart are one drawing
HOLLOW = 0.4  # of a loop's radius: within it a loop has hardly any strokes
FILLED_SHARE = 0.05  # of a drawing's strokes: with more of them in the hollow it is no loop
SECTORS, CLOSED_SHARE = 24, 0.8  # directions from a loop's centre, and how many of them have to have a stroke
MOST_DRAWINGS = 16  # more are rather noise


@dataclass(frozen=True, eq=False)
class ReadMarkup:
    """A drawing and how it was read: as a `box`, or as a point on each thing, in pixels of the upright picture.

    `size` is its width and height, and `marked_px` counts the pixels that are painted.
    """

    size: tuple[int, int]
    marked_px: int
    box: Box | None
    points: tuple[Point, ...]


def read_markup(picture: Image.Image, param: str) -> ReadMarkup:
    """Return what a loaded drawing says. Refuse a file without transparency, and one in which nothing is painted."""
    _, alpha = colour_and_alpha(picture)
    ask = "Send a PNG or WebP that is transparent but for the strokes over what is meant."
    if alpha is None:
        raise InvalidInput(f"`{param}` has no alpha channel, so nothing in it is a stroke. {ask}", param)
    strokes = np.asarray(turned_upright(picture, alpha)) > 0
    if not strokes.any():
        raise InvalidInput(f"`{param}` is empty: all of it is transparent. {ask}", param)
    if strokes.all():
        raise InvalidInput(f"`{param}` is nowhere transparent, so nothing in it is a stroke. {ask}", param)
    box, points = meaning_of(strokes)
    if len(points) > MOST_DRAWINGS:
        raise InvalidInput(
            f"`{param}` has too many strokes apart from each other. Send one loop around what is meant, or one stroke "
            "on it.",
            param,
        )
    return ReadMarkup((strokes.shape[1], strokes.shape[0]), int(strokes.sum()), box, points)


def meaning_of(strokes: np.ndarray) -> tuple[Box | None, tuple[Point, ...]]:
    """Return the box around a loop, or else a point for each drawing of the strokes (HxW bool, not empty)."""
    cell = math.ceil(max(strokes.shape) / GRID)
    drawings = _drawings(_coarse(strokes, cell))
    dot_cells = max(DOT_SHARE * max(strokes.shape), DOT_PX) / cell
    loops = [_is_loop(each) and not _is_dot(each, dot_cells) for each in drawings]
    if loops == [True]:
        return bounding_box(strokes), ()
    height, width = strokes.shape
    points = []
    for drawing, is_loop in zip(drawings, loops, strict=True):
        x, y = _middle(drawing, is_loop or _is_dot(drawing, dot_cells))
        points.append((min(x * cell + cell // 2, width - 1), min(y * cell + cell // 2, height - 1)))
    return None, tuple(points)


def _coarse(strokes: np.ndarray, cell: int) -> np.ndarray:
    """Return hxw bool: which squares of `cell` pixels have a stroke."""
    height, width = strokes.shape
    padded = np.pad(strokes, ((0, -height % cell), (0, -width % cell)))
    return np.asarray(padded.reshape(padded.shape[0] // cell, cell, -1, cell).any(axis=(1, 3)))


def _drawings(strokes: np.ndarray) -> list[np.ndarray]:
    """Return the strokes, hxw bool, apart by drawing: those near to each other belong to one.

    So do the pieces of a loop that the picture's border has cut.
    """
    reach = max(1, round(JOINED_SHARE * max(strokes.shape) / 2))
    labels, count = ndimage.label(ndimage.binary_dilation(strokes, np.ones((3, 3)), iterations=reach))
    looked_at = min(count, MOST_DRAWINGS + 1)  # one too many is refused, however many there are
    drawings = [np.logical_and(strokes, labels == number) for number in range(1, looked_at + 1)]
    if count > MOST_DRAWINGS:
        return drawings
    cut = [drawing for drawing in drawings if _at_border(drawing).any()]
    whole = np.logical_or.reduce(cut) if len(cut) > 1 else None
    if whole is None or not _is_loop(whole):
        return drawings
    return [whole, *(drawing for drawing in drawings if not _at_border(drawing).any())]


def _at_border(drawing: np.ndarray) -> np.ndarray:
    """Return hxw bool: the sides of the box around a drawing that lie on the picture's border."""
    left, top, right, bottom = bounding_box(drawing)
    sides = np.zeros_like(drawing)
    sides[top:bottom, left:right] = True
    sides[1:-1, 1:-1] = False
    return sides


def _is_dot(drawing: np.ndarray, dot_cells: float) -> bool:
    left, top, right, bottom = bounding_box(drawing)
    return max(right - left, bottom - top) <= dot_cells


def _is_loop(drawing: np.ndarray) -> bool:
    """Return whether the strokes of a drawing, hxw bool, run around its middle and leave that free.

    The picture's border closes a loop that it cuts.
    """
    left, top, right, bottom = bounding_box(drawing)

    def places(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far cells are from the middle, where 1 is the way to the box's sides, and in which directions."""
        rows, columns = np.nonzero(cells)
        across = (columns + 0.5 - (left + right) / 2) / ((right - left) / 2)
        down = (rows + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)
        sectors = ((np.arctan2(down, across) / (2 * math.pi) + 0.5) * SECTORS).astype(int) % SECTORS
        return np.hypot(across, down), sectors

    far, sectors = places(drawing)
    closed = {*sectors[far >= HOLLOW].tolist(), *places(_at_border(drawing))[1].tolist()}
    return bool((far < HOLLOW).mean() <= FILLED_SHARE and len(closed) >= CLOSED_SHARE * SECTORS)


def _middle(drawing: np.ndarray, is_round: bool) -> Point:
    """Return the middle of a loop or a dot (hxw bool), or the place on a scribble that is nearest to its middle."""
    if is_round:
        return middle_of(bounding_box(drawing))
    rows, columns = np.nonzero(drawing)
    nearest = int(np.hypot(rows - rows.mean(), columns - columns.mean()).argmin())
    return int(columns[nearest]), int(rows[nearest])
