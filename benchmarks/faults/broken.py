"""The graph with models that break when they are asked to: by a file that appears, or by a request that is marked.

    import_path: benchmarks.faults.broken:build_app

The product's own code is unchanged: what breaks is a subclass here, or the rows of a step, which one replaces.
"""

# No `from __future__ import annotations` here: Serve reads the class of `build_app`'s parameter at run time.
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from ray.serve import Application

import graph
from benchmarks.faults.cluster import ORDERS
from deployments.clip.server import ClipServer
from deployments.config import GraphArgs, InpaintArgs
from deployments.inpaint.server import InpaintServer
from deployments.messages import Search, SearchRequest
from deployments.serving.metrics import Recorder

OUT_OF_MEMORY = "out-of-memory"  # a step of several pictures finds no memory, once
WEDGED = "wedged"  # a step never returns, once
SHARED = "shared-"  # with the stage behind it: a marked request was in one batch with others
MARKED_TARGET = "marked thing"
MARKED_STEPS = 6


def folder() -> Path:
    """Return the folder through which the faults are ordered."""
    return Path(os.environ[ORDERS])


class BreakableClip(ClipServer):
    """Fails for a whole batch in which a marked target is looked for."""

    def _locate(self, requests: Sequence[SearchRequest]) -> list[Search | Exception]:
        if any(MARKED_TARGET in phrase for request in requests for phrase in request.phrases):
            _report("clip", len(requests))
            raise ValueError("a marked request")
        return super()._locate(requests)


class BreakableInpaint(InpaintServer):
    """Paints with rows that may break."""

    def __init__(self, args: dict[str, Any] | InpaintArgs, metrics: Recorder | None = None) -> None:
        from deployments.inpaint import lane

        self._broken = mock.patch.object(lane, "Rows", breakable_rows())
        self._broken.start()
        super().__init__(args, metrics)


def breakable_rows() -> type:
    """Return the class of a step's rows that may break; only a replica that paints imports torch for it."""
    import torch

    from deployments.inpaint.rows import Rows

    class BreakableRows(Rows):
        def predict(self) -> list[torch.Tensor]:
            if len(self.paintings) > 1 and _ordered(OUT_OF_MEMORY):
                raise torch.OutOfMemoryError("a fault was ordered")
            if _ordered(WEDGED):
                threading.Event().wait()
            if any(painting.steps == MARKED_STEPS for painting in self.paintings):
                _report("inpaint", len(self.paintings))
                raise ValueError("a marked request")
            return super().predict()

    return BreakableRows


def build_app(args: GraphArgs) -> Application:
    """Return the graph with the two models that may break."""
    with mock.patch.multiple(graph, ClipServer=BreakableClip, InpaintServer=BreakableInpaint):
        return graph.build_app(args)


def build_unchecked(args: GraphArgs) -> Application:
    """Return the product's graph without its look at the files: as where they are damaged after that."""
    return graph.build(args)


def _ordered(fault: str) -> bool:
    """Return whether that fault was ordered, and take the order."""
    try:
        (folder() / fault).unlink()
    except FileNotFoundError:
        return False
    return True


def _report(stage: str, together: int) -> None:
    if together > 1:
        (folder() / f"{SHARED}{stage}").touch()
