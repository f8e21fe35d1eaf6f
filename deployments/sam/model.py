"""SAM: pictures to embeddings, embeddings and prompts to masks.

The maths is that of segment-anything's `SamPredictor`, without its current image: `encode` and `decode`
share nothing but the weights, so any number of requests can be under way at once.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from deployments.config import POCKET, POCKET_WEIGHTS, ModelArgs
from deployments.errors import InvalidInput
from deployments.messages import Embedding, Masks, SegmentRequest
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
        """The masks that `request` (in pixels of the source picture) may mean, best guess first.

        A single point is ambiguous and gets all candidates; a box or several points get SAM's one mask
        for unambiguous prompts, as segment-anything advises for `multimask_output`.
        """
        _check_prompts(request)
        features = torch.from_numpy(np.array(embedding.features, np.float32)).to(self._device)[None]
        points, boxes = self._prompts(embedding, request)
        sparse, dense = self._sam.prompt_encoder(points=points, boxes=boxes, masks=None)
        low_res, scores = self._sam.mask_decoder(
            image_embeddings=features,
            image_pe=self._sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=len(request.points_xy) == 1 and request.box_xyxy is None,
        )
        logits = self._sam.postprocess_masks(low_res, embedding.model_size, embedding.source_size)[0]
        order = scores[0].argsort(descending=True, stable=True)
        masks = logits > self._sam.mask_threshold
        return Masks(masks[order].cpu().numpy(), scores[0][order].float().cpu().numpy())

    def _prompts(
        self, embedding: Embedding, request: SegmentRequest
    ) -> tuple[tuple[torch.Tensor, torch.Tensor] | None, torch.Tensor | None]:
        """Points 1xNx2 with labels 1xN, and the box 1x4, in pixels of the fitted picture; None for none."""
        (source_height, source_width), (height, width) = embedding.source_size, embedding.model_size
        scale = np.array([width / source_width, height / source_height])
        points, boxes = None, None
        if request.points_xy:
            points_xy = torch.from_numpy(np.array(request.points_xy) * scale).to(self._device, torch.float32)
            labels = torch.tensor(request.labels, dtype=torch.int, device=self._device)
            points = (points_xy[None], labels[None])
        if request.box_xyxy is not None:
            corners = np.array(request.box_xyxy).reshape(2, 2) * scale
            boxes = torch.from_numpy(corners.reshape(1, 4)).to(self._device, torch.float32)
        return points, boxes


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


def _check_prompts(request: SegmentRequest) -> None:
    if not request.points_xy and request.box_xyxy is None:
        raise InvalidInput("Segmenting needs at least one point or a box.", "points")
    if len(request.points_xy) != len(request.labels):
        raise InvalidInput("Each point needs one label.", "labels")
    if not set(request.labels) <= {0, 1}:
        raise InvalidInput("A point's label is 1 (on it) or 0 (not on it).", "labels")


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


def _read_state(path: Path) -> dict[str, torch.Tensor]:
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
