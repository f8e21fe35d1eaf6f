"""SAM: pictures to embeddings, embeddings and prompts to masks.

The maths is that of segment-anything's `SamPredictor`, without its current image: `encode` and `decode`
share nothing but the weights, so any number of requests can be under way at once.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deployments.config import ModelArgs
from deployments.errors import OtherWeights
from deployments.messages import Embedding, Masks, PackedMask, Prompt, SegmentRequest
from deployments.sam import checkpoint, prompts
from deployments.sam.architecture import build_sam
from deployments.serving.checkpoints import devices
from deployments.serving.checkpoints.identity import weights_id
from deployments.serving.checkpoints.source import ModelSource
from deployments.serving.side_by_side import side_by_side

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


class SamSegmenter:
    """A loaded SAM. Safe to call from several threads.

    Only the image encoder takes `dtype`: the prompt encoder works in float32 by design, and the mask
    decoder is too small for less precision to pay.
    """

    def __init__(self, sam: Sam, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._sam = sam.to(device).eval().requires_grad_(False)
        self._sam.image_encoder.to(dtype)
        self._device = device
        self._dtype = dtype
        self._side = int(sam.image_encoder.img_size)
        self._weights = weights_id(self._sam)

    @classmethod
    def load(cls, args: ModelArgs) -> SamSegmenter:
        """Return the SAM that `args` names. Raises SettingError, naming the setting that cannot be used and why."""
        source = checkpoint.check(args)
        device = devices.chosen("sam.device", args.device)
        with source.asked.explained():
            sam = build_sam(_read_state(source))
        return cls(sam, device, getattr(torch, args.dtype))

    @torch.inference_mode()
    def encode(self, images: list[np.ndarray]) -> list[Embedding]:
        """Return the embedding of each of `images` (HxWx3 uint8 RGB, any size), from one call of the encoder."""
        fitted = side_by_side(lambda image: fit_longest_side(image, self._side), images)
        pixels = [torch.from_numpy(image).to(self._device).permute(2, 0, 1) for image in fitted]
        batch = torch.stack([self._sam.preprocess(picture) for picture in pixels])
        features = self._sam.image_encoder(batch.to(self._dtype)).float().cpu().numpy()
        return [
            # A copy of its own: a slice would keep the whole batch in memory as long as it lives.
            Embedding(one.copy(), image.shape[:2], small.shape[:2], self._weights)
            for one, image, small in zip(features, images, fitted, strict=True)
        ]

    @torch.inference_mode()
    def decode(self, embedding: Embedding, request: SegmentRequest) -> Masks:
        """Return masks for each of the prompts, each answered on its own.

        The prompts are in pixels of the source picture. Raises OtherWeights where another SAM made the embedding.
        """
        if embedding.weights != self._weights:
            raise OtherWeights
        prompts.check(request.prompts, embedding.source_size)
        answers = self._answers(embedding, request.prompts)
        low_res = torch.cat([logits for logits, _ in answers])
        rows, columns = prompts.low_res_size(self._sam.prompt_encoder, embedding)
        return Masks(
            masks=tuple(self._full_size(logits, embedding) for logits in low_res),
            small=(low_res[:, :rows, :columns] > self._sam.mask_threshold).cpu().numpy(),
            scores=torch.cat([scores for _, scores in answers]).cpu().numpy(),
            prompts=tuple(index for index, (_, scores) in enumerate(answers) for _ in scores),
        )

    def _answers(self, embedding: Embedding, asked: Sequence[Prompt]) -> list[tuple[Tensor, Tensor]]:
        """Return for each prompt the logits (kxMxM) of its masks and SAM's guesses (k) of their IoU, best first."""
        features = torch.from_numpy(np.array(embedding.features, np.float32)).to(self._device)[None]
        answers: dict[int, tuple[Tensor, Tensor]] = {}
        for indices in prompts.by_form(asked):
            alike = [asked[index] for index in indices]
            sparse, dense = prompts.embed(self._sam.prompt_encoder, alike, embedding)
            low_res, scores = self._sam.mask_decoder(
                image_embeddings=features,
                image_pe=self._sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=alike[0].several,
            )
            order = scores.argsort(dim=1, descending=True, stable=True)
            for index, logits, guesses, best in zip(indices, low_res, scores, order, strict=True):
                answers[index] = logits[best], guesses[best]
        return [answers[index] for index in range(len(asked))]

    def _full_size(self, logits: Tensor, embedding: Embedding) -> PackedMask:
        """Return the mask of one answer (MxM logits), and not of all: logits of a large picture's size are large."""
        full = self._sam.postprocess_masks(logits[None, None], embedding.model_size, embedding.source_size)
        return PackedMask.of((full[0, 0] > self._sam.mask_threshold).cpu().numpy())


def fitted_size(source_size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (height, width) scaled so that the longest is `side`, rounded as segment-anything rounds it.

    Where that gives 0 (a sliver of a picture), it is 1.
    """
    scale = side * 1.0 / max(source_size)
    return max(1, int(source_size[0] * scale + 0.5)), max(1, int(source_size[1] * scale + 0.5))


def fit_longest_side(image: np.ndarray, side: int) -> np.ndarray:
    """Return a picture (HxWx3 uint8) resized so that its longest side is `side`: hxwx3 uint8.

    It is what segment-anything's ResizeLongestSide.apply_image does: torchvision resizes PIL pictures by PIL's
    own bilinear filter, which widens when it shrinks.
    """
    height, width = fitted_size(image.shape[:2], side)
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _read_state(source: ModelSource) -> dict[str, Tensor]:
    """Return the state dict in a .pth (plain tensors only) or .safetensors file."""
    assert source.path is not None
    try:
        if source.path.suffix == ".safetensors":
            return load_file(source.path)
        state = torch.load(source.path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        # Their messages tell of archives and opcodes; the operator needs to know that the file is wrong.
        raise source.asked.refused(f"{source.asked.value!r} cannot be read as a file of plain tensors") from error
    if not isinstance(state, dict):
        raise source.asked.refused(f"{source.asked.value!r} holds no state dict")
    return state
