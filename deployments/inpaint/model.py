"""Stable Diffusion inpainting from its parts: tokenizer, text encoder, VAE, 9-channel UNet, scheduler.

One call gives what `diffusers.StableDiffusionInpaintPipeline` gives for the same seed, with two
differences that a service needs: nothing is shared between calls (the pipeline keeps its scheduler's
state), and the work can be stopped between two steps. Noise is drawn on the CPU, so a seed means the
same picture on every device.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

from deployments.config import POCKET, POCKET_WEIGHTS, ModelArgs
from deployments.messages import InpaintRequest

# Deleted from its hub in 2024; the same weights live on under another name.
ALIASES = {"runwayml/stable-diffusion-inpainting": "stable-diffusion-v1-5/stable-diffusion-inpainting"}
UNET_CHANNELS = 9  # 4 latents, 1 mask, 4 latents of the picture without the masked part


class Cancelled(Exception):
    """The caller no longer wants the result."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """What stays the same in every step of a job of n pictures.

    `text` [2n or n, tokens, width], the empty or negative prompt first; `mask` [n, 1, h, w] in 0..1 and
    `masked_latents` [n, 4, h, w] at latent size; `guidance_scale` weighs the two halves of `text`.
    """

    text: torch.Tensor
    mask: torch.Tensor
    masked_latents: torch.Tensor
    guidance_scale: float

    @property
    def guided(self) -> bool:
        """Without classifier-free guidance (Ho and Salimans, arXiv 2207.12598) a step costs half."""
        return self.guidance_scale > 1


class InpaintModel:
    """Repaints the masked part of a picture. Stateless between calls; one call at a time."""

    def __init__(self, pipeline: StableDiffusionInpaintPipeline) -> None:
        self.tokenizer = pipeline.tokenizer
        self.text_encoder = pipeline.text_encoder
        self.vae = pipeline.vae
        self.unet = pipeline.unet
        self.scheduler = pipeline.scheduler
        self.vae_scale_factor = pipeline.vae_scale_factor
        self.size_px = self.unet.config.sample_size * self.vae_scale_factor

    @classmethod
    def load(cls, args: ModelArgs) -> InpaintModel:
        """From "pocket", a hub id or a local diffusers directory; safetensors only.

        Raises ValueError, naming the setting, when there is nothing to load or it is of another kind.
        """
        device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
        source = POCKET_WEIGHTS / "inpaint" if args.model == POCKET else ALIASES.get(args.model, args.model)
        try:
            pipeline = StableDiffusionInpaintPipeline.from_pretrained(
                source,
                revision=args.revision,
                variant=args.variant,
                dtype=getattr(torch, args.dtype),
                use_safetensors=True,
                safety_checker=None,
                requires_safety_checker=False,
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            variant = f" (variant {args.variant!r})" if args.variant else ""
            raise ValueError(
                f"inpaint.model: cannot load {args.model!r}{variant} as a Stable Diffusion inpainting model. Give "
                f'"{POCKET}", a hub id with safetensors weights (and network access to the hub), or a '
                "directory that diffusers' save_pretrained wrote."
            ) from error
        channels = pipeline.unet.config.in_channels
        if channels != UNET_CHANNELS:
            raise ValueError(
                f"inpaint.model: the UNet of {args.model!r} takes {channels} channels; an inpainting UNet "
                f"takes {UNET_CHANNELS}. It is probably a text-to-image checkpoint."
            )
        pipeline.to(device)
        return cls(pipeline)

    def inpaint(self, request: InpaintRequest, cancelled: Callable[[], bool] = lambda: False) -> np.ndarray:
        """n x H x W x 3 uint8, one picture for each seed, of the request's own size (a square of any side).

        The whole picture comes back as the model made it; whoever pastes it takes the masked part.
        Raises `Cancelled` between two steps once `cancelled()` is true.
        """
        side = request.image.shape[0]
        conditions, latents, generators = self.prepare(request)
        for denoised in self.denoise(conditions, latents, generators, request.num_inference_steps):
            if cancelled():
                raise Cancelled
            latents = denoised
        return np.stack([_resized(picture, side) for picture in self.decode(latents)])

    @torch.inference_mode()
    def prepare(self, request: InpaintRequest) -> tuple[Conditions, torch.Tensor, list[torch.Generator]]:
        """The conditions of a job, its first noise [n, 4, h, w], and the generators that go on from there."""
        generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
        text = self.encode_text(request.prompt, request.negative_prompt, request.guidance_scale > 1)
        pixels, mask = self._to_model(request.image, request.mask)
        side = self.size_px // self.vae_scale_factor
        shape = (1, self.vae.config.latent_channels, side, side)
        noise = torch.cat([torch.randn(shape, generator=generator) for generator in generators])
        masked_latents = self._encode_masked(pixels * (mask < 0.5), generators)
        count = len(generators)
        conditions = Conditions(
            text=text.repeat_interleave(count, dim=0),
            mask=torch.nn.functional.interpolate(mask, size=(side, side)).to(masked_latents).repeat(count, 1, 1, 1),
            masked_latents=masked_latents,
            guidance_scale=request.guidance_scale,
        )
        return conditions, noise.to(masked_latents), generators

    @torch.inference_mode()
    def denoise(
        self, conditions: Conditions, noise: torch.Tensor, generators: list[torch.Generator], num_inference_steps: int
    ) -> Iterator[torch.Tensor]:
        """Yields the latents [n, 4, h, w] after each step; the last ones are the result."""
        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(num_inference_steps, device=noise.device)
        options = _step_options(scheduler, generators)
        latents = noise * scheduler.init_noise_sigma
        for time in scheduler.timesteps:
            prediction = self._predict(conditions, scheduler.scale_model_input(latents, time), time)
            latents = scheduler.step(prediction, time, latents, **options, return_dict=False)[0]
            yield latents

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Latents [n, 4, h, w] to n x S x S x 3 uint8 pictures at the model's size."""
        scaled = latents / self.vae.config.scaling_factor
        pixels = self.vae.decode(scaled, return_dict=False)[0]
        unit = (pixels / 2 + 0.5).clamp(0, 1)
        return (unit.permute(0, 2, 3, 1).float().cpu().numpy() * 255).round().astype(np.uint8)

    @torch.inference_mode()
    def encode_text(self, prompt: str, negative_prompt: str, guided: bool) -> torch.Tensor:
        """[2, tokens, width] with the negative prompt first, or [1, tokens, width] when not guided.

        What does not fit the text encoder (77 tokens for Stable Diffusion) is cut off at the end.
        """
        tokens = self.tokenizer(
            [negative_prompt, prompt] if guided else [prompt],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        uses_mask = getattr(self.text_encoder.config, "use_attention_mask", False)
        attention_mask = tokens.attention_mask.to(self.text_encoder.device) if uses_mask else None
        return self.text_encoder(tokens.input_ids.to(self.text_encoder.device), attention_mask=attention_mask)[0]

    def _predict(self, conditions: Conditions, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        channels = torch.cat([latents, conditions.mask, conditions.masked_latents], dim=1)
        if not conditions.guided:
            return self.unet(channels, time, encoder_hidden_states=conditions.text, return_dict=False)[0]
        doubled = torch.cat([channels, channels])
        both = self.unet(doubled, time, encoder_hidden_states=conditions.text, return_dict=False)[0]
        without_text, with_text = both.chunk(2)
        return without_text + conditions.guidance_scale * (with_text - without_text)

    def _encode_masked(self, pixels: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        encoded = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype))
        if hasattr(encoded, "latent_dist"):
            # A KL autoencoder samples its latents: each picture from its own seed, after its noise.
            latents = torch.cat([encoded.latent_dist.sample(generator) for generator in generators])
        else:
            latents = encoded.latents.repeat(len(generators), 1, 1, 1)
        return latents * self.vae.config.scaling_factor

    def _to_model(self, image: np.ndarray, mask: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels [1, 3, S, S] in -1..1 and mask [1, 1, S, S] of 0 and 1, both float32."""
        pixels = torch.from_numpy(_resized(image, self.size_px).astype(np.float32)) / 127.5 - 1
        shade = Image.fromarray(mask.astype(np.uint8) * 255).resize((self.size_px, self.size_px), Image.Resampling.BOX)
        binary = torch.from_numpy((np.asarray(shade) >= 128).astype(np.float32))
        return pixels.permute(2, 0, 1)[None], binary[None, None]


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    return np.array(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


def _step_options(scheduler: Any, generators: list[torch.Generator]) -> dict[str, Any]:
    """Only some schedulers draw noise of their own, and only DDIM's family knows eta."""
    accepted = inspect.signature(scheduler.step).parameters
    options = {"generator": generators if len(generators) > 1 else generators[0], "eta": 0.0}
    return {name: value for name, value in options.items() if name in accepted}
