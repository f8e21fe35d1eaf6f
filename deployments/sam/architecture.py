"""segment-anything's own modules, sized by the weights that are to fill them.

The published builders know three models by name. Here every dimension is read from the shapes in the
state dict, so one builder serves vit_b, vit_l, vit_h and the pocket model alike.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

# What no shape tells; the same in all published models (segment_anything/build_sam.py).
NORM_EPS = 1e-6
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
DECODER_HEADS = 8


@dataclass(frozen=True)
class Dimensions:
    """All sizes of a SAM. `grid` is the side of the embedding in patches, `window` that of an attention window.

    `global_blocks` are the encoder blocks that see the whole grid; `channels` is the width of embedding,
    prompts and decoder; `decoder_narrowing` by how much the decoder's cross attention is narrower.
    """

    grid: int
    patch: int
    encoder_width: int
    encoder_depth: int
    encoder_heads: int
    encoder_mlp: int
    window: int
    global_blocks: tuple[int, ...]
    channels: int
    mask_channels: int
    mask_tokens: int
    decoder_depth: int
    decoder_mlp: int
    decoder_narrowing: int
    iou_depth: int
    iou_width: int

    @property
    def image_px(self) -> int:
        """The side of the square picture that the encoder takes."""
        return self.grid * self.patch


def build_sam(state: Mapping[str, Tensor]) -> Sam:
    """Return the SAM that `state` was saved from, filled with it, in float32 and evaluation mode.

    Raises ValueError, saying what is missing or does not fit, when `state` is no SAM's.
    """
    sam = assemble(read_dimensions(state))
    try:
        sam.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        raise ValueError(f"not the weights of a SAM: {error}") from None
    return sam.eval()


def read_dimensions(state: Mapping[str, Tensor]) -> Dimensions:
    """Read all sizes off the shapes of a SAM state dict; ValueError names the first entry that is missing."""
    _, grid, _, encoder_width = _shape(state, "image_encoder.pos_embed", 4)
    patch = _shape(state, "image_encoder.patch_embed.proj.weight", 4)[-1]
    depth = _count(state, "image_encoder.blocks")
    reaches = [_shape(state, f"image_encoder.blocks.{block}.attn.rel_pos_h", 2) for block in range(depth)]
    lengths = [length for length, _ in reaches]
    channels = _shape(state, "image_encoder.neck.0.weight", 4)[0]
    narrow = _shape(state, "mask_decoder.transformer.final_attn_token_to_image.q_proj.weight", 2)[0]
    return Dimensions(
        grid=grid,
        patch=patch,
        encoder_width=encoder_width,
        encoder_depth=depth,
        encoder_heads=encoder_width // reaches[0][1],
        encoder_mlp=_shape(state, "image_encoder.blocks.0.mlp.lin1.weight", 2)[0],
        window=_window(lengths, grid),
        global_blocks=tuple(block for block, length in enumerate(lengths) if length == 2 * grid - 1),
        channels=channels,
        mask_channels=_shape(state, "prompt_encoder.mask_downscaling.3.weight", 4)[0],
        mask_tokens=_shape(state, "mask_decoder.mask_tokens.weight", 2)[0],
        decoder_depth=_count(state, "mask_decoder.transformer.layers"),
        decoder_mlp=_shape(state, "mask_decoder.transformer.layers.0.mlp.lin1.weight", 2)[0],
        decoder_narrowing=channels // narrow,
        iou_depth=_count(state, "mask_decoder.iou_prediction_head.layers"),
        iou_width=_shape(state, "mask_decoder.iou_prediction_head.layers.0.weight", 2)[0],
    )


def assemble(sizes: Dimensions) -> Sam:
    """Return a SAM of these sizes with random weights."""
    modeling = import_modeling()
    encoder = modeling.ImageEncoderViT(
        img_size=sizes.image_px,
        patch_size=sizes.patch,
        embed_dim=sizes.encoder_width,
        depth=sizes.encoder_depth,
        num_heads=sizes.encoder_heads,
        # The module computes int(width * ratio): half a unit more keeps that from rounding down by one.
        mlp_ratio=(sizes.encoder_mlp + 0.5) / sizes.encoder_width,
        norm_layer=partial(nn.LayerNorm, eps=NORM_EPS),
        qkv_bias=True,
        use_rel_pos=True,
        window_size=sizes.window,
        global_attn_indexes=sizes.global_blocks,
        out_chans=sizes.channels,
    )
    prompts = modeling.PromptEncoder(
        embed_dim=sizes.channels,
        image_embedding_size=(sizes.grid, sizes.grid),
        input_image_size=(sizes.image_px, sizes.image_px),
        mask_in_chans=sizes.mask_channels,
    )
    decoder = modeling.MaskDecoder(
        transformer_dim=sizes.channels,
        transformer=modeling.TwoWayTransformer(
            depth=sizes.decoder_depth,
            embedding_dim=sizes.channels,
            num_heads=DECODER_HEADS,
            mlp_dim=sizes.decoder_mlp,
            attention_downsample_rate=sizes.decoder_narrowing,
        ),
        num_multimask_outputs=sizes.mask_tokens - 1,
        iou_head_depth=sizes.iou_depth,
        iou_head_hidden_dim=sizes.iou_width,
    )
    return modeling.Sam(encoder, prompts, decoder, list(PIXEL_MEAN), list(PIXEL_STD))


def import_modeling() -> ModuleType:
    """Import `segment_anything.modeling`, also where torchvision is missing or does not fit the installed torch.

    The package's `__init__` imports its automatic mask generator, which alone needs torchvision; nothing
    in `modeling` does. Without a torchvision that works, the package is put in place without running its
    `__init__`, so that its submodules can be found. With one, nothing unusual happens.
    """
    if "segment_anything" not in sys.modules and not _torchvision_works():
        spec = importlib.util.find_spec("segment_anything")
        if spec is not None:
            sys.modules["segment_anything"] = importlib.util.module_from_spec(spec)
    return importlib.import_module("segment_anything.modeling")


def _torchvision_works() -> bool:
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):  # one built for another torch raises RuntimeError
        return False
    return True


def _window(lengths: list[int], grid: int) -> int:
    """Return the one window size among relative position tables of `lengths` 2*side - 1; 0 when all blocks are global.

    A window as large as the grid looks like a global block, and is one: it holds every patch, unpadded.
    """
    windowed = {length for length in lengths if length != 2 * grid - 1}
    if len(windowed) > 1:
        raise ValueError("not the weights of a SAM: its encoder has windows of several sizes")
    return (windowed.pop() + 1) // 2 if windowed else 0


def _shape(state: Mapping[str, Tensor], key: str, rank: int) -> tuple[int, ...]:
    value = state.get(key)
    if not isinstance(value, torch.Tensor):
        raise ValueError(f"not the weights of a SAM: {key!r} is missing")
    if value.ndim != rank:
        raise ValueError(f"not the weights of a SAM: {key!r} has {value.ndim} dimensions instead of {rank}")
    return tuple(value.shape)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered modules there are under `prefix`."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    numbers = {int(match.group(1)) for match in map(pattern.match, state) if match}
    if not numbers:
        raise ValueError(f"not the weights of a SAM: '{prefix}.0' is missing")
    return max(numbers) + 1
