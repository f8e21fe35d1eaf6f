"""The pictures that are sent, made here: a scene with a heart, a mask around it, and files that are none."""

from __future__ import annotations

import base64
import io
from functools import cache

from PIL import Image, ImageChops, ImageDraw, ImageStat

SIDE = 256
SMOOTH = 4
PURPLE = (146, 62, 206)
REGION = (72, 72, 184, 184)
"""What the mask marks: left, top, right, bottom in pixels."""

NO_PICTURE = b"This is a text and no picture."


@cache
def scene() -> Image.Image:
    """Return an RGB picture of 256x256 pixels: a purple heart before a sky."""
    ramp = Image.linear_gradient("L")
    sky = (ramp.point(lambda v: 170 + v // 5), ramp.point(lambda v: 200 + v // 8), ramp.point(lambda v: 235 - v // 8))
    # Drawn large and made smaller, so that its edges are smooth.
    image = Image.merge("RGB", sky).resize((SIDE * SMOOTH, SIDE * SMOOTH))
    draw = ImageDraw.Draw(image)
    for box in ((86, 90, 132, 136), (124, 90, 170, 136)):
        draw.ellipse([SMOOTH * v for v in box], fill=PURPLE)
    for corners in ((90, 124, 166, 124, 128, 176), (100, 110, 156, 110, 128, 150)):
        draw.polygon([SMOOTH * v for v in corners], fill=PURPLE)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


@cache
def picture() -> bytes:
    """Return the scene as a PNG."""
    return _png(scene())


@cache
def mask(side: int = SIDE) -> bytes:
    """Return a PNG of `side` pixels squared that is transparent in REGION and opaque elsewhere."""
    image = Image.new("RGBA", (side, side), (255, 255, 255, 255))
    image.paste((0, 0, 0, 0), REGION)
    return _png(image)


@cache
def strokes() -> bytes:
    """Return a transparent PNG of the scene's size with a painted loop around the heart."""
    image = Image.new("RGBA", (SIDE, SIDE))
    ImageDraw.Draw(image).ellipse((80, 82, 176, 182), outline=(255, 0, 0, 255), width=6)
    return _png(image)


def cut_off() -> bytes:
    """Return the first third of the scene's file."""
    return picture()[: len(picture()) // 3]


def data_url(data: bytes, kind: str = "image/png") -> str:
    """Return `data` as a data: URL."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def opened(b64: str) -> Image.Image:
    """Return the picture that a base64 text holds, decoded to its last byte."""
    image = Image.open(io.BytesIO(base64.b64decode(b64, validate=True)))
    image.load()
    return image


def change(edited: Image.Image) -> tuple[float, float]:
    """Return the mean change of a level, 0..255, inside REGION and outside it, of the scene that became `edited`."""
    size = edited.size
    region = Image.new("L", (SIDE, SIDE))
    region.paste(255, REGION)
    region = region.resize(size, Image.Resampling.NEAREST)
    difference = ImageChops.difference(scene().resize(size), edited.convert("RGB"))
    inside, outside = (ImageStat.Stat(difference, part).mean for part in (region, ImageChops.invert(region)))
    return sum(inside) / 3, sum(outside) / 3


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
