"""SAM as a deployment: batches of encodings, decodings, and a cache between them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deployments.config import ModelArgs, SamSettings
from deployments.messages import Embedding, Masks, SegmentRequest, Span
from deployments.serving.batching import Batcher
from deployments.serving.caching import SharedCache, digest
from deployments.serving.metrics import Recorder, batches, lookups, recorder, result
from deployments.serving.placement import loading

if TYPE_CHECKING:
    import numpy as np


class SamServer:
    """The stage that cuts out: `encode` a picture while its target is still being looked for, then `segment` it.

    The two calls are apart so that the encoding, which costs nearly everything, needs no prompt. `cache_entries`
    embeddings are kept, 4 MiB each with the published models.
    """

    def __init__(
        self, args: ModelArgs | dict[str, Any], cache_entries: int = 32, metrics: Recorder | None = None
    ) -> None:
        with loading("sam") as imported:
            # Here and not above: whoever only builds the graph needs no torch.
            from deployments.sam.model import SamSegmenter

            imported()
            self._segmenter = SamSegmenter.load(ModelArgs.model_validate(args))
        self._metrics = metrics = metrics or recorder()
        self._embeddings: SharedCache[Embedding] = SharedCache(cache_entries, lookups(metrics, "sam", "embeddings"))
        settings = SamSettings()
        self._encoder: Batcher[np.ndarray, Embedding] = Batcher(
            self._segmenter.encode, settings, batches(metrics, "sam", "encode")
        )
        self._decoder: Batcher[tuple[Embedding, SegmentRequest], Masks] = Batcher(
            self._decode_each, settings, batches(metrics, "sam", "segment")
        )

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take new `SamSettings`, from the next batch on."""
        settings = SamSettings.model_validate(user_config)
        self._encoder.reconfigure(settings)
        self._decoder.reconfigure(settings)

    def check_health(self) -> None:
        """Raise RuntimeError when one of the batchers would never serve again."""
        self._encoder.check_health()
        self._decoder.check_health()

    async def encode(self, image: np.ndarray) -> Embedding:
        """Return the embedding of `image` (HxWx3 uint8 RGB), remembered by its pixels."""
        start = time.time()
        with result(self._metrics, "sam", "encode"):
            key = await asyncio.to_thread(digest, image)
            embedding = await self._embeddings.get(key, lambda: self._encoder.submit(image))
        return replace(embedding, spans=(Span("sam.encode", start, time.time()),))

    async def segment(self, embedding: Embedding, request: SegmentRequest) -> Masks:
        """Return masks for the prompts of `request` in the picture of `embedding`."""
        start = time.time()
        with result(self._metrics, "sam", "segment"):
            masks = await self._decoder.submit((embedding, request))
        return replace(masks, spans=(*embedding.spans, Span("sam.segment", start, time.time())))

    async def cut_out(self, image: np.ndarray, request: SegmentRequest) -> Masks:
        """Return masks for the prompts of `request` in `image` (HxWx3 uint8 RGB): both of the above in one call."""
        return await self.segment(await self.encode(image), request)

    def _decode_each(self, items: list[tuple[Embedding, SegmentRequest]]) -> list[Masks | Exception]:
        """Decode one item after another: prompts and pictures differ in size, and the decoder takes milliseconds."""
        return [self._decode(embedding, request) for embedding, request in items]

    def _decode(self, embedding: Embedding, request: SegmentRequest) -> Masks | Exception:
        try:
            return self._segmenter.decode(embedding, request)
        except Exception as error:  # it belongs to this item alone
            return error
