"""The pictures of the pocket world on the training device, and what it takes to lay them down there in batches.

Whatever is laid down is resized and shifted along each axis by itself, so it is two products of matrices: one
matrix per axis, whose rows say which pixels of the source make a pixel of the target (the box filter for stickers,
Pillow's Lanczos for whole crops). A batch of scenes is a handful of such products, and a GPU does not wait for Pillow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image

from deployments.pixels.masks import convex_hull
from pocket import world
from pocket.vocabulary import STICKERS

TILTS_DEGREES = (-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0)
UPRIGHT = TILTS_DEGREES.index(0.0)
PHOTOGRAPH_PX = 480
CELL_PX = 144  # holds every sticker at every tilt


@dataclass(frozen=True, eq=False)
class Atlas:
    """Every sticker at every tilt, and some photographs; all on one device.

    `inks` [stickers, tilts, 4, CELL_PX, CELL_PX] float32 in 0..1, colours multiplied by their opacity, each in the
    top left corner of its cell; `hulls` [stickers, tilts, 1, CELL_PX, CELL_PX] the convex hulls of what is more than
    half opaque, 0 or 1; `sizes` [stickers, tilts, 2] the heights and widths in the cells, float32;
    `photographs` [photographs, 3, side, side] float32 in 0..255.
    """

    inks: torch.Tensor
    hulls: torch.Tensor
    sizes: torch.Tensor
    photographs: torch.Tensor

    @classmethod
    def load(cls, device: str, photographs: Sequence[str] = world.TRAINING_PHOTOGRAPHS) -> Atlas:
        """Read the assets; a second."""
        shape = (len(STICKERS), len(TILTS_DEGREES))
        inks = np.zeros((*shape, 4, CELL_PX, CELL_PX), np.float32)
        hulls = np.zeros((*shape, 1, CELL_PX, CELL_PX), np.float32)
        sizes = np.zeros((*shape, 2), np.float32)
        for place in np.ndindex(shape):
            ink = _turned(place[0], TILTS_DEGREES[place[1]])
            height, width = ink.shape[:2]
            opacity = ink[..., 3:] / 255
            inks[place][:, :height, :width] = np.concatenate([ink[..., :3] / 255 * opacity, opacity], 2).transpose(
                2, 0, 1
            )
            hulls[place][0, :height, :width] = convex_hull(ink[..., 3] > 127)
            sizes[place] = height, width
        squares = np.stack([_square(name) for name in photographs])
        return cls(*(torch.from_numpy(part).to(device) for part in (inks, hulls, sizes, squares)))


def _turned(sticker: int, degrees: float) -> np.ndarray:
    """Return a sticker turned and cropped to its ink: hxwx4 float32 in 0..255."""
    picture = world.sticker_image(STICKERS[sticker])
    turned = picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True) if degrees else picture
    return np.asarray(turned.crop(turned.getchannel("A").getbbox())).astype(np.float32)


def _square(name: str) -> np.ndarray:
    """Return the square in the middle of a photograph, enlarged if need be: 3xPHOTOGRAPH_PXxPHOTOGRAPH_PX float32."""
    picture = world.photograph(name)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    square = square.resize((PHOTOGRAPH_PX, PHOTOGRAPH_PX), Image.Resampling.BICUBIC)
    return np.asarray(square).astype(np.float32).transpose(2, 0, 1)


def lay(layers: torch.Tensor, sizes: torch.Tensor, boxes: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Return each layer resized to its box in an empty canvas, by the box filter: [N, C, height, width].

    `layers` [N, C, CELL_PX, CELL_PX] with the picture in the top left corner, `sizes` [N, 2] its height and width
    there, `boxes` [N, 4] where it goes in the canvas (left, top, right, bottom; fractions and places outside are
    allowed), `shape` the canvas's height and width in pixels.
    """
    left, top, right, bottom = boxes.unbind(1)
    down = _coverage(shape[0], layers.shape[2], top, (bottom - top) / sizes[:, 0])
    across = _coverage(shape[1], layers.shape[3], left, (right - left) / sizes[:, 1])
    return down[:, None] @ (layers @ across[:, None].transpose(2, 3))


def _coverage(target: int, source: int, start: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return what share of each target pixel each source pixel covers: [N, target, source]."""
    pixel = torch.arange(target, device=start.device, dtype=torch.float32)[None, :, None]
    first = start[:, None, None] + torch.arange(source, device=start.device)[None, None, :] * scale[:, None, None]
    overlap = torch.minimum(pixel + 1, first + scale[:, None, None]) - torch.maximum(pixel, first)
    return overlap.clamp(min=0)


def stretched(pictures: torch.Tensor, boxes: torch.Tensor, side: int) -> torch.Tensor:
    """Return what is in each box of each picture, resized as Pillow's bilinear filter does: [N, C, side, side].

    `pictures` [N, C, S, S]; `boxes` [N, 4] left, top, right, bottom in their pixels.
    """
    left, top, right, bottom = boxes.unbind(1)
    down = _bilinear(side, pictures.shape[2], top, bottom)
    across = _bilinear(side, pictures.shape[3], left, right)
    return down[:, None] @ (pictures @ across[:, None].transpose(2, 3))


def _bilinear(target: int, source: int, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    scale = ((last - first) / target)[:, None, None]
    pixel = torch.arange(target, device=first.device, dtype=torch.float32)[None, :, None] + 0.5
    middle = first[:, None, None] + pixel * scale
    each = torch.arange(source, device=first.device, dtype=torch.float32)[None, None, :] + 0.5
    weight = (1 - (each - middle).abs() / scale.clamp(min=1)).clamp(min=0)
    return weight / weight.sum(2, keepdim=True)


def resized(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """Return pictures [N, C, S, S] in 0..255 as Pillow resizes them to `side` by Lanczos: [N, C, side, side]."""
    if pictures.shape[-1] == side:
        return pictures
    matrix = _lanczos(pictures.shape[-1], side, pictures.device)
    across = (pictures @ matrix.T).round().clamp(0, 255)
    return (matrix @ across).clamp(0, 255)


@cache
def _lanczos(source: int, target: int, device: torch.device) -> torch.Tensor:
    """Return Pillow's own coefficients: [target, source] float32."""
    identity = Image.fromarray(np.eye(source, dtype=np.float32))
    resized = np.asarray(identity.resize((target, source), Image.Resampling.LANCZOS))
    return torch.from_numpy(np.ascontiguousarray(resized.T)).to(device)


def over(ground: torch.Tensor, layer: torch.Tensor) -> torch.Tensor:
    """Return a layer [N, 4, H, W] (colours times opacity, 0..1) laid over a ground [N, 3, H, W] in 0..255."""
    return ground * (1 - layer[:, 3:]) + 255 * layer[:, :3]
