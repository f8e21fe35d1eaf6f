"""The heat map of a location, drawn over its picture."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from retouch.drawing import coloured, grey_heat
from retouch.results import Point

STRONGEST = 0.8
"""The share of the colour where the picture is hottest."""


def heat_overlay(path: Path, heat: Image.Image, point_xy: Point) -> Image.Image:
    """Return the picture at `path`, dimmed, with `heat` (mode F, 0..1) in colour and a ring around the point."""
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")
    grey = grey_heat(heat, picture.size)
    dimmed = Image.blend(ImageOps.grayscale(picture).convert("RGB"), picture, 0.4)
    cover = grey.point([round(value * STRONGEST) for value in range(256)])
    overlay = Image.composite(coloured(grey), dimmed, cover)
    _draw_ring(overlay, point_xy)
    return overlay


def _draw_ring(image: Image.Image, point_xy: Point) -> None:
    x, y = point_xy
    radius = max(4, min(image.size) // 25)
    width = max(1, radius // 4)
    draw = ImageDraw.Draw(image)
    for grow, colour in ((width, "black"), (0, "white")):
        box = (x - radius - grow, y - radius - grow, x + radius + grow, y + radius + grow)
        draw.ellipse(box, outline=colour, width=width + 2 * grow)
