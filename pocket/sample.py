"""Draw the picture that the page offers to try: python -m pocket.sample

The stickers stand where the pocket models find and repaint them well, on a ground that leaves room around each.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pocket import world
from pocket.vocabulary import BY_NAME

PLACE = Path(__file__).parents[1] / "deployments" / "http" / "page" / "sample.webp"
WIDTH, HEIGHT = 480, 360
SKY, HAZE = np.array([176, 208, 232]), np.array([238, 240, 232])
BALLOON_HEIGHT = 0.79  # share of a balloon's sticker above its string, which hangs on where only the balloon is cut out

# Name, longest side in pixels, centre and bottom as shares of the picture, tilt in degrees.
STICKERS = (
    ("red balloon", 120, 0.20, 0.46, 8.0),
    ("yellow balloon", 105, 0.70, 0.36, -7.0),
    ("cactus", 122, 0.49, 0.86, 0.0),
    ("red apple", 84, 0.82, 0.88, -4.0),
    ("dog", 96, 0.17, 0.90, 3.0),
)


def draw() -> np.ndarray:
    """Return the sample, HxWx3 uint8 RGB."""
    down = np.linspace(0, 1, HEIGHT)[:, None, None]
    sky = SKY + (HAZE - SKY) * down
    grain = np.random.default_rng(3).normal(0, 0.6, (HEIGHT, WIDTH, 3))
    image = np.clip(sky + grain, 0, 255).astype(np.uint8)
    for name, longest_px, centre, bottom, tilt in STICKERS:
        ink = _ink(name, longest_px, tilt)
        height, width = ink.shape[:2]
        left, top = int(centre * WIDTH) - width // 2, int(bottom * HEIGHT) - height
        world.paste(image, ink, (left, top, left + width, top + height))
    return image


def _ink(name: str, longest_px: int, tilt: float) -> np.ndarray:
    """Return a sticker, hxwx4 uint8 RGBA, turned and scaled without a fringe of its clear ground."""
    sticker = world.sticker_image(BY_NAME[name])
    if "balloon" in name:
        sticker = sticker.crop((0, 0, sticker.width, round(sticker.height * BALLOON_HEIGHT)))
    turned = sticker.convert("RGBa").rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    scale = longest_px / max(turned.size)
    size = round(turned.width * scale), round(turned.height * scale)
    scaled = turned.resize(size, Image.Resampling.BICUBIC).convert("RGBA")
    return np.array(scaled.crop(scaled.getchannel("A").getbbox()))


if __name__ == "__main__":
    Image.fromarray(draw()).save(PLACE, quality=94, method=6)
