"""SAM: pictures to embeddings, embeddings and prompts to masks.

The maths is that of segment-anything's `SamPredictor`, without its current image: `encode` and `decode`
share nothing but the weights, so any number of requests can be under way at once.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deployments.config import POCKET, POCKET_WEIGHTS, ModelArgs
from deployments.messages import Embedding, Masks, PackedMask, Prompt, SegmentRequest
from deployments.sam import prompts
from deployments.sam.architecture import build_sam

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

CHECKPOINTS_PAGE = "https://github.com/facebookresearch/segment-anything#model-checkpoints"
WANTED = f"a .pth file from {CHECKPOINTS_PAGE}, the same as .safetensors, or {POCKET!r}"


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

    @classmethod
    def load(cls, args: ModelArgs) -> SamSegmenter:
        """The SAM that `args` names; ValueError names the setting that cannot be used and what it wants."""
        path = _weights_path(args)
        device = _device(args.device)
        try:
            sam = build_sam(_read_state(path))
        except ValueError as error:
            raise ValueError(f"sam.model: {path.name} cannot be used: {error}; it wants {WANTED}") from None
        return cls(sam, device, getattr(torch, args.dtype))

    @torch.inference_mode()
    def encode(self, images: list[np.ndarray]) -> list[Embedding]:
        """One encoder call for all `images` (HxWx3 uint8 RGB, each of its own size)."""
        fitted = [fit_longest_side(image, self._side) for image in images]
        pixels = [torch.from_numpy(image).to(self._device).permute(2, 0, 1) for image in fitted]
        batch = torch.stack([self._sam.preprocess(picture) for picture in pixels])
        features = self._sam.image_encoder(batch.to(self._dtype)).float().cpu().numpy()
        return [
            # A copy of its own: a slice would keep the whole batch in memory as long as it lives.
            Embedding(one.copy(), image.shape[:2], small.shape[:2])
            for one, image, small in zip(features, images, fitted, strict=True)
        ]

    @torch.inference_mode()
    def decode(self, embedding: Embedding, request: SegmentRequest) -> Masks:
        """What the prompts of `request` (in pixels of the source picture) may mean, each asked for itself."""
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
        """For each prompt, the logits (kxMxM) of its masks and SAM's guess (k) of their IoU, best first."""
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
        """The mask of one answer (MxM); one, because logits of a large picture's size are large."""
        full = self._sam.postprocess_masks(logits[None, None], embedding.model_size, embedding.source_size)
        return PackedMask.of((full[0, 0] > self._sam.mask_threshold).cpu().numpy())


def fitted_size(source_size: tuple[int, int], side: int) -> tuple[int, int]:
    """(height, width) scaled so that the longest is `side`, rounded as segment-anything rounds it.

    Where that gives 0 (a sliver of a picture), 1.
    """
    scale = side * 1.0 / max(source_size)
    return max(1, int(source_size[0] * scale + 0.5)), max(1, int(source_size[1] * scale + 0.5))


def fit_longest_side(image: np.ndarray, side: int) -> np.ndarray:
    """HxWx3 uint8 to hxwx3 uint8 with longest side `side`.

    What segment-anything's ResizeLongestSide.apply_image does: torchvision resizes PIL pictures by PIL's
    own bilinear filter, which widens when it shrinks.
    """
    height, width = fitted_size(image.shape[:2], side)
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _weights_path(args: ModelArgs) -> Path:
    if args.revision is not None:
        raise ValueError("sam.revision: SAM's weights are a local file, which has no revisions; leave it out")
    if args.model == POCKET:
        return POCKET_WEIGHTS / "sam.pth"
    path = Path(args.model).expanduser()
    if path.is_dir():
        raise ValueError(f"sam.model: {path.name} is a folder; it wants {WANTED}")
    if not path.is_file():
        raise ValueError(f"sam.model: no file {path.name}; it wants {WANTED}")
    return path


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"sam.device: {name!r} is no device; it wants auto, cpu, cuda or cuda:0") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"sam.device: {name!r} is asked for, but torch sees no GPU; auto takes what there is")
    return device


def _read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a .pth (plain tensors only) or .safetensors file; ValueError when it holds none."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, OSError):
        # Their messages tell of archives and opcodes; the caller needs to know that the file is wrong.
        raise ValueError("it cannot be read as a file of plain tensors") from None
    if not isinstance(state, dict):
        raise ValueError("it holds no state dict")
    return state
