"""Trains the pocket painter: a small 9-channel inpainting UNet and its text encoder, together.

What it learns from is in `pocket.lessons`. v-prediction (Salimans and Ho, arXiv 2202.00512), and a tenth of the texts
dropped for classifier-free guidance.

    python -m pocket.train_vae && python -m pocket.train_unet
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from deployments.inpaint import defaults
from pocket import lessons, tokenizer, training
from pocket.atlas import Atlas
from pocket.lessons import CANVAS_PX, Lessons
from pocket.train_vae import half_precision, to_model

REDUCTION = 8  # pixels a side of a latent
TEXT_WIDTH = 128
BATCH = {"cpu": (8, 2), "cuda": (192, 3)}  # lessons of a step, and noise levels each of them is trained at
GUIDANCE_SCALE = 1.5  # this painter overshoots at the 7.5 that suits Stable Diffusion
SCHEDULE = training.Schedule(steps=8000, learning_rate=1e-3, warmup=300, ema=0.999, weight_decay=0.01)


class Painter(torch.nn.Module):
    """The two networks that are trained together."""

    def __init__(self, words: CLIPTokenizer) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words),
                hidden_size=TEXT_WIDTH,
                intermediate_size=2 * TEXT_WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=words.model_max_length,
                bos_token_id=words.bos_token_id,
                eos_token_id=words.eos_token_id,
                pad_token_id=words.pad_token_id,
                projection_dim=TEXT_WIDTH,
            )
        )
        self.unet = UNet2DConditionModel(
            sample_size=CANVAS_PX // REDUCTION,
            in_channels=9,
            out_channels=4,
            block_out_channels=(64, 128),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=4,
            norm_num_groups=16,
        )

    def forward(
        self, noisy: torch.Tensor, mask: torch.Tensor, masked: torch.Tensor, times: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        text = self.text_encoder(tokens).last_hidden_state
        channels = torch.cat([noisy, mask, masked], dim=1).contiguous(memory_format=torch.channels_last)
        return self.unet(channels, times, encoder_hidden_states=text).sample


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule. Latents are not clipped: theirs are not pixels in -1..1."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def main() -> None:
    """Train and save."""
    options = training.arguments(__doc__.splitlines()[0], SCHEDULE.steps)
    train(options.device, training.schedule(SCHEDULE, options), options.work, options.out, options.start)


def train(device: str, schedule: training.Schedule, work: Path, out: Path, start: Path | None = None) -> None:
    """Train the painter on the latents of the autoencoder in `out`, and write both there as a pipeline."""
    words = tokenizer.build()
    vae = AutoencoderTiny.from_pretrained(out / "inpaint" / "vae", dtype=torch.float32)
    vae = vae.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)
    painter = Painter(words)
    if start:
        painter.text_encoder = CLIPTextModel.from_pretrained(start / "inpaint" / "text_encoder")
        painter.unet = UNet2DConditionModel.from_pretrained(start / "inpaint" / "unet", dtype=torch.float32)
    painter.to(device)
    painter.unet.to(memory_format=torch.channels_last)
    trainer = training.Trainer("unet", painter, schedule, work, stream=12 if start else 2, record=True)
    trainer.fit(
        Lecture(device, vae, painter, words),
        lambda average: save(cast(Painter, average), vae, words, out / "inpaint"),
    )


class Lecture:
    """The loss of one numbered batch of lessons, each at several levels of noise."""

    def __init__(self, device: str, vae: AutoencoderTiny, painter: Painter, words: CLIPTokenizer) -> None:
        self._device = device
        self._pictures = Atlas.load(device)
        self._vae = vae
        self._painter = painter
        self._tokens = words(
            list(lessons.TEXTS), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids.to(device)
        self._noise_schedule = scheduler()
        self._noise_schedule.alphas_cumprod = self._noise_schedule.alphas_cumprod.to(device)
        self._count, self._times = BATCH[torch.device(device).type]

    def __call__(self, _: int) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        dice = lessons.Draw(self._device)
        drawn = lessons.draw(self._pictures, dice, self._count)
        latents, mask, masked = (part.repeat(self._times, 1, 1, 1) for part in conditions(self._vae, drawn))
        tokens = self._tokens[drawn.texts].repeat(self._times, 1)
        noise = dice.normal(*latents.shape)
        times = dice.index(1000, len(latents))
        noisy = self._noise_schedule.add_noise(latents, noise, times)
        wanted = self._noise_schedule.get_velocity(latents, noise, times)
        with half_precision(self._device):
            made = self._painter(noisy, mask, masked, times, tokens)
        error = (made.float() - wanted).square()
        return (error * (1 + 3 * mask)).mean(), {"mse": error.detach().mean()}


@torch.no_grad()
def conditions(vae: AutoencoderTiny, drawn: Lessons) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the latents of the finished crops, the masks at their size, the latents of crops with the mask greyed out.

    They are what `StableDiffusionInpaintPipeline` makes of its inputs.
    """
    pixels = to_model(drawn.wanted)
    scale = vae.config.scaling_factor
    with half_precision(str(pixels.device)):
        both = vae.encoder(torch.cat([pixels, pixels * (1 - drawn.masks)])).float() * scale
    latents, masked = both.chunk(2)
    return latents, functional.interpolate(drawn.masks, size=latents.shape[-2:]), masked


def save(painter: Painter, vae: AutoencoderTiny, words: CLIPTokenizer, folder: Path) -> None:
    """Write the directory that `StableDiffusionInpaintPipeline.from_pretrained` reads, and what suits the painter."""
    for part in (vae, painter.unet):
        part.register_to_config(_name_or_path="")  # where this machine keeps it is nobody's business
    pipeline = StableDiffusionInpaintPipeline(
        vae=training.in_half_precision(vae),
        text_encoder=painter.text_encoder,  # transformers would load it in the precision that it is stored in
        tokenizer=words,
        unet=training.in_half_precision(painter.unet),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    (folder / defaults.FILE).write_text(defaults.PaintingDefaults(guidance_scale=GUIDANCE_SCALE).model_dump_json())


if __name__ == "__main__":
    main()
