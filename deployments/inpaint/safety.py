"""The checkpoint's own safety checker: tells which pictures must not be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPImageProcessorPil

from deployments.config import ModelArgs
from deployments.inpaint.checkpoint import refuse_checker


class SafetyChecker:
    """Stable Diffusion's safety checker: a CLIP that compares a picture with concepts, each with a threshold."""

    def __init__(self, checker: StableDiffusionSafetyChecker, processor: CLIPImageProcessorPil) -> None:
        self._checker = checker
        self._processor = processor

    @classmethod
    def load(cls, source: str | Path, args: ModelArgs, device: str) -> SafetyChecker | None:
        """Load the checker of a hub id or a local diffusers directory; return None where the checkpoint has none.

        Raises SettingError where there is one that cannot be relied on.
        """
        revision = {"revision": args.revision}
        index: dict[str, Any] = StableDiffusionInpaintPipeline.load_config(source, **revision)
        if not (index.get("safety_checker") or (None,))[0]:
            return None
        try:
            checker, report = StableDiffusionSafetyChecker.from_pretrained(
                source,
                subfolder="safety_checker",
                variant=args.variant,
                dtype=getattr(torch, args.dtype),
                use_safetensors=True,
                output_loading_info=True,
                **revision,
            )
            processor = CLIPImageProcessorPil.from_pretrained(source, subfolder="feature_extractor", **revision)
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise refuse_checker(args.model) from error
        if report["missing_keys"]:  # transformers makes them up
            raise refuse_checker(args.model)
        return cls(checker.to(device).eval().requires_grad_(False), processor)

    @torch.inference_mode()
    def objects_to(self, picture: np.ndarray) -> bool:
        """Return whether `picture`, HxWx3 uint8 as the model painted it, must not be shown. It is not changed."""
        seen = self._processor([Image.fromarray(picture)], return_tensors="pt").pixel_values
        clip_input = seen.to(self._checker.device, self._checker.dtype)
        # The checker blackens what it is given.
        _, objections = self._checker(images=[picture.copy()], clip_input=clip_input)
        return bool(objections[0])
