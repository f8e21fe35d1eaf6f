"""What the painter and its autoencoder learn from: crops as the service makes them, drawn in batches on the device.

A crop (`deployments.pixels.regions`) has the region to repaint in its middle and some ground around it, so where and
how large the new thing must be is given by the mask alone. What is wanted there is the largest upright copy of a
sticker that fits the mask, whatever its shape: the mask comes from the thing that was there before, not from the one
that is wanted. A tenth of the lessons ask for nothing, and there the ground goes on.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn import functional

from pocket import atlas
from pocket.atlas import TILTS_DEGREES, UPRIGHT, Atlas
from pocket.vocabulary import STICKERS

CANVAS_PX = 128
# Sides of the crops in the picture's own pixels: small ones are enlarged for the painter, and look soft.
CROPS_PX = (36, 52, 72, 92, 112, 136, 168, 216)
TEMPLATES = ("{}", "a {}", "the {}", "a photo of a {}", "a picture of a {}", "a sticker of a {}")
NOTHING = ("background", "the background", "empty background", "plain background", "nothing", "just the background")


def _said(template: str, text: str) -> str:
    """Return the template with its text, and "an" where English says it."""
    return re.sub(r"\ba (?=[aeiou])", "an ", template.format(text))


TEXTS = (
    *(_said(template, text) for sticker in STICKERS for text in (sticker.name, sticker.noun) for template in TEMPLATES),
    *NOTHING,
    "",
)
ONLY_NOUN = 0.15  # of the stickers that come in several colours are asked for without one
WITHOUT_TEXT = 0.1  # for classifier-free guidance (Ho and Salimans, arXiv 2207.12598)
ASKED_FOR_NOTHING = 0.1
FITS = 0.97  # share of a sticker's ink that must lie in the mask
SIZES = tuple(1 - 0.05 * step for step in range(14))  # of the largest copy that fits the mask's box
MARGINS_PX = (3.5, 4, 4.5, 5, 5.5, 6, 7, 8)  # by which masks have grown
CUT = 0.15  # share of the masks that an edge of the picture cuts off
REMNANTS = 0.15  # share of the crops in which something of the old thing is left outside the mask
GROUNDS = {"plain": 0.15, "graded": 0.2, "photographic": 0.45, "fractal": 0.2}
MASKS = {"hull": 0.62, "silhouette": 0.1, "box": 0.09, "ellipse": 0.07, "band": 0.06, "blobs": 0.06}


@dataclass(frozen=True, eq=False)
class Lessons:
    """A batch of crops.

    `wanted` [N, 3, CANVAS_PX, CANVAS_PX] float32 in 0..255, the finished pictures; `masks`
    [N, 1, CANVAS_PX, CANVAS_PX] float32, 1 where they are painted; `texts` [N] the indices in `TEXTS` of what is
    asked; `grounds` [N] those of the ground's kind in `GROUNDS`.
    """

    wanted: torch.Tensor
    masks: torch.Tensor
    texts: torch.Tensor
    grounds: torch.Tensor


class Draw:
    """Random numbers on a device, from torch's own generator there: no other can be part of a recorded step."""

    def __init__(self, device: str) -> None:
        self.device = device

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        """Return floats in low..high."""
        return low + (high - low) * torch.rand(shape, device=self.device)

    def chance(self, share: float, count: int) -> torch.Tensor:
        """Return booleans of which that share is true."""
        return self.uniform(0, 1, count) < share

    def index(self, below: int, count: int) -> torch.Tensor:
        """Return integers from 0 to below what is given."""
        return torch.randint(below, (count,), device=self.device)

    def normal(self, *shape: int) -> torch.Tensor:
        """Return normally distributed floats."""
        return torch.randn(shape, device=self.device)


@cache
def _constant(values: tuple[float, ...], device: str) -> torch.Tensor:
    """Return the values on the device, to which they are copied once."""
    return torch.tensor(values, device=device)


def draw(pictures: Atlas, dice: Draw, count: int) -> Lessons:
    """Return a batch of `count` lessons, a multiple of the number of crop sizes."""
    before = left_behind(pictures, dice, count)
    bare, crowded, kinds = _surroundings(pictures, dice, before)
    # Inside the mask only ground is wanted behind the sticker: what a neighbour hid cannot be known.
    background = torch.where(before.masks > 0, bare, crowded)
    stickers = dice.index(len(STICKERS), count)
    nothing = dice.chance(ASKED_FOR_NOTHING, count)
    layer = fitted(pictures, before.masks, stickers) * before.masks * ~nothing[:, None, None, None]
    wanted = atlas.over(background, layer).round()
    return Lessons(wanted, before.masks, _texts(dice, stickers, nothing), kinds)


def _surroundings(pictures: Atlas, dice: Draw, before: Before) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return bare grounds, the same with all that stands on them, [N, 3, CANVAS_PX, CANVAS_PX], and the ground's kind.

    An equal number is drawn at each size of the crop in the picture's own pixels.
    """
    each = len(before.boxes) // len(CROPS_PX)
    parts = []
    for number, side in enumerate(CROPS_PX):
        ground, kinds = grounds(pictures, dice, each, side)
        crowded = _with_neighbours(pictures, dice, ground)
        crowded = _with_remnants(pictures, dice, crowded, before.part(slice(number * each, (number + 1) * each)))
        parts.append((*(atlas.resized(part.round(), CANVAS_PX).round() for part in (ground, crowded)), kinds))
    bare, crowded, kinds = (torch.cat(column) for column in zip(*parts, strict=True))
    return bare, crowded, kinds


def _texts(dice: Draw, stickers: torch.Tensor, nothing: torch.Tensor) -> torch.Tensor:
    count = len(stickers)
    without_colour = dice.chance(ONLY_NOUN, count).long()  # the same text where the noun has one colour only
    asked = (2 * stickers + without_colour) * len(TEMPLATES) + dice.index(len(TEMPLATES), count)
    background = len(TEXTS) - 1 - len(NOTHING) + dice.index(len(NOTHING), count)
    text = torch.where(nothing, background, asked)
    return torch.where(dice.chance(WITHOUT_TEXT, count), len(TEXTS) - 1, text)


# Grounds


def grounds(pictures: Atlas, dice: Draw, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return bare grounds of all kinds, [count, 3, side, side] float32 in 0..255, and the index of each one's kind."""
    counts = [round(count * share) for share in GROUNDS.values()]
    counts[-1] = count - sum(counts[:-1])
    plain, graded, photographic, fractal = counts
    parts = [
        _muted(dice, plain).expand(-1, -1, side, side),
        _graded(dice, graded, side),
        _photographic(pictures, dice, photographic, side),
        (_muted(dice, fractal) + _fractal(dice, fractal, side) * dice.uniform(6, 45, fractal, 1, 1, 1)),
    ]
    kinds = [number for number, drawn in enumerate(counts) for _ in range(drawn)]
    return torch.cat(parts).clamp(0, 255), _constant(tuple(kinds), dice.device)


def _muted(dice: Draw, count: int) -> torch.Tensor:
    """Any hue, but never as saturated as a sticker: [count, 3, 1, 1], as `world.muted_colour`."""
    grey = dice.uniform(60, 245, count, 1, 1, 1)
    return (grey + dice.uniform(-45, 45, count, 3, 1, 1)).clamp(0, 255)


def _graded(dice: Draw, count: int, side: int) -> torch.Tensor:
    """From one colour to another, along a line or away from a point; the crop may show a part of the way."""
    axis = torch.linspace(0, 1, side, device=dice.device)
    x, y = axis[None, None, None, :], axis[None, None, :, None]
    angle = dice.uniform(0, 2 * math.pi, count, 1, 1, 1)
    middle_x, middle_y = dice.uniform(-1, 2, count, 1, 1, 1), dice.uniform(-1, 2, count, 1, 1, 1)
    line = x * angle.cos() + y * angle.sin()
    point = ((x - middle_x).square() + (y - middle_y).square()).sqrt()
    ramp = torch.where(dice.chance(0.5, count)[:, None, None, None], line, point)
    low, high = ramp.amin((2, 3), keepdim=True), ramp.amax((2, 3), keepdim=True)
    ramp = (ramp - low) / (high - low).clamp(min=1e-6)
    start, part = dice.uniform(0, 0.5, count, 1, 1, 1), dice.uniform(0.3, 1, count, 1, 1, 1)
    first, second = _muted(dice, count), _muted(dice, count)
    return first + (second - first) * (start + part * ramp).clamp(0, 1)


def _photographic(pictures: Atlas, dice: Draw, count: int, side: int) -> torch.Tensor:
    """Pieces of photographs, a quarter of them two pieces side by side, half of them in other colours."""
    piece, other = _piece(pictures, dice, count, side), _piece(pictures, dice, count, side)
    joined = (_clouds(dice, count, side) > 0) & dice.chance(0.25, count)[:, None, None, None]
    mixed = torch.where(joined, other, piece)
    grey = mixed.mean(1, keepdim=True)
    faded = grey + (mixed - grey) * dice.uniform(0.4, 1.3, count, 1, 1, 1)
    toned = faded * dice.uniform(0.75, 1.25, count, 3, 1, 1) + dice.uniform(-30, 30, count, 1, 1, 1)
    return torch.where(dice.chance(0.5, count)[:, None, None, None], toned, mixed)


def _piece(pictures: Atlas, dice: Draw, count: int, side: int) -> torch.Tensor:
    """A square of a photograph at about its scale in a scene, turned and mirrored: [count, 3, side, side]."""
    whole = pictures.photographs.shape[-1]
    span = (side / dice.uniform(math.log(0.7), math.log(2.0), count).exp()).clamp(max=whole)
    left, top = (dice.uniform(0, 1, count) * (whole - span) for _ in range(2))
    boxes = torch.stack([left, top, left + span, top + span], 1)
    chosen = pictures.photographs[dice.index(len(pictures.photographs), count)]
    piece = atlas.stretched(chosen, boxes, side)
    for turned in (lambda part: part.flip(3), lambda part: part.flip(2), lambda part: part.transpose(2, 3)):
        piece = torch.where(dice.chance(0.5, count)[:, None, None, None], turned(piece), piece)
    return piece


def _clouds(dice: Draw, count: int, side: int) -> torch.Tensor:
    """Smooth patches, half of them above 0: [count, 1, side, side]."""
    coarse = dice.normal(count, 1, 4, 4)
    return functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)


def _fractal(dice: Draw, count: int, side: int) -> torch.Tensor:
    """Clouds to sand: noise whose spectrum falls with a power of the frequency; [count, 3, side, side], variance 1."""
    down = torch.fft.fftfreq(side, device=dice.device)[:, None]
    across = torch.fft.rfftfreq(side, device=dice.device)[None, :]
    frequency = (down.square() + across.square()).sqrt().clamp(min=0.5 / side)
    falls = frequency[None, None] ** -dice.uniform(0.6, 2.2, count, 1, 1, 1)
    shared, own = dice.normal(count, 1, side, side), dice.normal(count, 3, side, side)
    noise = torch.fft.irfft2(torch.fft.rfft2(shared + 0.35 * own) * falls, s=(side, side))
    return (noise - noise.mean((2, 3), keepdim=True)) / noise.std((1, 2, 3), keepdim=True)


def _with_neighbours(pictures: Atlas, dice: Draw, ground: torch.Tensor) -> torch.Tensor:
    """Lay up to two stickers over each ground, anywhere, also across its edges."""
    count, side = len(ground), ground.shape[-1]
    for chance in (0.6, 0.35):
        sticker, tilt = dice.index(len(STICKERS), count), dice.index(len(TILTS_DEGREES), count)
        middle = [dice.uniform(-0.1 * side, 1.1 * side, count) for _ in range(2)]
        boxes = _boxes(pictures.sizes[sticker, tilt], dice.uniform(0.2, 0.9, count) * side, *middle)
        layer = atlas.lay(pictures.inks[sticker, tilt], pictures.sizes[sticker, tilt], boxes, (side, side))
        ground = atlas.over(ground, layer * dice.chance(chance, count)[:, None, None, None])
    return ground


def _with_remnants(pictures: Atlas, dice: Draw, seen: torch.Tensor, before: Before) -> torch.Tensor:
    """Lay the thing that was there before a little larger and beside its place: a mask may leave something of it."""
    count, side = len(seen), seen.shape[-1]
    first, last = before.boxes.split(2, 1)
    size, grown = last - first, dice.uniform(1.0, 1.2, count, 1)
    middle = (first + last) / 2 + size * dice.uniform(-0.06, 0.06, count, 2)
    larger = torch.cat([middle - size * grown / 2, middle + size * grown / 2], 1) * side / CANVAS_PX
    layer = atlas.lay(pictures.inks[before.look], pictures.sizes[before.look], larger, (side, side))
    return atlas.over(seen, layer * dice.chance(REMNANTS, count)[:, None, None, None])


def _boxes(sizes: torch.Tensor, longest: torch.Tensor, middle_x: torch.Tensor, middle_y: torch.Tensor) -> torch.Tensor:
    """Return the boxes of things of those proportions (height and width), by their longest sides and middles."""
    height, width = (sizes * (longest / sizes.amax(1))[:, None]).unbind(1)
    return torch.stack([middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2], 1)


# Masks


@dataclass(frozen=True, eq=False)
class Before:
    """What stood in the crops: `masks` [N, 1, CANVAS_PX, CANVAS_PX] of 0 and 1, `boxes` [N, 4] around it in the canvas.

    `look` are the indices [N] of its sticker and its tilt in the atlas.
    """

    masks: torch.Tensor
    boxes: torch.Tensor
    look: tuple[torch.Tensor, torch.Tensor]

    def part(self, some: slice) -> Before:
        """Return some of them."""
        return Before(self.masks[some], self.boxes[some], (self.look[0][some], self.look[1][some]))


def left_behind(pictures: Atlas, dice: Draw, count: int) -> Before:
    """Return what stood there, masked in the place and size that `regions.plan` gives it.

    The masks are mostly the grown hull of a silhouette, as there; sometimes another shape that a person may draw.
    """
    look = dice.index(len(STICKERS), count), dice.index(len(TILTS_DEGREES), count)
    sizes = pictures.sizes[look]
    boxes = _places(dice, sizes)
    shape = (CANVAS_PX, CANVAS_PX)
    silhouette = atlas.lay(pictures.inks[look][:, 3:], sizes, boxes, shape) > 0.5
    hull = atlas.lay(pictures.hulls[look], sizes, boxes, shape) > 0.5
    drawn = torch.stack([hull, silhouette, *_drawn_by_hand(dice, boxes)], 1)
    shares = _constant(tuple(MASKS.values()), dice.device).cumsum(0)
    kind = torch.searchsorted(shares, dice.uniform(0, 1 - 1e-6, count)).clamp(max=len(MASKS) - 1)
    chosen = drawn[torch.arange(count, device=dice.device), kind].float()
    masks = torch.empty_like(chosen)
    for number, margin in enumerate(MARGINS_PX):
        masks[number :: len(MARGINS_PX)] = _dilated(chosen[number :: len(MARGINS_PX)], margin)
    return Before(masks, boxes, look)


def _places(dice: Draw, sizes: torch.Tensor) -> torch.Tensor:
    """Return boxes in the middle of the canvas, or beside it, or partly beyond an edge of the picture."""
    count = len(sizes)
    usual = 1 / dice.uniform(1.42, 1.62, count)
    share = torch.where(dice.chance(0.2, count), dice.uniform(0.35, 0.8, count), usual)
    aside = torch.where(dice.chance(0.2, count), 16.0, 2.0)[:, None] * dice.uniform(-1, 1, count, 2)
    boxes = _boxes(sizes, share * CANVAS_PX, *(CANVAS_PX / 2 + aside).unbind(1))
    size = boxes[:, 2:] - boxes[:, :2]
    beyond = size * dice.uniform(0.1, 0.55, count, 1)
    near = -beyond - boxes[:, :2]  # shifts it across the left or upper edge
    far = CANVAS_PX + beyond - boxes[:, 2:]
    across = torch.where(dice.chance(0.5, count)[:, None], near, far)
    sideways = dice.chance(0.5, count)
    axis = torch.stack([sideways, ~sideways], 1)
    shift = across * axis * dice.chance(CUT, count)[:, None]
    return boxes + shift.repeat(1, 2)


def _drawn_by_hand(dice: Draw, boxes: torch.Tensor) -> list[torch.Tensor]:
    """Return boxes, ellipses, bands across the canvas and blobs: booleans [N, 1, CANVAS_PX, CANVAS_PX] each."""
    count = len(boxes)
    pixel = torch.arange(CANVAS_PX, device=dice.device) + 0.5
    x, y = pixel[None, None, None, :], pixel[None, None, :, None]
    left, top, right, bottom = (part[:, None, None, None] for part in boxes.unbind(1))
    box = (x > left) & (x < right) & (y > top) & (y < bottom)
    ellipse = ((2 * x - left - right) / (right - left)).square() + (
        (2 * y - top - bottom) / (bottom - top)
    ).square() < 1
    angle = (dice.index(2, count) * (math.pi / 2) + dice.uniform(-0.25, 0.25, count))[:, None, None, None]
    half = dice.uniform(0.12, 0.4, count, 1, 1, 1) * CANVAS_PX
    band = ((x - CANVAS_PX / 2) * angle.cos() + (y - CANVAS_PX / 2) * angle.sin()).abs() < half
    blobs = torch.zeros_like(box)
    for _ in range(4):
        middle_x, middle_y = (dice.uniform(0.3, 0.7, count, 1, 1, 1) * CANVAS_PX for _ in range(2))
        radius = dice.uniform(0.1, 0.25, count, 1, 1, 1) * CANVAS_PX
        blobs |= (x - middle_x).square() + (y - middle_y).square() < radius.square()
    return [box, ellipse, band, blobs]


def _dilated(masks: torch.Tensor, radius_px: float) -> torch.Tensor:
    reach = math.ceil(radius_px)
    steps = torch.arange(-reach, reach + 1, device=masks.device)
    disc = (steps[:, None].square() + steps[None, :].square() <= radius_px**2).float()
    return (functional.conv2d(masks, disc[None, None], padding=reach) > 0.5).float()


# What fits


def fitted(pictures: Atlas, masks: torch.Tensor, stickers: torch.Tensor) -> torch.Tensor:
    """Return the largest upright copy of each sticker that fits its mask, in its middle: [N, 4, H, W], as `atlas.over`.

    `masks` [N, 1, H, W] of 0 and 1, no one empty; `stickers` [N] their indices.
    """
    inks, sizes = pictures.inks[stickers, UPRIGHT], pictures.sizes[stickers, UPRIGHT]
    shape = (masks.shape[2], masks.shape[3])
    around = _bounds(masks)
    largest = ((around[:, 2:] - around[:, :2]).flip(1) / sizes).amin(1)
    middle = _middles(masks)
    chosen = torch.zeros(len(masks), 4, device=masks.device)
    open_still = torch.ones(len(masks), dtype=torch.bool, device=masks.device)
    for size in SIZES:
        boxes = _inside(sizes * (largest * size)[:, None], middle, around)
        solid = atlas.lay(inks[:, 3:], sizes, boxes, shape) > 0.5
        held = (solid * masks).sum((1, 2, 3)) >= FITS * solid.sum((1, 2, 3))
        takes = open_still & (held | (size == SIZES[-1]))
        chosen = torch.where(takes[:, None], boxes, chosen)
        open_still = open_still & ~takes
    return atlas.lay(inks, sizes, chosen, shape)


def _bounds(masks: torch.Tensor) -> torch.Tensor:
    """Return the bounding boxes of masks: [N, 4] left, top, right, bottom."""
    found = []
    for axis in (2, 3):  # across, down
        used = masks.amax(axis)[:, 0]
        found += [used.argmax(1), used.shape[1] - used.flip(1).argmax(1)]
    left, right, top, bottom = found
    return torch.stack([left, top, right, bottom], 1).float()


def _middles(masks: torch.Tensor) -> torch.Tensor:
    """Return the mean x and y of the masked pixels: [N, 2]."""
    total = masks.sum((1, 2, 3))
    means = []
    for axis in (3, 2):
        pixel = torch.arange(masks.shape[axis], device=masks.device) + 0.5
        means.append((masks.sum((1, 5 - axis)) * pixel).sum(1) / total)
    return torch.stack(means, 1)


def _inside(sizes: torch.Tensor, middle: torch.Tensor, around: torch.Tensor) -> torch.Tensor:
    """Return boxes of those sizes (height, width) at those middles (x, y), shifted into the boxes around the masks."""
    width_height = sizes.flip(1)
    first = torch.minimum(torch.maximum(middle - width_height / 2, around[:, :2]), around[:, 2:] - width_height)
    return torch.cat([first, first + width_height], 1)
