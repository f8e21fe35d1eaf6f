"""Around the loading of a model in a replica: its share of the GPU, its seconds, and what the log says of it."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("ray.serve")  # of this one Serve shows more than warnings


@contextmanager
def loading(stage: str) -> Iterator[Callable[[], None]]:
    """Import what the model of `stage` needs inside of this, call what is yielded, and load the model.

    The call keeps the process to its share of the GPU. The log gets a line with the seconds of both, or with the
    failure: Serve logs a traceback of some fifty lines for each attempt, and whoever watches the terminal needs the one
    sentence.
    """
    start = time.monotonic()
    imported = start

    def on_imported() -> None:
        nonlocal imported
        imported = time.monotonic()
        limit_gpu_memory()

    try:
        with _no_garbage_collection():
            yield on_imported
    except Exception as error:
        logger.error("%s cannot start: %s", stage, error)
        raise
    libraries_s, model_s = imported - start, time.monotonic() - imported
    logger.info(
        "%s is loaded after %.1f s: libraries %.1f s, model %.1f s.", stage, libraries_s + model_s, libraries_s, model_s
    )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Look for no garbage meanwhile, and in a replica for none ever in what is then there.

    Half a million objects come with the libraries and stay. To look through them takes a sixth of their import, and
    later half a second each time, in which the replica answers nobody.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        if _in_replica():
            gc.freeze()
    finally:
        if was_on:
            gc.enable()


def limit_gpu_memory() -> None:
    """Keep this process to its share of the GPU's memory.

    Ray's GPU fractions only place replicas; nothing stops one of them from taking the memory of the others. Call
    before a model is loaded. Does nothing outside of a Ray actor, without a GPU, or where the replica has whole ones.
    """
    take_share(replica_share())


def replica_share() -> float:
    """Return how much of a GPU Ray has promised this replica; 0 outside of a Ray actor."""
    if not _in_replica():
        return 0.0
    return float(sys.modules["ray"].get_runtime_context().get_assigned_resources().get("GPU", 0))


def take_share(share: float) -> None:
    """Let this process have at most `share` of the GPU's memory: what is beyond it fails here, and harms nobody else.

    Does nothing without a GPU, or unless the share is a fraction of one.
    """
    import torch

    if 0 < share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def _in_replica() -> bool:
    """Return whether this process belongs to a Ray actor."""
    ray = sys.modules.get("ray")  # whoever runs in an actor has it loaded, and nobody else needs it here
    return ray is not None and ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
