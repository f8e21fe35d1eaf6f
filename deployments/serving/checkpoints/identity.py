"""Names for weights in memory: the same in every process that has loaded the same numbers."""

from __future__ import annotations

import hashlib

import torch


def weights_id(module: torch.nn.Module) -> str:
    """Return a name made from the names, shapes and numbers of a module's tensors. A GB takes a second or two."""
    name = hashlib.sha256()
    for key, tensor in module.state_dict().items():
        name.update(f"{key} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        name.update(tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy())
    return name.hexdigest()
