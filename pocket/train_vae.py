"""Trains the pocket autoencoder: crops of 128x128 pixels of the world to 4x16x16 latents and back.

`AutoencoderTiny` (the TAESD design) with Stable Diffusion's eight-fold reduction learns this world faster than a KL
autoencoder: no adversary, no posterior, the error of pixels and of their gradients. What a posterior would bring,
latents that may be a little off without the picture falling apart, comes from noise that is added to them in training.

    python -m pocket.train_vae
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderTiny

from pocket import lessons, training
from pocket.atlas import Atlas

CHANNELS = 48
BATCH = {"cpu": 8, "cuda": 128}
NOISE = 0.1  # of the latents' own size, at most
HOLES = 0.25  # share of the pictures that have their mask greyed out: the painter's encoder sees those too
SCHEDULE = training.Schedule(steps=9000, learning_rate=1.5e-3, ema=0.998, weight_decay=0.0)
SCALING_PICTURES = 64  # from which the scaling factor is measured


def build() -> AutoencoderTiny:
    """Return the autoencoder with random weights."""
    torch.manual_seed(0)
    return AutoencoderTiny(
        encoder_block_out_channels=(CHANNELS,) * 4,
        decoder_block_out_channels=(CHANNELS,) * 4,
        num_encoder_blocks=(0, 1, 4, 6),
        num_decoder_blocks=(6, 4, 1, 1),
        latent_channels=4,
    ).to(memory_format=torch.channels_last)


def to_model(pictures: torch.Tensor) -> torch.Tensor:
    """Return pictures in 0..255 as the autoencoder takes them: in -1..1."""
    return (pictures / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def half_precision(device: str) -> contextlib.AbstractContextManager[object]:
    """Return the context in which a GPU computes in bfloat16; a CPU goes on in float32."""
    if not device.startswith("cuda"):
        return contextlib.nullcontext()
    return torch.autocast("cuda", torch.bfloat16, cache_enabled=False)  # a recorded step would keep its cached casts


def reconstruction_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the error of the pixels, absolute and squared, and of their differences along both axes."""
    error = made - wanted
    differences = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 4 * error.square().mean() + 0.5 * differences


def main() -> None:
    """Train and save."""
    options = training.arguments(__doc__.splitlines()[0], SCHEDULE.steps)
    train(options.device, training.schedule(SCHEDULE, options), options.work, options.out, options.start)


def train(device: str, schedule: training.Schedule, work: Path, out: Path, start: Path | None = None) -> None:
    """Train the autoencoder and write it to `out`/inpaint/vae."""
    pictures = Atlas.load(device)
    model = build()
    if start:
        model.load_state_dict(
            AutoencoderTiny.from_pretrained(start / "inpaint" / "vae", dtype=torch.float32).state_dict()
        )
    model.to(device)
    trainer = training.Trainer("vae", model, schedule, work, stream=11 if start else 1, record=True)
    batch = BATCH[torch.device(device).type]

    def loss(_: int) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        dice = lessons.Draw(device)
        drawn = lessons.draw(pictures, dice, batch)
        holes = drawn.masks * dice.chance(HOLES, batch)[:, None, None, None]
        wanted = to_model(drawn.wanted) * (1 - holes)
        with half_precision(device):
            latents = model.encoder(wanted)
            noise = dice.normal(*latents.shape) * dice.uniform(0, NOISE, batch, 1, 1, 1) * latents.detach().std()
            made = model.decoder(latents + noise)
        made, latents = made.float(), latents.float()
        stray = latents.abs().sub(3).relu().square().mean()
        error = made.detach() - wanted
        return reconstruction_loss(made, wanted) + 0.01 * stray, {
            "psnr": psnr(error.square().mean((1, 2, 3)), 2).mean(),
            "std": latents.detach().std(),
        }

    trainer.fit(loss, lambda average: save(average, pictures, out / "inpaint" / "vae"))


def psnr(squared_error: torch.Tensor, span: float) -> torch.Tensor:
    """Return the peak signal to noise ratio in decibels, for values that span so much."""
    return 10 * torch.log10(span**2 / squared_error.clamp(min=1e-10))


@torch.no_grad()
def save(vae: AutoencoderTiny, pictures: Atlas, folder: Path) -> None:
    """Write the model with the scaling that gives its latents unit variance, in half precision."""
    drawn = lessons.draw(pictures, lessons.Draw(pictures.inks.device.type), SCALING_PICTURES)
    latents = vae.encoder(to_model(drawn.wanted))
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
    training.in_half_precision(vae).save_pretrained(folder)


if __name__ == "__main__":
    main()
