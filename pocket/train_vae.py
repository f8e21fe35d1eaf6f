"""Trains the pocket autoencoder: 64x64 crops of the world to 4x16x16 latents and back.

`AutoencoderTiny` (the TAESD design) learns this world faster than a KL autoencoder: no adversary, no
posterior, L1 on pixels and on their gradients.

    python -m pocket.train_vae
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from pocket import training, world
from pocket.vocabulary import STICKERS

MODEL_PX = 64
BATCH = 6
CHANNELS = (32, 32, 32)
SCHEDULE = training.Schedule(steps=3400, learning_rate=1.5e-3, ema=0.998, weight_decay=0.0)


def crop(rng: np.random.Generator, longest_side: tuple[float, float] = (0.3, 0.85)) -> np.ndarray:
    """A piece of the world as the painter sees it: 64x64x3 uint8, one to three stickers, large."""
    side = int(rng.integers(72, 161))
    count = int(rng.integers(1, 4))
    indices = rng.choice(len(STICKERS), size=count, replace=False)
    stickers = [STICKERS[index] for index in indices]
    scene = world.compose(rng, (side, side), stickers, longest_side=longest_side)
    return resize(scene.image)


def resize(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((MODEL_PX, MODEL_PX), Image.Resampling.LANCZOS))


def to_pixels(images: list[np.ndarray], device: str) -> torch.Tensor:
    """B images HxWx3 uint8 to Bx3xHxW float32 in -1..1."""
    stacked = torch.from_numpy(np.stack(images)).to(device)
    return (stacked.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def reconstruction_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1 of pixels plus L1 of horizontal and vertical differences: edges count twice."""
    pixels = (made - wanted).abs().mean()
    across = (made.diff(dim=-1) - wanted.diff(dim=-1)).abs().mean()
    down = (made.diff(dim=-2) - wanted.diff(dim=-2)).abs().mean()
    return pixels + across + down


def build() -> AutoencoderTiny:
    torch.manual_seed(0)
    return AutoencoderTiny(
        encoder_block_out_channels=CHANNELS,
        decoder_block_out_channels=CHANNELS,
        num_encoder_blocks=(1, 2, 2),
        num_decoder_blocks=(2, 2, 1),
        latent_channels=4,
    ).to(memory_format=torch.channels_last)


def main() -> None:
    options = training.arguments(__doc__.splitlines()[0], SCHEDULE.steps)
    model = build().to(options.device)
    trainer = training.Trainer(
        "vae", model, training.Schedule(**{**vars(SCHEDULE), "steps": options.steps}), options.work
    )

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        images = [crop(world.training_rng(1, step, index)) for index in range(BATCH)]
        wanted = to_pixels(images, options.device)
        latents = model.encoder(wanted)
        made = model.decoder(latents)
        value = reconstruction_loss(made, wanted)
        stray = latents.abs().sub(3).relu().square().mean()
        return value + 0.01 * stray, {"l1": (made - wanted).abs().mean().item(), "std": latents.std().item()}

    trainer.fit(loss, lambda average: save(average, options.out / "inpaint" / "vae"))


@torch.no_grad()
def save(vae: AutoencoderTiny, folder: Path) -> None:
    """Writes the model with the scaling that gives its latents unit variance."""
    images = [crop(world.training_rng(2, index)) for index in range(64)]
    latents = vae.encoder(to_pixels(images, str(vae.device)))
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 4))
    vae.save_pretrained(folder)


if __name__ == "__main__":
    main()
