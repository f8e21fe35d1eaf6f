"""What all pictures of one request start from: its image, resized for the model and encoded, mask and text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from deployments.inpaint.schedulers import Schedule
from deployments.messages import Fill, PaintOptions
from deployments.pixels import membrane


class VaeEncoding:
    """The VAE's encoding of one picture. A KL autoencoder samples its latents, for each seed anew."""

    def __init__(self, encoded: Any, scaling_factor: float) -> None:
        self._encoded = encoded
        self._scaling_factor = scaling_factor

    def latents(self, generator: torch.Generator) -> torch.Tensor:
        """Return scaled latents [1, 4, h, w], spending the generator as the stock pipeline does."""
        if hasattr(self._encoded, "latent_dist"):
            sampled: torch.Tensor = self._encoded.latent_dist.sample(generator)
            return sampled * self._scaling_factor
        fixed: torch.Tensor = self._encoded.latents
        return fixed * self._scaling_factor


@dataclass(frozen=True, eq=False)
class Canvas:
    """All that the paintings of one square share before a seed is drawn.

    `mask` [1, 1, h, w] of 0 and 1, `text`, `guidance_scale` and `masked` are for the UNet, see `Painting`. `picture` is
    what is noised for a start, None if the start is noise alone; with `noise_in_mask` its pixels in the mask are
    replaced by noise before that.
    """

    mask: torch.Tensor
    text: torch.Tensor
    guidance_scale: float
    masked: VaeEncoding
    picture: VaeEncoding | None
    noise_in_mask: bool

    def drawn(self, generator: torch.Generator, steps: Schedule) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first latents and those of the masked picture, [1, 4, h, w] each.

        The seed is spent in the order in which the stock pipeline spends it: picture, noise, masked picture. What
        that does not know comes last.
        """
        picture = None if self.picture is None else self.picture.latents(generator).cpu()
        noise = torch.randn((1, 4, *self.mask.shape[2:]), generator=generator, dtype=self.text.dtype)
        masked = self.masked.latents(generator)
        if picture is not None and self.noise_in_mask:
            hole = torch.randn(noise.shape, generator=generator, dtype=noise.dtype)
            picture = torch.where(self.mask.cpu() > 0, hole, picture)
        return steps.start(noise, picture).to(self.text), masked


def strength_of(options: PaintOptions) -> float:
    """Return the share of the steps that are taken: all, where the options say nothing."""
    return 1.0 if options.strength is None else options.strength


def fill_of(options: PaintOptions) -> Fill:
    """Return the fill that the options ask for, or else what the stock pipeline does."""
    return options.fill or ("original" if strength_of(options) < 1 else "noise")


def smeared(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return `image` (HxWx3 uint8) with the surroundings of `mask` (HxW bool) drawn over the mask.

    It is of one colour where the mask has no surroundings.
    """
    closed = membrane.close(image.astype(np.float32), ~mask)
    return np.round(closed.clip(0, 255)).astype(np.uint8)


def to_pixels(image: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return a picture HxWx3 uint8 as the VAE takes it: [1, 3, H, W] float32 in -1..1, on the device.

    Bytes go there, and become numbers there: a fourth of what there is to move.
    """
    return (torch.tensor(image, device=device).float() / 127.5 - 1).permute(2, 0, 1)[None]


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Return a picture (HxWx3 uint8) or a mask (HxW bool) resized to a square, as the stock pipeline does it.

    A square of that side is returned as it is.
    """
    if image.dtype == bool:
        return resized(image.astype(np.uint8) * 255, side) >= 128
    if image.shape[:2] == (side, side):
        return image
    return np.array(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))
