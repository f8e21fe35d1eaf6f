"""Pictures of results: a strip of before, mask and after, and a map of what was found."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from retouch.pictures import ImageInput, read_picture

HEAT_COLOURS = ((0, 0, 0), (76, 16, 110), (187, 55, 84), (249, 142, 9), (252, 255, 164))
"""The colours from cold to hot, at even distances."""

CANDIDATE_COLOURS = ((86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (204, 121, 167))
"""The colours of the candidates that are not meant, in turn. They differ for colour-blind people too."""

MEANT_COLOUR = (255, 140, 0)
MEANT, OTHER = 0.75, 0.4
"""How strongly the colour of a candidate covers the ground, if it is meant and if it is not."""

LARGEST_PX = 1024
"""The longest side of a map of what was found. It has no more detail than that."""


def strip(before: ImageInput, mask: Image.Image, after: Image.Image) -> Image.Image:
    """Return the pictures before and after an edit with its mask between them, with thin white gaps.

    `before` is turned upright, as the service does. Raises `ValueError` if it has another size than the others.
    """
    with Image.open(io.BytesIO(read_picture(before).content)) as file:
        upright = ImageOps.exif_transpose(file)
    if upright.size != after.size:
        sizes = " and ".join(f"{width}x{height}" for width, height in (upright.size, after.size))
        raise ValueError(f"the original and the edit are of different sizes, {sizes}: give the picture that was edited")
    parts = [_over_white(upright), mask.convert("RGB"), _over_white(after)]
    width, height = after.size
    gap = max(2, min(width, height) // 64)
    joined = Image.new("RGB", (3 * width + 2 * gap, height), "white")
    for place, part in enumerate(parts):
        joined.paste(part, (place * (width + gap), 0))
    return joined


def candidates_map(
    size: tuple[int, int], heat: Image.Image | None, masks: Sequence[Image.Image | None], meant: Sequence[int]
) -> Image.Image:
    """Return the `masks` of candidates in colours with their numbers, those that are `meant` in orange on top.

    They lie on the `heat` map (mode F, 0 to 1), or on black without one. `size` is the picture's (width, height); the
    map has its shape, and no side above `LARGEST_PX`.
    """
    scale = min(1.0, LARGEST_PX / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    ground = coloured(grey_heat(heat, small)) if heat else Image.new("RGB", small)
    resized = {number: mask.resize(small) for number, mask in enumerate(masks) if mask}
    for number in sorted(resized, key=lambda number: (number in meant, -number)):
        colour = MEANT_COLOUR if number in meant else CANDIDATE_COLOURS[number % len(CANDIDATE_COLOURS)]
        share = MEANT if number in meant else OTHER
        cover = resized[number].point([round(value * share) for value in range(256)])
        ground.paste(Image.new("RGB", small, colour), mask=cover)
    draw = ImageDraw.Draw(ground)
    for number, mask in resized.items():
        if box := mask.getbbox():
            centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            draw.text(centre, str(number), fill="white", anchor="mm", stroke_width=1, stroke_fill="black")
    return ground


def png(image: Image.Image) -> bytes:
    """Return `image` as a PNG file."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def grey_heat(heat: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a heat map (mode F, 0 to 1) in another size as an image of mode L."""
    return heat.resize(size, Image.Resampling.BICUBIC).point(lambda value: value * 255).convert("L")


def coloured(heat: Image.Image) -> Image.Image:
    """Return a heat map of mode L in `HEAT_COLOURS`."""
    return Image.merge("RGB", [heat.point(_ramp([colour[band] for colour in HEAT_COLOURS])) for band in range(3)])


def _ramp(stops: Sequence[int]) -> list[int]:
    """Return 256 values that go through `stops` at even distances."""
    ramp = []
    for value in range(256):
        place = value / 255 * (len(stops) - 1)
        below = min(int(place), len(stops) - 2)
        ramp.append(round(stops[below] + (stops[below + 1] - stops[below]) * (place - below)))
    return ramp


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if not image.has_transparency_data:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), clear).convert("RGB")
