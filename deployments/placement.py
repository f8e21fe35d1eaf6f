"""What Ray has given this replica, held to."""

from __future__ import annotations


def limit_gpu_memory() -> None:
    """Keeps this process to its share of the GPU's memory.

    Ray's GPU fractions only place replicas; nothing stops one of them from taking the memory of the others. Call
    before a model is loaded. Does nothing outside of a Ray actor, without a GPU, or where the replica has whole ones.
    """
    import ray
    import torch

    if not ray.is_initialized() or not torch.cuda.is_available():
        return
    context = ray.get_runtime_context()
    if context.get_actor_id() is None:
        return
    share = context.get_assigned_resources().get("GPU", 0)
    if 0 < share < 1:
        torch.cuda.set_per_process_memory_fraction(float(share))
