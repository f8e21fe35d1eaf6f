"""The pocket world: scenes of one to four stickers on plain, graded and photographic grounds.

Everything is drawn from a `numpy` generator, so a seed names a scene for ever. Training and evaluation
draw from different streams (`training_rng`, `evaluation_rng`), and one photograph is kept for
evaluation alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from pocket.vocabulary import STICKERS, Sticker

ASSETS = Path(__file__).parent / "assets"
TRAINING_PHOTOGRAPHS = ("brick", "china", "flower", "grass", "gravel", "hubble_deep_field")
HELD_OUT_PHOTOGRAPHS = ("coffee",)
UNSEEN_PHOTOGRAPHS = (*HELD_OUT_PHOTOGRAPHS, "chelsea", "rocket", "astronaut", "camera", "retina", "coins", "ihc")
Box = tuple[int, int, int, int]
Ground = Literal["plain", "graded", "photographic"]
GROUNDS: tuple[Ground, ...] = ("plain", "graded", "photographic")

LONGEST_SIDE = (0.2, 0.42)  # of a sticker, as a share of the scene's shorter side
MAX_TILT_DEGREES = 12.0
MAX_OVERLAP = 0.08  # share of the smaller bounding box that another sticker may cover


@dataclass(frozen=True, eq=False)
class Placed:
    """A sticker in a scene: `ink` hxwx4 uint8 at `box_xyxy`, `mask` HxW bool of what is visible of it."""

    sticker: Sticker
    ink: np.ndarray
    box_xyxy: Box
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """`image` is HxWx3 uint8 RGB, `bare` the same before anything was placed; `placed` from back to front."""

    image: np.ndarray
    bare: np.ndarray
    placed: tuple[Placed, ...]
    ground: Ground

    def without(self, gone: Placed) -> np.ndarray:
        """The picture as it would be had `gone` never stood there."""
        image = self.bare.copy()
        for placed in self.placed:
            if placed is not gone:
                paste(image, placed.ink, placed.box_xyxy)
        return image


def training_rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([0, *seed])


def evaluation_rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([1, *seed])


def compose(
    rng: np.random.Generator,
    size_wh: tuple[int, int] = (256, 256),
    stickers: Sequence[Sticker] | None = None,
    ground: Ground | None = None,
    photographs: Sequence[str] = TRAINING_PHOTOGRAPHS,
    longest_side: tuple[float, float] = LONGEST_SIDE,
) -> Scene:
    """Draws one scene. Without `stickers`, one to four different ones are drawn.

    A sticker for which no free place is found is left out; there is always at least one.
    """
    if stickers is None:
        chosen = rng.choice(len(STICKERS), size=int(rng.integers(1, 5)), replace=False)
        stickers = [STICKERS[index] for index in chosen]
    ground = ground or GROUNDS[int(rng.integers(len(GROUNDS)))]
    bare = draw_ground(rng, size_wh, ground, photographs)
    image = bare.copy()
    boxes: list[Box] = []
    inks: list[tuple[Sticker, np.ndarray]] = []
    for sticker in stickers:
        ink = draw_sticker(rng, sticker, min(size_wh), longest_side)
        box = free_place(rng, size_wh, ink.shape[1], ink.shape[0], boxes)
        if box is not None:
            boxes.append(box)
            inks.append((sticker, ink))
            paste(image, ink, box)
    return Scene(image, bare, tuple(placed(inks, boxes, size_wh)), ground)


def draw_ground(
    rng: np.random.Generator, size_wh: tuple[int, int], ground: Ground, photographs: Sequence[str]
) -> np.ndarray:
    """HxWx3 uint8 with nothing on it yet."""
    width, height = size_wh
    if ground == "plain":
        return np.broadcast_to(muted_colour(rng), (height, width, 3)).astype(np.uint8)
    if ground == "graded":
        return _gradient(rng, width, height)
    picture = photograph(photographs[int(rng.integers(len(photographs)))])
    scale = max(width / picture.width, height / picture.height) * rng.uniform(1.0, 1.6)
    crop_width, crop_height = width / scale, height / scale
    left = rng.uniform(0, picture.width - crop_width)
    top = rng.uniform(0, picture.height - crop_height)
    box = (left, top, left + crop_width, top + crop_height)
    crop = picture.resize((width, height), Image.Resampling.BILINEAR, box=box)
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(crop)


def muted_colour(rng: np.random.Generator) -> np.ndarray:
    """Any hue, but never as saturated as a sticker: 3 floats in 0..255."""
    grey = rng.uniform(60, 245)
    return np.clip(grey + rng.uniform(-45, 45, 3), 0, 255)


def _gradient(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        ramp = x * np.cos(angle) + y * np.sin(angle)
    else:
        ramp = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height))
    ramp = (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)
    first, second = muted_colour(rng), muted_colour(rng)
    return (first + (second - first) * ramp[..., None]).astype(np.uint8)


def draw_sticker(
    rng: np.random.Generator,
    sticker: Sticker,
    side_px: int,
    longest_side: tuple[float, float] = LONGEST_SIDE,
    tilt_degrees: float = MAX_TILT_DEGREES,
) -> np.ndarray:
    """The sticker at a random size and tilt: hxwx4 uint8, cropped to its ink."""
    ink = sticker_image(sticker)
    longest = rng.uniform(*longest_side) * side_px
    scale = longest / max(ink.size)
    angle = rng.uniform(-tilt_degrees, tilt_degrees)
    turned = ink.rotate(angle, Image.Resampling.BICUBIC, expand=True) if tilt_degrees else ink
    resized = turned.resize(
        (max(1, round(turned.width * scale)), max(1, round(turned.height * scale))), Image.Resampling.BOX
    )
    return np.array(resized.crop(resized.getchannel("A").getbbox()))


@cache
def sticker_image(sticker: Sticker) -> Image.Image:
    """The stored RGBA picture."""
    return Image.open(ASSETS / "stickers" / sticker.file_name).convert("RGBA")


@cache
def photograph(name: str) -> Image.Image:
    """The stored RGB picture of a ground."""
    return Image.open(ASSETS / "grounds" / f"{name}.jpg").convert("RGB")


def free_place(
    rng: np.random.Generator,
    size_wh: tuple[int, int],
    width: int,
    height: int,
    taken: Sequence[Box],
) -> Box | None:
    """A box inside the scene that hardly touches those `taken`; None after forty tries."""
    for _ in range(40):
        left = int(rng.integers(0, max(1, size_wh[0] - width + 1)))
        top = int(rng.integers(0, max(1, size_wh[1] - height + 1)))
        box = (left, top, left + width, top + height)
        if all(_overlap(box, other) <= MAX_OVERLAP for other in taken):
            return box
    return None


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(0, width) * max(0, height) / smaller


def paste(image: np.ndarray, ink: np.ndarray, box: Box) -> None:
    """Lays `ink` (hxwx4) over `image` (HxWx3) at `box`, in place."""
    left, top, right, bottom = box
    alpha = ink[..., 3:].astype(np.float32) / 255
    under = image[top:bottom, left:right]
    under[:] = np.round(under * (1 - alpha) + ink[..., :3] * alpha).astype(np.uint8)


def placed(inks: Sequence[tuple[Sticker, np.ndarray]], boxes: Sequence[Box], size_wh: tuple[int, int]) -> list[Placed]:
    """Stickers laid one over the other, from back to front, each with what can be seen of it."""
    covered = np.zeros((size_wh[1], size_wh[0]), bool)
    found: list[Placed] = []
    for (sticker, ink), box in reversed(list(zip(inks, boxes, strict=True))):
        mask = np.zeros_like(covered)
        mask[box[1] : box[3], box[0] : box[2]] = ink[..., 3] > 127
        visible = mask & ~covered
        covered |= mask
        found.append(Placed(sticker, ink, box, visible))
    return found[::-1]
