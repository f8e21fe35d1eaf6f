"""Which views of a picture CLIP sees, and how their maps become one map. This does not know Ray.

A CLIP model sees a small square. To find small things in a large picture, and things at the edge of a long one, a
picture is seen at several levels: all of it, stretched to the square, and in windows of its own shape; the smaller the
things, the more windows. (The models' own preprocessing crops the centre, so that things at an edge are never found.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

MAX_WINDOWS = 40  # of a level; 21 are needed for 16:9 at two squares; pictures longer than 3.5:1 are seen in one row
MAX_SQUARES = 20  # that row is at most so long, which takes 39 windows; longer pictures are stretched to it
LONG_ASPECT = 1.25  # from here on the stretched view distorts what it shows too much to be trusted alone
MAX_ENLARGEMENT = 2  # of a picture for a level: from here on there is nothing more to see
WHOLE_WEIGHT = 0.5  # of the stretched view among levels of windows: it knows the context, they know the details
CELLS_PER_PATCH = 2


@dataclass(frozen=True)
class ViewBox:
    """The box of a view in shares of the picture's width and height, 0..1 from its left and its top edge."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Level:
    """A picture resized to `size_wh`, the views to cut from that, and how much their map counts among the levels'."""

    size_wh: tuple[int, int]
    views: tuple[ViewBox, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class ViewPlan:
    """The levels at which to look at a picture, coarsest first, and the (rows, columns) of its heat map."""

    levels: tuple[Level, ...]
    cells: tuple[int, int]


def plan(size_wh: tuple[int, int], side: int, patch_px: int, squares: Sequence[int]) -> ViewPlan:
    """Return how to look at a picture with a model that sees `side` x `side` pixels, at the scales `squares`.

    First comes the whole, stretched, and then for each scale a level where the picture's shorter side is as many
    squares long as the scale says. The scale is lowered where it would enlarge the picture too much, or need too many
    windows. Windows overlap by half up to two squares and by a quarter beyond, where only small things are looked for.

    The cost, in views: 1 for the whole; for a square picture 9 more at 2 squares, 16 at 3, 25 at 4; for one of
    16:9 21, 28, and 28 again, as 4 would take too many. Never more than `MAX_WINDOWS` for a scale.
    """
    whole = ViewBox(0.0, 0.0, 1.0, 1.0)
    scales = sorted({_worth_while(size_wh, side, scale) for scale in squares} - {0})
    windows = [_windows(size_wh, side, scale) for scale in scales]
    levels = (Level((side, side), (whole,), WHOLE_WEIGHT if windows else 1.0), *windows)
    width, height = levels[-1].size_wh
    cells = (max(2, round(height / patch_px * CELLS_PER_PATCH)), max(2, round(width / patch_px * CELLS_PER_PATCH)))
    return ViewPlan(levels, cells)


def _worth_while(size_wh: tuple[int, int], side: int, scale: int) -> int:
    """Return the scale, or the largest below it that is possible; 0 where windows show no more than the whole."""
    short, long = min(size_wh), max(size_wh)
    while scale > 1:
        many = _count(scale, scale) * _count(scale * long / short, scale)
        if scale * side < MAX_ENLARGEMENT * short and many <= MAX_WINDOWS:
            return scale
        scale -= 1
    return scale if long / short > LONG_ASPECT else 0


def _windows(size_wh: tuple[int, int], side: int, scale: int) -> Level:
    factor = scale * side / min(size_wh)
    across, down = (min(MAX_SQUARES * side, max(side, round(length * factor))) for length in size_wh)
    views = tuple(
        ViewBox(x / across, y / down, (x + side) / across, (y + side) / down)
        for y in _starts(down, side, scale)
        for x in _starts(across, side, scale)
    )
    return Level((across, down), views)


def _count(squares: float, scale: int) -> int:
    """Return how many windows of one square cover a length in squares with at least the overlap of the scale."""
    step = 0.5 if scale <= 2 else 0.75
    return math.ceil((squares - 1) / step - 1e-9) + 1


def _starts(length: int, side: int, scale: int) -> list[int]:
    return [round(start) for start in np.linspace(0, length - side, _count(length / side, scale))]


def cut(image: np.ndarray, level: Level, side: int) -> np.ndarray:
    """Return the views of one level of a picture HxWx3 uint8: VxSxSx3 uint8, where S is `side`.

    They are cut from one resized copy: a large picture is read once for a level, not once for each window.
    """
    resized = np.asarray(Image.fromarray(image).resize(level.size_wh, Image.Resampling.BICUBIC))
    corners = ((round(view.left * level.size_wh[0]), round(view.top * level.size_wh[1])) for view in level.views)
    return np.stack([resized[y : y + side, x : x + side] for x, y in corners])


def blend(maps: torch.Tensor, plan: ViewPlan) -> torch.Tensor:
    """Return the logits of all views (Vxghxgw, level by level) as one map of logits, `plan.cells` large: float64.

    The odds are averaged and not the logits, so that one view that is sure of what it sees counts more than many that
    see too little of it. At each place the mean of a level's windows is taken first, and then the mean of the levels,
    because many fine windows must not outvote the coarse one that alone sees all of a large thing.
    """
    ends = np.cumsum([0, *(len(level.views) for level in plan.levels)])
    odds = torch.zeros(plan.cells, dtype=torch.float64)
    for level, start, end in zip(plan.levels, ends, ends[1:], strict=False):
        odds += level.weight * _level_odds(maps[start:end].double(), level.views, plan.cells)
    return _blur(odds / sum(level.weight for level in plan.levels)).log()


def _level_odds(maps: torch.Tensor, views: Sequence[ViewBox], cells: tuple[int, int]) -> torch.Tensor:
    """Return the mean odds of a level's windows (Wxghxgw). A window sees its middle best, so it counts most there."""
    odds = torch.zeros(cells, dtype=torch.float64)
    weights = torch.zeros(cells, dtype=torch.float64)
    for view, logits in zip(views, maps, strict=True):
        rows, inside_y = _positions(view.top, view.bottom, cells[0])
        columns, inside_x = _positions(view.left, view.right, cells[1])
        places = torch.stack(torch.meshgrid(inside_x, inside_y, indexing="xy"), -1)
        values = functional.grid_sample(logits[None, None], places[None], padding_mode="border", align_corners=False)
        weight = _raised_cosine(inside_y)[:, None] * _raised_cosine(inside_x)
        odds[rows, columns] += values[0, 0].exp() * weight
        weights[rows, columns] += weight
    return odds / weights


def _positions(start: float, end: float, count: int) -> tuple[slice, torch.Tensor]:
    """Return which of `count` cells in a row have their middle inside start..end, and where in there, in -1..1."""
    first, last = math.ceil(start * count - 0.5), math.ceil(end * count - 0.5)
    middles = (torch.arange(first, last, dtype=torch.float64) + 0.5) / count
    return slice(first, last), (middles - start) / (end - start) * 2 - 1


def _raised_cosine(position: torch.Tensor) -> torch.Tensor:
    """Return a weight: 1 in the middle of -1..1, little at its ends, but never 0, as an edge is in no other view."""
    return 0.02 + 0.98 * (0.5 + 0.5 * torch.cos(math.pi * position))


def _blur(heat: torch.Tensor) -> torch.Tensor:
    """Return the map blurred lightly, because a lone hot cell is more often an accident than a thing."""
    kernel = torch.tensor([0.25, 0.5, 0.25], dtype=heat.dtype)
    padded = functional.pad(heat[None, None], (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, (kernel[:, None] * kernel)[None, None])[0, 0]
