"""Pictures whose things have known places, as files."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from tests.browser.painter import COLOURS, GROUND

WIDTH, HEIGHT = 480, 360
BIG_APPLE, SMALL_APPLE = (60, 60, 160, 160), (330, 90, 400, 160)
CACTUS, BALL = (210, 180, 270, 320), (360, 240, 430, 310)


def scene(ground: tuple[int, int, int] = GROUND) -> Image.Image:
    """Return a picture with two apples, a cactus and a ball."""
    image = Image.new("RGB", (WIDTH, HEIGHT), ground)
    draw = ImageDraw.Draw(image)
    for box in (BIG_APPLE, SMALL_APPLE):
        draw.ellipse(box, fill=COLOURS["apple"])
    draw.rectangle(CACTUS, fill=COLOURS["cactus"])
    draw.ellipse(BALL, fill=COLOURS["ball"])
    return image


def middle(box: tuple[int, int, int, int]) -> tuple[int, int]:
    return (box[0] + box[2]) // 2, (box[1] + box[3]) // 2


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned_jpeg(image: Image.Image, orientation: int) -> bytes:
    """Return a JPEG that is `image` once it is turned upright by its EXIF orientation."""
    stored = image.transpose(TURNS[orientation]) if orientation in TURNS else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    stored.save(out, "JPEG", quality=95, exif=exif)
    return out.getvalue()


def upright(data: bytes) -> np.ndarray:
    """Return the pixels of a picture file, HxWx3 uint8, turned as its EXIF says."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
