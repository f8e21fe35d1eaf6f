"""The seed's way in one process, from stock parts: the baseline that every other way is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.workload import GUIDANCE_SCALE, STEPS, EditCase
from deployments.config import POCKET, POCKET_WEIGHTS, GraphArgs, ModelArgs
from deployments.messages import Point, Prompt, SegmentRequest
from deployments.sam.model import SamSegmenter


class Sequential:
    """The seed's way: stock CLIP patches, a SAM encoding and its best mask, the stock diffusers pipeline, a score.

    One process, one request after another, every part as its library has it, except that segment-anything's own
    predictor, which needs torchvision, is replaced by the same two calls.
    """

    def __init__(self, clip: Any, words: Any, pixels: Any, sam: SamSegmenter, pipeline: Any) -> None:
        self._clip = clip
        self._words = words
        self._pixels = pixels
        self._sam = sam
        self._pipeline = pipeline
        self._pipeline.set_progress_bar_config(disable=True)
        self._side = pipeline.unet.config.sample_size * pipeline.vae_scale_factor

    @classmethod
    def load(cls, args: GraphArgs) -> Sequential:
        """The models that `args` name."""
        from diffusers import StableDiffusionInpaintPipeline
        from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

        clip, inpaint = _source(args.clip, "clip"), _source(args.inpaint, "inpaint")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        pipeline = StableDiffusionInpaintPipeline.from_pretrained(
            inpaint, dtype=getattr(torch, args.inpaint.dtype), safety_checker=None, requires_safety_checker=False
        )
        return cls(
            CLIPModel.from_pretrained(clip).eval().to(device),
            AutoTokenizer.from_pretrained(clip),
            CLIPImageProcessorPil.from_pretrained(clip),
            SamSegmenter.load(args.sam),
            pipeline.to(device),
        )

    def edit(self, case: EditCase, seed: int) -> float:
        """The CLIP score of the edited picture."""
        _, mask = self.find(case.image, case.target)
        return self.score(self.paint(case.image, mask, case.prompt, seed), case.prompt)

    @torch.inference_mode()
    def find(self, image: np.ndarray, target: str) -> tuple[Point, np.ndarray]:
        """The point of the best patch, and SAM's best mask for it, HxW bool."""
        point = self._point(image, target)
        request = SegmentRequest((Prompt((point,), (1,), several=True),))
        return point, self._sam.decode(self._sam.encode([image])[0], request).masks[0].unpack()

    @torch.inference_mode()
    def paint(self, image: np.ndarray, mask: np.ndarray, prompt: str, seed: int) -> np.ndarray:
        """The whole picture, squeezed to the painter's square and back, as the pipeline gives it: HxWx3 uint8."""
        size = (self._side, self._side)
        painted = self._pipeline(
            prompt=prompt,
            image=Image.fromarray(image).resize(size),
            mask_image=Image.fromarray(mask).convert("L").resize(size),
            height=self._side,
            width=self._side,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE_SCALE,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        return np.asarray(painted.resize((image.shape[1], image.shape[0])))

    def _point(self, image: np.ndarray, target: str) -> Point:
        height, width = image.shape[:2]
        side = self._clip.config.vision_config.image_size
        squeezed = Image.fromarray(image).resize((side, side))
        pixels = self._seen(squeezed)
        tower = self._clip.vision_model
        patches = self._clip.visual_projection(tower.post_layernorm(tower(pixels).last_hidden_state[:, 1:]))[0]
        likeness = torch.nn.functional.cosine_similarity(patches, self._text(target))
        row, column = divmod(int(likeness.argmax()), int(len(likeness) ** 0.5))
        cells = len(likeness) ** 0.5
        return int((column + 0.5) / cells * width), int((row + 0.5) / cells * height)

    @torch.inference_mode()
    def score(self, picture: np.ndarray, text: str) -> float:
        """CLIP's cosine."""
        seen = self._clip.get_image_features(pixel_values=self._seen(Image.fromarray(picture))).pooler_output
        return float(torch.nn.functional.cosine_similarity(seen, self._text(text)))

    def _seen(self, picture: Image.Image) -> torch.Tensor:
        pixels: torch.Tensor = self._pixels(images=picture, return_tensors="pt")["pixel_values"]
        return pixels.to(self._clip.device, self._clip.dtype)

    def _text(self, text: str) -> torch.Tensor:
        words = self._words([text], return_tensors="pt").to(self._clip.device)
        return self._clip.get_text_features(**words).pooler_output


def _source(args: ModelArgs, pocket: str) -> str:
    return str(POCKET_WEIGHTS / pocket) if args.model == POCKET else args.model
