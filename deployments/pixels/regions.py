"""From a mask to the squares that are painted, and from those back to the whole picture.

The thing that is painted has another shape than the thing that was found, so the painter is offered more than the
mask: by default its convex hull, grown by a margin. Things that are far from each other have a square each, at the
picture's own resolution, and something long is covered by several. What was painted is blended in over a feather
(`feather.py`) that lies *inside* the region only: outside it every byte of the picture stays what it was, by
construction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from deployments.messages import Box, MaskShape, Square
from deployments.pixels import grouping, tiling
from deployments.pixels.feather import feather_px, feathered
from deployments.pixels.masks import SHAPES, Place, bounding_box, dilate
from deployments.pixels.tiling import shifted_inside

MARGIN = 0.09  # the mask grows by this share of its longest side ...
MIN_MARGIN_PX = 2  # ... but if at all at least so much, to swallow the rim of what stood there
CONTEXT = 1.35  # side of the crop over the longest side of the region
MIN_CROP_PX = 32  # what the painter sees is never smaller: it enlarges it
BAND = 0.06  # width of the band around the region in which painting and picture are compared, over the crop's side

# Something long is painted in tiles where one square around it would be larger than the published models paint, and
# this many times larger than the thing: a lamp post of 1:10 that is masked exactly is at 18. What lies beyond the
# picture counts more than what is in it, since it is made up and shows the thing no better.
ONE_SQUARE_PX = 512
MOST_WASTE = 20.0
BEYOND_COUNTS = 4
SAVING = 0.5  # tiles that cover more than this share of the one square are not worth what they cost
MOST_TILES = 16  # of all long things of a plan together, by their areas


@dataclass(frozen=True, eq=False)
class Region:
    """One square of the picture that is painted.

    `box_xyxy` is the square, which may reach beyond the picture's edges; `mask` SxS bool what may be painted in it;
    `alpha` SxS float32 in 0..1 the share of the painting at each pixel of the picture, 0 outside the mask; `band` SxS
    bool is just outside the mask, where a painting should show what the picture shows, since nothing changes there.
    """

    mask: np.ndarray
    alpha: np.ndarray
    band: np.ndarray
    box_xyxy: Box

    def crop(self, array: np.ndarray) -> np.ndarray:
        """Return the square of a picture (HxWx3) or a mask (HxW), which is reflected beyond its edges: SxSx3 or SxS."""
        return _crop(array, self.box_xyxy)

    def uncrop(self, square: np.ndarray) -> np.ndarray:
        """Return what the painter made of the square (SxSx3 uint8) with the pixels of the box."""
        return square

    def inside(self, size_wh: tuple[int, int]) -> tuple[Place, Place]:
        """Return the part of the box that is in a picture of that size: its place in the picture, and in the box."""
        return _inside(self.box_xyxy, size_wh)


class Squeezed(Region):
    """A region whose box is the whole picture and whose square is all of it, squeezed, for a painter that sees no crop.

    `mask` and `band` are SxS, in the frame of the square; `alpha` is HxW, in that of the picture.
    """

    def crop(self, array: np.ndarray) -> np.ndarray:
        """Return the whole picture (HxWx3 uint8) or mask (HxW bool), resized to the square."""
        return _resized(array, (max(array.shape[:2]),) * 2)

    def uncrop(self, square: np.ndarray) -> np.ndarray:
        """Return what the painter made of the square, resized to the picture: HxWx3 uint8."""
        return _resized(square, self.alpha.shape[::-1])


@dataclass(frozen=True, eq=False)
class Plan:
    """What of a picture changes, and how it is painted.

    `mask` HxW bool is all that may change; `regions` are the squares. They are pasted in their order: the tiles of
    something long share pixels, other regions do not.
    """

    mask: np.ndarray
    regions: tuple[Region, ...]

    def squares(self, image: np.ndarray) -> tuple[Square, ...]:
        """Return what the painter sees of a picture, HxWx3 uint8, one square for each region."""
        return tuple(Square(region.crop(image), region.mask) for region in self.regions)


def plan(
    masks: np.ndarray | Sequence[np.ndarray],
    shape: MaskShape = "hull",
    dilation: float = MARGIN,
    context: float = CONTEXT,
    crop: bool = True,
) -> Plan:
    """Return the regions for one mask or several (HxW bool, at least one pixel set).

    Several masks are several things. Within a mask, parts near each other are one thing, distant ones are things of
    their own, see `grouping`. Of each thing it is the silhouette, convex hull or box, grown by `dilation` times its
    longest side; at 0 it is used as it is. A pixel belongs to one thing: first to the one that masks it. The square's
    side is `context` times the thing's; without `crop` the painter sees the whole picture.
    """
    things: Sequence[np.ndarray] = [masks] if isinstance(masks, np.ndarray) and masks.ndim == 2 else list(masks)
    if not crop:
        return _squeezed(np.logical_or.reduce(things), shape, dilation)
    owner = grouping.owners(things)
    feathers = [_grow(owner, number, place, shape, dilation) for number, place in _places(owner)]
    areas = np.bincount(owner.ravel(), minlength=len(feathers) + 1)[1:]
    regions: list[Region] = []
    for (number, place), feather, area in zip(_places(owner), feathers, areas, strict=True):
        most_tiles = max(1, int(MOST_TILES * area / areas.sum()))
        regions += _regions(_Thing(owner, number, _box_of(place), feather), context, most_tiles)
    return Plan(owner > 0, tuple(regions))


def whole(mask: np.ndarray, shape: MaskShape = "hull", dilation: float = MARGIN, context: float = CONTEXT) -> Region:
    """Return the one square region around all of a mask (HxW bool), however far its parts are from each other."""
    owner = mask.astype(np.uint8)
    ((number, place),) = _places(owner)
    feather = _grow(owner, number, place, shape, dilation)
    thing = _Thing(owner, number, bounding_box(owner), feather)
    return _region(thing, square_around(thing.box, thing.size_wh, context))


@dataclass(frozen=True, eq=False)
class _Thing:
    """A thing that has grown: `owner` HxW uint8 says to which thing each pixel belongs, to this one those of `number`.

    `box` is around them; its painting fades in over `feather` px.
    """

    owner: np.ndarray
    number: int
    box: Box
    feather: float

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.owner.shape[1], self.owner.shape[0]


def _places(owner: np.ndarray) -> list[tuple[int, Place]]:
    """Return the number of each thing and where it is."""
    return list(enumerate(ndimage.find_objects(owner), start=1))


def _box_of(place: Place) -> Box:
    rows, columns = place
    return columns.start, rows.start, columns.stop, rows.stop


def _grow(owner: np.ndarray, number: int, place: Place, shape: MaskShape, dilation: float) -> float:
    """Give a thing its shape and margin, in place, as far as nothing else has the pixels. Return its feather."""
    left, top, right, bottom = _box_of(place)
    longest = max(right - left, bottom - top)
    margin = max(MIN_MARGIN_PX, dilation * longest) if dilation else 0.0
    reach = int(np.ceil(margin))
    window = slice(max(0, top - reach), bottom + reach), slice(max(0, left - reach), right + reach)
    there = owner[window]
    grown = SHAPES[shape](there == number)
    there[(dilate(grown, margin) if margin else grown) & (there == 0)] = number
    return feather_px(longest, margin)


def _squeezed(mask: np.ndarray, shape: MaskShape, dilation: float) -> Plan:
    owner = mask.astype(np.uint8)
    ((number, place),) = _places(owner)
    feather = _grow(owner, number, place, shape, dilation)
    grown, box = owner > 0, (0, 0, mask.shape[1], mask.shape[0])
    seen = _resized(grown, (max(mask.shape),) * 2)
    return Plan(grown, (Squeezed(seen, feathered(grown, feather), _band(seen, ~seen, len(seen)), box),))


def _regions(thing: _Thing, context: float, most_tiles: int) -> list[Region]:
    """Return the one square of an ordinary thing, or the tiles of a long one."""
    square = square_around(thing.box, thing.size_wh, context)
    left, top, right, bottom = thing.box
    mask = thing.owner[top:bottom, left:right] == thing.number
    if most_tiles > 1 and _is_long(int(mask.sum()), thing, context):
        grid = tiling.grid_over(mask, thing.box, thing.size_wh, most_tiles)
        if len(grid.cells) * grid.side**2 <= SAVING * (square[2] - square[0]) ** 2:
            return [_tile(thing, grid, index) for index in range(len(grid.cells))]
    return [_region(thing, square)]


def _is_long(area: int, thing: _Thing, context: float) -> bool:
    """Return whether one square, with no more than the usual context, would show too little of the thing."""
    square = square_around(thing.box, thing.size_wh, min(context, CONTEXT))
    side = square[2] - square[0]
    inside = min(side, thing.size_wh[0]) * min(side, thing.size_wh[1])
    return side > ONE_SQUARE_PX and inside + BEYOND_COUNTS * (side**2 - inside) > MOST_WASTE * area


def _region(thing: _Thing, square: Box) -> Region:
    owner = _crop(thing.owner, square)
    mask = owner == thing.number
    # Where the picture ends, so does what is pasted: nothing further away than the feather's width matters.
    reach, (left, top, _, _) = math.ceil(thing.feather), square
    near = (
        slice(max(0, -top - reach), thing.size_wh[1] - top + reach),
        slice(max(0, -left - reach), thing.size_wh[0] - left + reach),
    )
    alpha = np.zeros(mask.shape, np.float32)
    alpha[near] = feathered(mask[near], thing.feather)
    return Region(mask, alpha, _band(mask, owner == 0, len(mask)), square)


def _tile(thing: _Thing, grid: tiling.Grid, index: int) -> Region:
    """Return the region of one tile. It fades in at the thing's edges as a thing of its own size would."""
    square = grid.boxes[index]
    feather = feather_px(grid.side / CONTEXT, thing.feather)
    there, in_box = _inside(square, thing.size_wh)
    # The distance to the thing's edge is the same in all tiles if each looks a feather's width further.
    starts = [max(0, part.start - math.ceil(feather)) for part in there]
    wider = tuple(slice(start, part.stop + math.ceil(feather)) for start, part in zip(starts, there, strict=True))
    tile = tuple(slice(part.start - start, part.stop - start) for start, part in zip(starts, there, strict=True))
    mask = _crop(thing.owner, square) == thing.number
    alpha, band = np.zeros(mask.shape, np.float32), np.zeros_like(mask)
    alpha[in_box] = feathered(thing.owner[wider] == thing.number, feather)[tile]
    band[in_box] = _band(mask[in_box], thing.owner[there] == 0, grid.side)
    return Region(mask, grid.shares(index, alpha), band, square)


def _band(mask: np.ndarray, unchanged: np.ndarray, side: int) -> np.ndarray:
    """Return what of `unchanged` is just outside the mask, hxw bool all, in a square of `side` px."""
    width = max(MIN_MARGIN_PX, BAND * side)
    return np.asarray(unchanged & (ndimage.distance_transform_edt(~mask) <= width))


def _inside(box: Box, size_wh: tuple[int, int]) -> tuple[Place, Place]:
    """Return the part of a box that is in a picture of that size: its place in the picture, and in the box."""
    left, top, right, bottom = box
    rows, columns = slice(max(0, top), min(bottom, size_wh[1])), slice(max(0, left), min(right, size_wh[0]))
    in_box = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    return (rows, columns), in_box


def square_around(box: Box, size_wh: tuple[int, int], context: float = CONTEXT) -> Box:
    """Return a square with some context around `box`, shifted into the picture as far as it fits."""
    left, top, right, bottom = box
    side = max(MIN_CROP_PX, round(context * max(right - left, bottom - top)))
    # A square larger than the picture's longer side would show reflections only.
    side = min(side, max(size_wh))
    new_left = shifted_inside((left + right - side) // 2, side, size_wh[0])
    new_top = shifted_inside((top + bottom - side) // 2, side, size_wh[1])
    return new_left, new_top, new_left + side, new_top + side


def _crop(array: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = box
    height, width = array.shape[:2]
    before_after = [(max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width))]
    inside = array[max(0, top) : bottom, max(0, left) : right]
    return np.pad(inside, before_after + [(0, 0)] * (array.ndim - 2), mode="reflect")


def _resized(array: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Return a picture, or a bool mask as its nearest, in another size."""
    if array.dtype == bool:
        return _resized(array.astype(np.uint8) * 255, size_wh) >= 128
    return np.array(Image.fromarray(array).resize(size_wh, Image.Resampling.LANCZOS))
