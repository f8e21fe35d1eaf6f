"""The parts of a Stable Diffusion inpainting checkpoint, and what they do before and after the steps.

From a request to paintings (`InpaintModel.prepare`), and from their finished latents to pixels (`decode`); the steps in
between are `steps.py`'s. Together they give what `diffusers.StableDiffusionInpaintPipeline` gives for the same
seed. Noise is drawn on the CPU, so a seed means the same picture on every device.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline

from deployments.config import ModelArgs
from deployments.errors import InvalidInput, ModelFailed
from deployments.inpaint import loading
from deployments.inpaint.canvas import Canvas, VaeEncoding, fill_of, resized, smeared, strength_of, to_pixels
from deployments.inpaint.defaults import PaintingDefaults
from deployments.inpaint.painting import Painting
from deployments.inpaint.safety import SafetyChecker
from deployments.inpaint.schedulers import Schedule, schedule
from deployments.language.texts import check_negative_prompt, check_tokens, count_tokens
from deployments.messages import Fill, InpaintRequest, PaintOptions, Square
from deployments.serving.caching import Lru
from deployments.serving.metrics import NOWHERE, Recorder, lookups

CACHED_TEXTS = 256  # a few hundred KiB each with the published models
GOLDEN = 2654435769  # 2**32 over the golden ratio: no two of its multiples are near to each other (Knuth, TAOCP 6.4)


class InpaintModel:
    """A loaded inpainting model, which prepares and finishes pictures for the engine.

    It is safe to call from several threads; what it returns is the caller's own.
    """

    def __init__(
        self,
        pipeline: StableDiffusionInpaintPipeline,
        checker: SafetyChecker | None = None,
        painting_defaults: PaintingDefaults | None = None,
        metrics: Recorder = NOWHERE,
    ) -> None:
        self.defaults = painting_defaults or PaintingDefaults()
        self.tokenizer = pipeline.tokenizer
        self.text_encoder = pipeline.text_encoder
        self.vae = pipeline.vae
        self.unet = pipeline.unet
        # Asked once: diffusers and transformers go through all parameters for the answer.
        self._device, self._dtype = self.vae.device, self.vae.dtype
        self.scheduler = pipeline.scheduler
        self.vae_scale_factor = pipeline.vae_scale_factor
        self.native_px = self.unet.config.sample_size * self.vae_scale_factor
        # The UNet halves its latents between its levels.
        self.multiple_px = self.vae_scale_factor * 2 ** (len(self.unet.config.block_out_channels) - 1)
        self._checker = checker
        self._texts: Lru[str, torch.Tensor] = Lru(CACHED_TEXTS, lookups(metrics, "inpaint", "texts"))

    @classmethod
    def load(cls, args: ModelArgs, metrics: Recorder = NOWHERE) -> InpaintModel:
        """Return the model that the setting `inpaint` names. Raises SettingError, saying what is wrong with it."""
        return cls(*loading.load(args), metrics)

    @torch.inference_mode()
    def prepare(self, request: InpaintRequest, previews: int = 0) -> list[Painting]:
        """Return a painting for each seed and square, at its first step: all squares of the first seed come first.

        `previews` estimates of those of the first seed are wanted on the way, evenly spread. Raises InvalidInput,
        naming the field.
        """
        side = self._model_side(request.model_px)
        scale = self._guidance_scale(request.options)
        text = self._text(request, scale)
        canvases = [self._canvas(request, square, side, text, scale) for square in request.squares]
        return [
            self._painting(request, noise_seed(seed, number), canvas, previews if index == 0 else 0)
            for index, seed in enumerate(request.seeds)
            for number, canvas in enumerate(canvases)
        ]

    def text_tokens(self, request: InpaintRequest) -> int:
        """Return how many tokens of text the UNet reads for a request, without the marks of start and end."""
        wording = self._wording(request, self._guidance_scale(request.options))
        return sum(count_tokens(text, self.tokenizer) for text in wording.values())

    def _guidance_scale(self, options: PaintOptions) -> float:
        return self.defaults.guidance_scale if options.guidance_scale is None else options.guidance_scale

    def _wording(self, request: InpaintRequest, scale: float) -> dict[str, str]:
        """Return by field the texts that the UNet reads, in its order: with guidance the negative one comes first."""
        prompt = self.defaults.removal_prompt if request.prompt is None else request.prompt
        guiding = {"negative_prompt": request.options.negative_prompt} if scale > 1 else {}
        return {**guiding, "prompt": prompt}

    def _text(self, request: InpaintRequest, scale: float) -> torch.Tensor:
        check_negative_prompt(request.options.negative_prompt, scale)
        return torch.cat([self._read(each, param) for param, each in self._wording(request, scale).items()])

    def _canvas(self, request: InpaintRequest, square: Square, side: int, text: torch.Tensor, scale: float) -> Canvas:
        image, mask = resized(square.image, side), resized(square.mask, side)
        binary = torch.from_numpy(mask.astype(np.float32))[None, None]
        latent_mask = torch.nn.functional.interpolate(binary, size=(side // self.vae_scale_factor,) * 2)
        fill, strength = fill_of(request.options), strength_of(request.options)
        return Canvas(
            mask=latent_mask.to(text),
            text=text,
            guidance_scale=scale,
            masked=self._encode(to_pixels(image, self._device) * (1 - binary.to(self._device))),
            picture=self._start(image, mask, fill) if strength < 1 or fill != "noise" else None,
            noise_in_mask=fill == "noise",
        )

    def _start(self, image: np.ndarray, mask: np.ndarray, fill: Fill) -> VaeEncoding:
        return self._encode(to_pixels(smeared(image, mask) if fill == "blur" else image, self._device))

    def _painting(self, request: InpaintRequest, seed: int, canvas: Canvas, previews: int) -> Painting:
        generator = torch.Generator().manual_seed(seed)
        steps = self._schedule(request.options, generator)
        latents, masked_latents = canvas.drawn(generator, steps)
        return Painting(
            latents=latents,
            mask=canvas.mask,
            masked_latents=masked_latents,
            text=canvas.text,
            guidance_scale=canvas.guidance_scale,
            schedule=steps,
            previews=_spread(previews, len(steps.timesteps)),
        )

    def _schedule(self, options: PaintOptions, generator: torch.Generator) -> Schedule:
        """Return the steps of one painting. How many there are, only the driver has a default for."""
        count = options.num_inference_steps
        if count is None:
            raise InvalidInput(
                "`num_inference_steps` is required: the inpaint model has no default.", "num_inference_steps"
            )
        return schedule(self.scheduler, options.scheduler, count, strength_of(options), generator)

    def decode(self, latents: torch.Tensor, side_px: int) -> np.ndarray:
        """Return latents [1, 4, h, w] as a square picture of `side_px`, SxSx3 uint8.

        Raises ModelFailed when there are numbers in it that no picture has (half precision can overflow).
        """
        return resized(self._picture(latents), side_px)

    def finish(self, latents: torch.Tensor, side_px: int) -> tuple[np.ndarray, bool]:
        """Return what `decode` returns, and whether the checkpoint's safety checker, if any, objects to showing it."""
        picture = self._picture(latents)
        return resized(picture, side_px), self._checker is not None and self._checker.objects_to(picture)

    @torch.inference_mode()
    def _picture(self, latents: torch.Tensor) -> np.ndarray:
        """As large as the model painted it."""
        scaled = latents / self.vae.config.scaling_factor
        pixels = self.vae.decode(scaled, return_dict=False)[0]
        unit = (pixels[0] / 2 + 0.5).permute(1, 2, 0).float()
        if not unit.isfinite().all():
            raise ModelFailed("The stage 'inpaint' failed.")
        return np.asarray((unit.clamp(0, 1) * 255).round().to(torch.uint8).contiguous().cpu())

    def _read(self, text: str, param: str) -> torch.Tensor:
        """The text of the request's field `param` encoded. Raises InvalidInput where its end would not be read."""
        check_tokens(text, param, self.tokenizer, self.tokenizer.model_max_length, "the painter")
        return self.encode_text(text)

    @torch.inference_mode()
    def encode_text(self, text: str) -> torch.Tensor:
        """Return the embedding [1, tokens, width], remembered, of a text that fits the text encoder (77 tokens)."""
        return self._texts.get(text, self._encode_text)

    def _encode_text(self, text: str) -> torch.Tensor:
        tokens = self.tokenizer(
            [text],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        )
        device = self._device
        uses_mask = getattr(self.text_encoder.config, "use_attention_mask", False)
        attention_mask = tokens.attention_mask.to(device) if uses_mask else None
        encoded: torch.Tensor = self.text_encoder(tokens.input_ids.to(device), attention_mask=attention_mask)[0]
        return encoded

    def _encode(self, pixels: torch.Tensor) -> VaeEncoding:
        return VaeEncoding(self.vae.encode(pixels.to(self._dtype)), self.vae.config.scaling_factor)

    def _model_side(self, wanted: int | None) -> int:
        if wanted is None:
            return int(self.native_px)
        most = 4 * self.native_px
        if not (0 < wanted <= most and wanted % self.multiple_px == 0):
            raise InvalidInput(
                f"`model_px` must be a multiple of {self.multiple_px}, at most {most} for this model.", "model_px"
            )
        return wanted


def noise_seed(seed: int, square: int) -> int:
    """Return the seed that the noise of a square, numbered from 0, is drawn from; see `InpaintRequest`.

    torch reads the lower 32 bits of a seed alone, so it is there that they have to differ.
    """
    return seed if square == 0 else (seed + GOLDEN * square) % 2**32


def _spread(count: int, steps: int) -> frozenset[int]:
    """`count` of the steps before the last one, evenly spread: 3 of 20 are 5, 10, 15."""
    return frozenset(max(1, round(steps * (index + 1) / (count + 1))) for index in range(count)) - {steps}
