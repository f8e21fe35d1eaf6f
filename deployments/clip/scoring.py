"""Image embeddings of what is scored, remembered. Free of Ray."""

from __future__ import annotations

from collections.abc import Callable

import torch

from deployments.clip import dense
from deployments.serving.caching import Lru, OnLookup, digest

MAX_CACHED_VIEWS = 1024  # a few KiB each


class Views:
    """Image embeddings of views as the model sees them. Safe to share between threads.

    `embed` maps nx3xPxP pixels to nxD. Another edit of the same picture scores it once more as it was; it is the pixels
    after the preprocessing that are compared, because the picture itself may be a hundred times as large.
    """

    def __init__(
        self,
        embed: Callable[[torch.Tensor], torch.Tensor],
        on_lookup: OnLookup | None = None,
        max_cached: int = MAX_CACHED_VIEWS,
    ) -> None:
        self._embed = embed
        self._known: Lru[str, torch.Tensor] = Lru(max_cached, on_lookup)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """nxD float32 unit vectors of nx3xPxP. All views not yet known share one pass of the model."""
        names = [digest(view.numpy()) for view in pixels]
        views = dict(zip(names, pixels, strict=True))
        known = {name: self._known.find(name) for name in views}
        missing = [name for name, vector in known.items() if vector is None]
        if missing:
            made = dense.unit(self._embed(torch.stack([views[name] for name in missing])))
            for name, vector in zip(missing, made, strict=True):
                known[name] = vector
                self._known.keep(name, vector.clone())
        return torch.stack([vector for name in names if (vector := known[name]) is not None])
