"""Trains the pocket painter: a small 9-channel inpainting UNet and its text encoder, together.

It learns on crops as the service makes them (`deployments.pixels.regions`): the region to repaint stands in the
middle of a square with some ground around it, so where and how large the thing must be is given by the
mask alone. What is painted is the largest copy of the sticker that fits the mask, whatever its shape:
the mask comes from the thing that was there before, not from the thing that is wanted. v-prediction
(Salimans and Ho, arXiv 2202.00512), 10 % of the texts dropped for classifier-free guidance.

    python -m pocket.train_vae && python -m pocket.train_unet
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from deployments.inpaint import defaults
from deployments.pixels.masks import bounding_box, centre, convex_hull, dilate
from pocket import tokenizer, training, world
from pocket.train_vae import MODEL_PX, resize, to_pixels
from pocket.vocabulary import STICKERS, Sticker

TEXT_WIDTH = 128
PICTURES = 8  # drawn for a step
TIMES = 2  # noise levels each of them is trained at
DROPPED_TEXT = 0.1
GUIDANCE_SCALE = 3.0  # this painter overshoots at the 7.5 that suits Stable Diffusion
SCHEDULE = training.Schedule(steps=3000, learning_rate=1e-3, ema=0.998, weight_decay=0.01)
TEMPLATES = ("{}", "a {}", "the {}", "a photo of a {}", "a picture of a {}", "a sticker of a {}")
FITS = 0.97  # share of a sticker's ink that must lie in the mask
CROP_PX = (38, 129)  # of the picture's own pixels: small crops are enlarged, and look soft
CUT = 0.15  # share of the masks that an edge of the picture cuts off
SIZES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)


@dataclass(frozen=True, eq=False)
class Lesson:
    """`wanted` is the finished 64x64x3 uint8 crop, `mask` 64x64 bool, `text` what to paint there."""

    wanted: np.ndarray
    mask: np.ndarray
    text: str


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
            sample_size=MODEL_PX // 4,
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


def lesson(rng: np.random.Generator) -> Lesson:
    """One crop: a ground, perhaps neighbours, a mask left by something, and a sticker that fits it."""
    ground, crowded = surroundings(rng)
    mask = left_behind(rng)
    # Inside the mask only ground is wanted behind the sticker: what a neighbour hid cannot be known.
    image = np.where(mask[..., None], ground, crowded)
    sticker = STICKERS[int(rng.integers(len(STICKERS)))]
    paint(rng, image, mask, sticker)
    text = sticker.noun if sticker.colour and rng.random() < 0.15 else sticker.name
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    return Lesson(image, mask, template.format(text) if rng.random() > DROPPED_TEXT else "")


def surroundings(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A bare ground, and the same with up to two neighbours: 64x64x3 uint8 each."""
    side = int(rng.integers(*CROP_PX))
    kind = world.GROUNDS[int(rng.integers(len(world.GROUNDS)))]
    ground = world.draw_ground(rng, (side, side), kind, world.TRAINING_PHOTOGRAPHS)
    crowded = ground.copy()
    for index in rng.integers(len(STICKERS), size=int(rng.integers(0, 3))):
        ink = world.draw_sticker(rng, STICKERS[index], side, (0.3, 0.6))
        box = world.free_place(rng, (side, side), ink.shape[1], ink.shape[0], [])
        if box is not None:
            world.paste(crowded, ink, box)
    return resize(ground), resize(crowded)


def left_behind(rng: np.random.Generator) -> np.ndarray:
    """The mask of what stood there: 64x64 bool, in the place and of the size that `regions.plan` gives it.

    Mostly the grown hull of a silhouette, as there; sometimes an ellipse or a box.
    """
    share = 1 / rng.uniform(1.45, 1.6)
    before = STICKERS[int(rng.integers(len(STICKERS)))]
    ink = world.draw_sticker(rng, before, MODEL_PX, (share, share))[..., 3] > 127
    kind = rng.random()
    if kind < 0.06:
        ink = np.ones_like(ink)
    elif kind < 0.12:
        y, x = np.mgrid[-1 : 1 : ink.shape[0] * 1j, -1 : 1 : ink.shape[1] * 1j]
        ink = x**2 + y**2 <= 1
    # At an edge of the picture the crop is shifted, and the mask with it.
    shift = 8 if rng.random() < 0.2 else 1
    room_y, room_x = MODEL_PX - ink.shape[0], MODEL_PX - ink.shape[1]
    top = min(max(room_y // 2 + int(rng.integers(-shift, shift + 1)), 0), room_y)
    left = min(max(room_x // 2 + int(rng.integers(-shift, shift + 1)), 0), room_x)
    mask = np.zeros((MODEL_PX, MODEL_PX), bool)
    mask[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    if rng.random() < CUT:
        mask = cut_off(rng, mask)
    return dilate(convex_hull(mask), rng.uniform(2, 3))


def cut_off(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A mask as an edge of the picture leaves it: shifted to an edge of the square and beyond."""
    turns = int(rng.integers(4))  # to the left edge, and then turned to any
    turned = np.rot90(mask, turns)
    left, _, right, _ = bounding_box(turned)
    beyond = left + round(rng.uniform(0.1, 0.55) * (right - left))
    shifted = np.zeros_like(turned)
    shifted[:, : MODEL_PX - beyond] = turned[:, beyond:]
    return np.rot90(shifted, -turns).copy()


def paint(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, sticker: Sticker) -> None:
    """Lays the largest upright copy of `sticker` that fits `mask` onto `image`, in place."""
    left, top, right, bottom = bounding_box(mask)
    picture = world.sticker_image(sticker)
    middle_x, middle_y = centre(mask)
    largest = min((right - left) / picture.width, (bottom - top) / picture.height)
    for size in SIZES:
        scale = largest * size
        width, height = max(4, round(picture.width * scale)), max(4, round(picture.height * scale))
        ink = np.array(picture.resize((width, height), Image.Resampling.BOX))
        box_left = int(np.clip(round(middle_x - width / 2), left, right - width)) if width <= right - left else left
        box_top = int(np.clip(round(middle_y - height / 2), top, bottom - height)) if height <= bottom - top else top
        ink = ink[: MODEL_PX - box_top, : MODEL_PX - box_left]
        under = mask[box_top : box_top + ink.shape[0], box_left : box_left + ink.shape[1]]
        solid = ink[..., 3] > 127
        if (solid & under).sum() >= FITS * solid.sum() or size == SIZES[-1]:
            ink[..., 3] = np.where(under, ink[..., 3], 0)
            world.paste(image, ink, (box_left, box_top, box_left + ink.shape[1], box_top + ink.shape[0]))
            return


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
    options = training.arguments(__doc__.splitlines()[0], SCHEDULE.steps)
    words = tokenizer.build()
    vae = AutoencoderTiny.from_pretrained(options.out / "inpaint" / "vae").to(options.device).eval()
    vae.requires_grad_(False)
    painter = Painter(words)
    if options.start:
        painter.text_encoder = CLIPTextModel.from_pretrained(options.start / "inpaint" / "text_encoder")
        painter.unet = UNet2DConditionModel.from_pretrained(options.start / "inpaint" / "unet")
    painter.to(options.device)
    painter.unet.to(memory_format=torch.channels_last)
    trainer = training.Trainer("unet", painter, training.schedule(SCHEDULE, options), options.work)
    noise_schedule = scheduler()

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        lessons = [lesson(world.training_rng(3, step, index)) for index in range(PICTURES)]
        latents, mask, masked = (part.repeat(TIMES, 1, 1, 1) for part in conditions(vae, lessons, options.device))
        tokens = words(
            [taught.text for taught in lessons], padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids.to(options.device)
        draw = torch.Generator().manual_seed(step)
        noise = torch.randn(latents.shape, generator=draw).to(options.device)
        times = torch.randint(0, 1000, (len(latents),), generator=draw).to(options.device)
        noisy = noise_schedule.add_noise(latents, noise, times)
        wanted = noise_schedule.get_velocity(latents, noise, times)
        made = painter(noisy, mask, masked, times, tokens.repeat(TIMES, 1))
        error = (made - wanted).square()
        return (error * (1 + 3 * mask)).mean(), {"mse": error.mean().item()}

    trainer.fit(loss, lambda average: save(cast(Painter, average), vae, words, options.out / "inpaint"))


@torch.no_grad()
def conditions(
    vae: AutoencoderTiny, lessons: list[Lesson], device: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents of the finished crops, masks at latent size, latents of the crops with the mask greyed out.

    The same as `StableDiffusionInpaintPipeline` makes of its inputs.
    """
    pixels = to_pixels([taught.wanted for taught in lessons], device)
    full_mask = torch.from_numpy(np.stack([taught.mask for taught in lessons])).to(device)[:, None].float()
    scale = vae.config.scaling_factor
    latents = vae.encoder(pixels) * scale
    masked = vae.encoder(pixels * (1 - full_mask)) * scale
    return latents, torch.nn.functional.interpolate(full_mask, size=latents.shape[-2:]), masked


def save(painter: Painter, vae: AutoencoderTiny, words: CLIPTokenizer, folder: Path) -> None:
    """Write the directory that `StableDiffusionInpaintPipeline.from_pretrained` reads, and what suits the painter."""
    vae.register_to_config(_name_or_path="")  # where this machine keeps it is nobody's business
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=painter.text_encoder,
        tokenizer=words,
        unet=painter.unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    (folder / defaults.FILE).write_text(defaults.PaintingDefaults(guidance_scale=GUIDANCE_SCALE).model_dump_json())


if __name__ == "__main__":
    main()
