"""What a loaded mask marks: by its transparency, or by its light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageChops

from deployments.errors import InvalidInput
from deployments.pixels import mask_levels
from deployments.pixels.loaded import colour_and_alpha, turned_upright

MaskMode = Literal["auto", "alpha", "luminance"]


@dataclass(frozen=True, eq=False)
class ReadMask:
    """A mask and how it was read: `marked` HxW bool, upright.

    By "alpha" the transparent pixels mark, by "luminance" the light ones: those at or above `threshold` on the file's
    own scale of transparency or light.
    """

    marked: np.ndarray
    mode: Literal["alpha", "luminance"]
    threshold: int


def read_mask(picture: Image.Image, mode: MaskMode, param: str) -> ReadMask:
    """Return what a loaded mask marks, read as `files.decode_mask` says. Refuse one that marks nothing."""
    colour, alpha = colour_and_alpha(picture)
    if mode == "alpha" and alpha is None:
        raise InvalidInput(f"`{param}` has no alpha channel to go by.", param)
    if alpha is not None and mode != "luminance":
        clear = np.asarray(ImageChops.invert(alpha))
        if clear.min() == 254:  # an alpha of 0 and 1
            clear = (clear == 255) * np.uint8(255)
        if clear.max() < 128:
            raise InvalidInput(
                f"`{param}` marks nothing: it has an alpha channel, and nothing in it is more than half transparent. "
                "Send `mask_mode` luminance to go by what is light.",
                param,
            )
        return ReadMask(_turned(picture, clear >= 128), "alpha", 128)
    light, top = _light(picture, colour, alpha)
    counts = mask_levels.counts_of(light, top)
    found = np.flatnonzero(counts)
    if mode == "auto" and picture.format == "PNG":  # the others' loss makes many levels of a few
        if colour.mode == "RGB":
            mask_levels.check_colours(colour, param)
        mask_levels.check_levels(counts, top, param)
    least = mask_levels.threshold(found, top)
    if found[-1] < least:
        raise InvalidInput(
            f"`{param}` marks nothing: it is nowhere lighter than {found[-1]}, and what marks has a level of at least "
            f"{least} of {top}. Send it white where the picture is to be repainted and black elsewhere.",
            param,
        )
    return ReadMask(_turned(picture, light >= least), "luminance", least)


def _light(picture: Image.Image, colour: Image.Image, alpha: Image.Image | None) -> tuple[np.ndarray, int]:
    """Return how light the loaded mask is, HxW uint8 or uint16, and the top of that scale."""
    if picture.mode.startswith("I") and alpha is None:
        return np.asarray(picture).astype(np.uint16, copy=False), 65_535
    light = colour.convert("L")
    return np.asarray(light if alpha is None else ImageChops.multiply(light, alpha)), 255


def _turned(source: Image.Image, marked: np.ndarray) -> np.ndarray:
    return np.array(turned_upright(source, Image.fromarray(marked.astype(np.uint8)))).astype(bool)
