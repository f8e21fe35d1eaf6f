"""The device that a model is to run on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deployments.errors import NotOnThisMachine, SettingError

if TYPE_CHECKING:
    import torch

NAMES = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9]\d{0,3}))?")


def check(setting: str, name: str) -> None:
    """Refuse a name that no device has, and a device that this machine lacks. Only the latter needs torch."""
    if not NAMES.fullmatch(name):
        raise SettingError(setting, f"{name!r} is not a device. Give auto, cpu, cuda, cuda:0 (the first GPU) or mps.")
    if name == "mps" and not _has_mps():
        raise _missing(setting, name, "torch finds none")
    if name.startswith("cuda"):
        _check_gpu(setting, name)


def chosen(setting: str, name: str) -> torch.device:
    """Return the device of that name; "auto" is the GPU where torch sees one."""
    import torch

    check(setting, name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _check_gpu(setting: str, name: str) -> None:
    seen = _gpus()
    if not seen:
        raise _missing(setting, name, "torch sees no GPU")
    if int(name.partition(":")[2] or 0) >= seen:
        raise _missing(setting, name, f"torch sees {seen} GPU{'s' if seen > 1 else ''}, counted from cuda:0")


def _missing(setting: str, name: str, what: str) -> NotOnThisMachine:
    return NotOnThisMachine(setting, f"{name!r} is not on this machine: {what}", "Give auto to take what there is.")


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()
