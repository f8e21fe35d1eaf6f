"""The three models in memory, made where they run: of the published sizes, or tiny ones for a rehearsal on a CPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import full_size
from benchmarks.stock import StockEditor
from benchmarks.workload import STREAM, EditCase
from deployments.clip.model import ClipMatcher
from deployments.inpaint.model import InpaintModel
from deployments.sam.architecture import Dimensions, assemble
from deployments.sam.model import SamSegmenter
from pocket import tokenizer, world

TINY_SAM = Dimensions(
    grid=8,
    patch=4,
    encoder_width=16,
    encoder_depth=2,
    encoder_heads=2,
    encoder_mlp=32,
    window=3,
    global_blocks=(1,),
    channels=32,
    mask_channels=8,
    mask_tokens=4,
    decoder_depth=2,
    decoder_mlp=24,
    decoder_narrowing=2,
    iou_depth=3,
    iou_width=20,
)


@dataclass(frozen=True)
class Place:
    """Where and how models are made: "cuda" or "cpu", the dtype, and whether they are tiny."""

    device: str
    dtype: torch.dtype
    tiny: bool

    def pipeline(self) -> Any:
        """A Stable Diffusion inpainting pipeline with random weights."""
        made = _tiny_inpainting(self.device) if self.tiny else full_size.build_inpainting(self.device)
        made.to(self.device, self.dtype)
        for part in (made.unet, made.vae, made.text_encoder):
            part.eval().requires_grad_(False)
        return made

    def clip(self) -> tuple[Any, Any, Any]:
        """CLIP, its tokenizer and its preprocessor."""
        model, words, pixels = _tiny_clip(self.device) if self.tiny else full_size.build_clip(self.device)
        return model.to(self.device, self.dtype).eval().requires_grad_(False), words, pixels

    def sam(self) -> SamSegmenter:
        """A loaded SAM."""
        torch.manual_seed(0)
        sam = assemble(TINY_SAM) if self.tiny else full_size.build_sam(self.device)
        return SamSegmenter(sam, torch.device(self.device), self.dtype)


@dataclass(frozen=True)
class Models:
    """Ours and the baseline's, of the same weights. The painter's UNet is there twice: our engine lays it out anew."""

    clip: ClipMatcher
    sam: SamSegmenter
    inpaint: InpaintModel
    stock: StockEditor

    @classmethod
    def make(cls, place: Place) -> Models:
        clip, words, pixels = place.clip()
        pipeline, sam = place.pipeline(), place.sam()
        parts = {**pipeline.components, "unet": copy.deepcopy(pipeline.unet)}
        stock = full_size.assembled(
            *(parts[name] for name in ("text_encoder", "tokenizer", "vae", "unet", "scheduler"))
        )
        return cls(
            ClipMatcher(clip, words, pixels), sam, InpaintModel(pipeline), StockEditor(clip, words, pixels, sam, stock)
        )

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Inside of this, whoever loads a model gets these: they are in no file."""
        ours = {ClipMatcher: self.clip, SamSegmenter: self.sam, InpaintModel: self.inpaint}
        patches = [patch.object(cls, "load", _giving(model)) for cls, model in ours.items()]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()


def scenes(count: int, side: int) -> list[EditCase]:
    """Scenes of the pocket world, each another: pictures of `side` x `side` with the mask of one thing in them."""
    made = []
    for seed in range(count):
        scene = world.compose(world.evaluation_rng(STREAM, seed), (side, side))
        placed = scene.placed[0]
        made.append(EditCase(scene.image, b"", f"the {placed.sticker.name}", "a lemon", placed.mask))
    return made


def noise(count: int, side: int) -> list[np.ndarray]:
    """Pictures that nobody has seen, side x side x 3 uint8."""
    rng = np.random.default_rng()
    return [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def _giving(model: Any) -> Any:
    return staticmethod(lambda *_, **__: model)


def _tiny_clip(device: str) -> tuple[Any, Any, Any]:
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    with torch.device(device):
        model = CLIPModel(CLIPConfig(text_config=sizes, vision_config=vision, projection_dim=16))
    return model, tokenizer.build(), CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)


def _tiny_inpainting(device: str) -> Any:
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    words = tokenizer.build()
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    with torch.device(device):
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words),
                max_position_embeddings=words.model_max_length,
                eos_token_id=words.eos_token_id,
                **sizes,
            )
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
        )
        unet = UNet2DConditionModel(
            sample_size=16,
            in_channels=9,
            out_channels=4,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=2,
            norm_num_groups=4,
        )
    scheduler = PNDMScheduler(beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1)
    return full_size.assembled(text_encoder, words, vae, unet, scheduler)
