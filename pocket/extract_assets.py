"""Draws the world's stickers from the Noto Color Emoji font and cuts its grounds from free photographs.

Run once by whoever changes the vocabulary; its results are in `assets/`, so nobody else needs the font.

    python -m pocket.extract_assets --font NotoColorEmoji.ttf --skimage DIR --sklearn DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pocket.vocabulary import STICKERS, Sticker

ASSETS = Path(__file__).parent / "assets"
FONT_PX = 109  # the one bitmap size the font carries
STICKER_PX = 112  # longest side of a stored sticker
GROUND_PX = 480  # longest side of a stored ground

SKIMAGE_GROUNDS = (
    "coffee.png",
    "brick.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "chelsea.png",
    "rocket.jpg",
    "astronaut.png",
    "camera.png",
    "retina.jpg",
    "coins.png",
    "ihc.png",
)
SKLEARN_GROUNDS = ("china.jpg", "flower.jpg")


def draw_sticker(sticker: Sticker, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The glyph as RGBA, cropped to its ink, its hues turned as the sticker says."""
    canvas = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(canvas).text((8, 8), sticker.glyph, font=font, embedded_color=True)
    image = turn_hue(canvas.crop(canvas.getbbox()), sticker.hue_turn)
    image.thumbnail((STICKER_PX, STICKER_PX), Image.Resampling.LANCZOS)
    return image


def turn_hue(image: Image.Image, share: float) -> Image.Image:
    hue, saturation, value = image.convert("RGB").convert("HSV").split()
    turned = (np.asarray(hue, np.int32) + round(share * 256)) % 256
    hsv = Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value))
    result = hsv.convert("RGB") if share else image.convert("RGB")
    result.putalpha(image.getchannel("A"))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--font", type=Path, required=True, help="NotoColorEmoji.ttf with colour bitmaps")
    parser.add_argument("--skimage", type=Path, required=True, help="the folder skimage/data of scikit-image")
    parser.add_argument("--sklearn", type=Path, required=True, help="the folder sklearn/datasets/images")
    arguments = parser.parse_args()

    font = ImageFont.truetype(arguments.font, FONT_PX)
    for sticker in STICKERS:
        draw_sticker(sticker, font).save(ASSETS / "stickers" / sticker.file_name, optimize=True)
    photographs = [arguments.skimage / name for name in SKIMAGE_GROUNDS]
    photographs += [arguments.sklearn / name for name in SKLEARN_GROUNDS]
    for path in photographs:
        photograph = Image.open(path).convert("RGB")
        photograph.thumbnail((GROUND_PX, GROUND_PX), Image.Resampling.LANCZOS)
        photograph.save(ASSETS / "grounds" / f"{path.stem}.jpg", quality=88)


if __name__ == "__main__":
    main()
