"""The heat map of a location, drawn over its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from retouch.results import Point

COLOURS = ((0, 0, 0), (76, 16, 110), (187, 55, 84), (249, 142, 9), (252, 255, 164))
"""The colours from cold to hot, at even distances."""

STRONGEST = 0.8
"""The share of the colour where the picture is hottest."""


def heat_overlay(path: Path, heat: Image.Image, point_xy: Point) -> Image.Image:
    """Return the picture at `path`, dimmed, with `heat` (mode F, 0..1) in colour and a ring around the point."""
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")
    grey = heat.resize(picture.size, Image.Resampling.BICUBIC).point(lambda value: value * 255).convert("L")
    dimmed = Image.blend(ImageOps.grayscale(picture).convert("RGB"), picture, 0.4)
    cover = grey.point([round(value * STRONGEST) for value in range(256)])
    overlay = Image.composite(_coloured(grey), dimmed, cover)
    _draw_ring(overlay, point_xy)
    return overlay


def _coloured(heat: Image.Image) -> Image.Image:
    return Image.merge("RGB", [heat.point(_ramp([colour[band] for colour in COLOURS])) for band in range(3)])


def _ramp(stops: Sequence[int]) -> list[int]:
    """Return 256 values that go through `stops` at even distances."""
    ramp = []
    for value in range(256):
        place = value / 255 * (len(stops) - 1)
        below = min(int(place), len(stops) - 2)
        ramp.append(round(stops[below] + (stops[below + 1] - stops[below]) * (place - below)))
    return ramp


def _draw_ring(image: Image.Image, point_xy: Point) -> None:
    x, y = point_xy
    radius = max(4, min(image.size) // 25)
    width = max(1, radius // 4)
    draw = ImageDraw.Draw(image)
    for grow, colour in ((width, "black"), (0, "white")):
        box = (x - radius - grow, y - radius - grow, x + radius + grow, y + radius + grow)
        draw.ellipse(box, outline=colour, width=width + 2 * grow)
