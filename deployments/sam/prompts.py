"""Prompts to SAM: which are refused, which are answered together, and the tensors they become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deployments.errors import InvalidInput
from deployments.messages import Embedding, Prompt

if TYPE_CHECKING:
    from segment_anything.modeling import PromptEncoder


def check(prompts: Sequence[Prompt], source_size: tuple[int, int]) -> None:
    """Raise InvalidInput, naming the field, where a prompt marks nothing in a picture.

    `source_size` is the picture's height and width.
    """
    if not prompts:
        raise InvalidInput("`points` or `box` is required: segmenting needs at least one prompt.", "points")
    for prompt in prompts:
        if not prompt.points_xy and prompt.box_xyxy is None:
            # SAM was trained with rough masks beside these only; alone they tell it next to nothing.
            raise InvalidInput("`points` or `box` is required: a prompt needs at least one point or a box.", "points")
        _check_points(prompt, source_size)
        _check_box(prompt, source_size)
        _check_rough(prompt)


def by_form(prompts: Sequence[Prompt]) -> list[list[int]]:
    """Return the indices of `prompts`, grouped by form: their number of points, box, rough mask, and several answers.

    SAM takes prompts of one form in one call. Those of several could be filled up with points that are none (label
    -1), but the decoder attends to these too, and would answer otherwise than segment-anything's own predictor.
    """
    forms: dict[tuple[int, bool, bool, bool], list[int]] = {}
    for index, prompt in enumerate(prompts):
        form = len(prompt.points_xy), prompt.box_xyxy is not None, prompt.rough is not None, prompt.several
        forms.setdefault(form, []).append(index)
    return list(forms.values())


def embed(encoder: PromptEncoder, prompts: Sequence[Prompt], embedding: Embedding) -> tuple[Tensor, Tensor]:
    """Return P prompts of one form as the decoder takes them: PxNxC for points and boxes, PxCxGxG for rough masks."""
    device = encoder.no_mask_embed.weight.device
    points, boxes, rough = None, None, None
    if prompts[0].points_xy:
        labels = torch.tensor([prompt.labels for prompt in prompts], dtype=torch.int, device=device)
        points = _fitted(np.array([prompt.points_xy for prompt in prompts]), embedding, device), labels
    if prompts[0].box_xyxy is not None:
        corners = np.array([prompt.box_xyxy for prompt in prompts]).reshape(-1, 2, 2)
        boxes = _fitted(corners, embedding, device).flatten(1)
    if prompts[0].rough is not None:
        rough = torch.stack([_low_res_logits(encoder, prompt.rough, embedding) for prompt in prompts]).to(device)
    sparse, dense = encoder(points=points, boxes=boxes, masks=rough)
    return sparse, dense


def low_res_size(encoder: PromptEncoder, embedding: Embedding) -> tuple[int, int]:
    """Return the (rows, columns) of the decoder's masks that show some of the picture; the others show its padding."""
    height, width = embedding.model_size
    rows, columns = encoder.mask_input_size
    side = encoder.input_image_size[0]
    return -(-height * rows // side), -(-width * columns // side)


def _fitted(points_xy: np.ndarray, embedding: Embedding, device: torch.device) -> Tensor:
    """Return points (PxNx2) in pixels of the picture as it was resized for SAM: PxNx2 float32."""
    (source_height, source_width), (height, width) = embedding.source_size, embedding.model_size
    scale = np.array([width / source_width, height / source_height])
    return torch.from_numpy(points_xy * scale).to(device, torch.float32)


def _low_res_logits(encoder: PromptEncoder, rough: np.ndarray | None, embedding: Embedding) -> Tensor:
    """Return a rough mask in the form of SAM's own: 1xMxM, with the padding at the right and at the bottom.

    SAM's own logits are as low in the padding as on the ground around a thing, so the padding gets the map's lowest.
    """
    logits = torch.from_numpy(np.array(rough))[None, None]
    size = low_res_size(encoder, embedding)
    shown = functional.interpolate(logits, size, mode="bilinear", align_corners=False, antialias=True)
    rows, columns = encoder.mask_input_size
    missing = (0, columns - size[1], 0, rows - size[0])
    return functional.pad(shown[0], missing, value=min(0.0, float(logits.min())))


def _check_points(prompt: Prompt, source_size: tuple[int, int]) -> None:
    height, width = source_size
    if any(len(point) != 2 or not (0 <= point[0] < width and 0 <= point[1] < height) for point in prompt.points_xy):
        raise InvalidInput(f"`points` must be (x, y) with x in 0..{width - 1} and y in 0..{height - 1}.", "points")
    if len(prompt.points_xy) != len(prompt.labels):
        raise InvalidInput("`labels` must be as many as `points`, one for each.", "labels")
    if not set(prompt.labels) <= {0, 1}:
        raise InvalidInput("`labels` must be 1 (on it) or 0 (not on it).", "labels")


def _check_box(prompt: Prompt, source_size: tuple[int, int]) -> None:
    height, width = source_size
    box = prompt.box_xyxy
    if box is None:
        return
    if len(box) != 4 or not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise InvalidInput(
            f"`box` must be (left, top, right, bottom) within 0, 0, {width}, {height}, and not empty.", "box"
        )


def _check_rough(prompt: Prompt) -> None:
    rough = prompt.rough
    if rough is None:
        return
    if rough.ndim != 2 or not rough.size or rough.dtype != np.float32 or not np.isfinite(rough).all():
        raise InvalidInput("`rough` must be a grid of finite float32 logits.", "rough")
