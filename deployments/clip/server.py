"""The CLIP deployment: finds what a text names, and scores how well a text describes a picture."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deployments.config import ClipSettings, ModelArgs
from deployments.messages import ScoreRequest, Search, SearchRequest, Span, ViewsRequest
from deployments.serving.batching import Batcher
from deployments.serving.metrics import Recorder, batches, recorder, result
from deployments.serving.placement import loading


class ClipServer:
    """The stage that finds and scores.

    Two batchers share one model: a score need not wait for a batch of searches, nor the other way round.
    """

    def __init__(self, args: dict[str, Any] | ModelArgs, metrics: Recorder | None = None) -> None:
        self._metrics = metrics = metrics or recorder()
        with loading("clip") as imported:
            # torch and transformers take seconds to import; only the replica that runs the model pays for them.
            from deployments.clip.model import ClipMatcher

            imported()
            self._matcher = ClipMatcher.load(ModelArgs.model_validate(args), metrics)
        self._settings = ClipSettings()
        self._locating: Batcher[SearchRequest, Search] = Batcher(
            self._locate, self._settings, batches(metrics, "clip", "locate")
        )
        self._scoring: Batcher[ScoreRequest, float] = Batcher(
            self._matcher.score, self._settings, batches(metrics, "clip", "score")
        )

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take new `ClipSettings`, from the next batch on.

        Pydantic's ValidationError names a setting that is not allowed.
        """
        self._settings = ClipSettings.model_validate(user_config)
        self._locating.reconfigure(self._settings)
        self._scoring.reconfigure(self._settings)

    async def locate(self, request: SearchRequest) -> Search:
        """Return where in the picture each phrase is.

        A map's `found` is False where nothing in the picture matches well enough.
        """
        start = time.time()
        with result(self._metrics, "clip", "locate"):
            search = await self._locating.submit(request)
        return replace(search, spans=(Span("clip.locate", start, time.time()),))

    async def score(self, request: ScoreRequest) -> float:
        """Return the cosine of picture and text, -1..1."""
        with result(self._metrics, "clip", "score"):
            return await self._scoring.submit(request)

    async def score_views(self, request: ViewsRequest) -> list[float]:
        """Return the cosine of each view and the text, -1..1. They share batches with the views of other requests."""
        with result(self._metrics, "clip", "score"):
            each = (ScoreRequest(view, request.text, request.param) for view in request.views)
            return await asyncio.gather(*map(self._scoring.submit, each))

    def check_health(self) -> None:
        """Raise RuntimeError when one of the two batchers would never answer again."""
        self._locating.check_health()
        self._scoring.check_health()

    def _locate(self, requests: Sequence[SearchRequest]) -> list[Search | Exception]:
        # One reading of the settings for the whole batch: they may change while it runs.
        return self._matcher.locate(requests, self._settings)
