"""What CLIP's vision tower sees in pictures: unit vectors of the patches of their views. Free of Ray.

A picture is looked at in parts (`clip/views.py`). What was seen is remembered, so that another phrase for the same
picture costs no second look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from transformers import CLIPImageProcessorPil, CLIPModel

from deployments.clip import dense, views
from deployments.config import ClipSettings
from deployments.serving.caching import Lru, digest
from deployments.serving.metrics import Recorder, lookups
from deployments.serving.side_by_side import side_by_side

VIEWS_PER_PASS = 32  # through the vision tower; more would only need more memory
REMEMBERED = 16  # pictures
REMEMBERED_BYTES = 256 * 2**20  # and fewer where the model's features are large; 4 MiB each with ViT-B/32 at two scales

_Result = TypeVar("_Result")

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
        looks = self._looks({key: image for key, image in images.items() if key not in seen}, settings.squares)
        seen |= {key: look for key, look in looks.items() if isinstance(look, Exception)}
        cut = {key: look for key, look in looks.items() if isinstance(look, Look)}
        patches = self._patches([look.pixels for look in cut.values()], settings.method)
        for (key, look), features in zip(cut.items(), patches, strict=True):
            # A copy of its own: a slice would keep the whole batch in memory as long as it is remembered.
            seen[key] = fresh = PictureFeatures(features.clone(), look.plan)
            self._remembered.keep(key, fresh)
        return seen

    def _looks(self, images: Mapping[Key, np.ndarray], squares: Sequence[int]) -> Mapping[Key, Look | Exception]:
        """Cut each picture, HxWx3 uint8, into views, all levels of all pictures side by side."""
        plans = {key: _tried(self._plan, image, squares) for key, image in images.items()}
        levels = [
            (images[key], level)
            for key, plan in plans.items()
            if isinstance(plan, views.ViewPlan)
            for level in plan.levels
        ]
        cut = iter(side_by_side(lambda each: _tried(views.cut, *each, self._side), levels))
        return {
            key: _look(list(islice(cut, len(plan.levels))), plan) if isinstance(plan, views.ViewPlan) else plan
            for key, plan in plans.items()
        }

    def _plan(self, image: np.ndarray, squares: Sequence[int]) -> views.ViewPlan:
        height, width = image.shape[:2]
        return views.plan((width, height), self._side, self._patch, squares)

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


def _tried(work: Callable[..., _Result], *args: Any) -> _Result | Exception:
    """Return what `work` returns or raises: the other pictures have no part in it."""
    try:
        return work(*args)
    except Exception as error:
        return error


def _look(levels: Sequence[np.ndarray | Exception], plan: views.ViewPlan) -> Look | Exception:
    """Return the views of a picture's levels together, or what went wrong with the first that could not be cut."""
    for level in levels:
        if isinstance(level, Exception):
            return level
    cut = np.concatenate([level for level in levels if isinstance(level, np.ndarray)])
    return Look(torch.from_numpy(cut).permute(0, 3, 1, 2), plan)
