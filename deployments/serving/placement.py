"""Around the loading of a model in a replica: its share of the GPU, and a plain word in the log where it fails."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def loading(stage: str) -> Iterator[None]:
    """Load the model of `stage` inside of this: within the replica's share of the GPU, and with its failure in the log.

    Serve logs a traceback of some fifty lines for each attempt. Whoever watches the terminal needs the one sentence.
    """
    limit_gpu_memory()
    try:
        yield
    except Exception as error:
        logger.error("%s cannot start: %s", stage, error)
        raise


def limit_gpu_memory() -> None:
    """Keep this process to its share of the GPU's memory.

    Ray's GPU fractions only place replicas; nothing stops one of them from taking the memory of the others. Call
    before a model is loaded. Does nothing outside of a Ray actor, without a GPU, or where the replica has whole ones.
    """
    take_share(replica_share())


def replica_share() -> float:
    """Return how much of a GPU Ray has promised this replica; 0 outside of a Ray actor."""
    ray = sys.modules.get("ray")  # whoever runs in an actor has it loaded, and nobody else needs it here
    if ray is None or not ray.is_initialized():
        return 0.0
    context = ray.get_runtime_context()
    return 0.0 if context.get_actor_id() is None else float(context.get_assigned_resources().get("GPU", 0))


def take_share(share: float) -> None:
    """Let this process have at most `share` of the GPU's memory: what is beyond it fails here, and harms nobody else.

    Does nothing without a GPU, or unless the share is a fraction of one.
    """
    import torch

    if 0 < share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)
