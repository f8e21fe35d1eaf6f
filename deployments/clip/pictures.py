"""What CLIP's vision tower sees in pictures: unit vectors of the patches of their views. Free of Ray.

A picture is looked at in parts (`clip/views.py`). What was seen is remembered, so that another phrase for the same
picture costs no second look.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from transformers import CLIPImageProcessorPil, CLIPModel

from deployments.clip import dense, views
from deployments.config import ClipSettings
from deployments.serving.caching import Lru, digest
from deployments.serving.metrics import Recorder, lookups

VIEWS_PER_PASS = 32  # through the vision tower; more would only need more memory
REMEMBERED = 16  # pictures
REMEMBERED_BYTES = 256 * 2**20  # and fewer where the model's features are large; 4 MiB each with ViT-B/32 at two scales

Key = tuple[str, dense.Method, tuple[int, ...]]  # digest of the pixels, method, scales


@dataclass(frozen=True, eq=False)
class Look:
    """All views of one picture, before the model has seen them: `pixels` Vx3xPxP uint8."""

    pixels: torch.Tensor
    plan: views.ViewPlan


@dataclass(frozen=True, eq=False)
class PictureFeatures:
    """The features of one picture: `features` VxghxgwxD float32 unit vectors of the patches of its V views."""

    features: torch.Tensor
    plan: views.ViewPlan


class PictureEncoder:
    """The vision tower of a CLIP model, for patches. Safe to use from several threads."""

    def __init__(self, model: CLIPModel, processor: CLIPImageProcessorPil, metrics: Recorder) -> None:
        self._model = model
        self._side = model.config.vision_config.image_size
        self._patch = model.config.vision_config.patch_size
        self._mean = torch.tensor(processor.image_mean, device=model.device).view(3, 1, 1)
        self._deviation = torch.tensor(processor.image_std, device=model.device).view(3, 1, 1)
        self._remembered: Lru[Key, PictureFeatures] = Lru(self._memory(), lookups(metrics, "clip", "pictures"))
        self._cutting = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="cut")

    def features_of(self, images: Sequence[np.ndarray], settings: ClipSettings) -> list[PictureFeatures | Exception]:
        """Return the features of each picture, HxWx3 uint8; one that cannot be looked at gives its own exception.

        Those that are not remembered go through the vision tower together, equal ones once.
        """
        keys = [(digest(image), settings.method, settings.squares) for image in images]
        seen = self._see(dict(zip(keys, images, strict=True)), settings)
        return [seen[key] for key in keys]

    def _see(
        self, images: Mapping[Key, np.ndarray], settings: ClipSettings
    ) -> Mapping[Key, PictureFeatures | Exception]:
        remembered = {key: self._remembered.find(key) for key in images}
        seen: dict[Key, PictureFeatures | Exception] = {key: known for key, known in remembered.items() if known}
        # Side by side: Pillow lets go of Python's lock while it resizes, which is most of the work before a GPU's.
        cutting = {
            key: self._cutting.submit(self._look, image, settings.squares)
            for key, image in images.items()
            if key not in seen
        }
        seen |= {key: error for key, cut in cutting.items() if isinstance(error := cut.exception(), Exception)}
        looks = {key: cut.result() for key, cut in cutting.items() if key not in seen}
        patches = self._patches([look.pixels for look in looks.values()], settings.method)
        for (key, look), features in zip(looks.items(), patches, strict=True):
            # A copy of its own: a slice would keep the whole batch in memory as long as it is remembered.
            seen[key] = fresh = PictureFeatures(features.clone(), look.plan)
            self._remembered.keep(key, fresh)
        return seen

    def _look(self, image: np.ndarray, squares: Sequence[int]) -> Look:
        """Cut a picture, HxWx3 uint8, into views."""
        height, width = image.shape[:2]
        plan = views.plan((width, height), self._side, self._patch, squares)
        return Look(torch.from_numpy(views.cut(image, plan.levels, self._side)).permute(0, 3, 1, 2), plan)

    def _patches(self, pixels: Sequence[torch.Tensor], method: dense.Method) -> Iterator[torch.Tensor]:
        """Return unit vectors, VxghxgwxD float32, for each Vx3xPxP uint8, all through the vision tower together."""
        if not pixels:
            return iter(())
        made = [self._patches_of(chunk, method) for chunk in torch.cat(list(pixels)).split(VIEWS_PER_PASS)]
        return iter(torch.cat(made).split([len(one) for one in pixels]))

    def _patches_of(self, pixels: torch.Tensor, method: dense.Method) -> torch.Tensor:
        # Bytes go to the device, where a GPU makes numbers of them in no time: a CPU takes longer than the model there.
        normalised = (pixels.to(self._model.device) / 255 - self._mean) / self._deviation
        return dense.patch_features(self._model, normalised.to(self._model.dtype), method)

    def _memory(self) -> int:
        """Return how many pictures can be remembered, if each needs as many windows as a scale may have."""
        patches = views.MAX_WINDOWS * (self._side // self._patch) ** 2
        return max(1, min(REMEMBERED, REMEMBERED_BYTES // (4 * patches * self._model.config.projection_dim)))
