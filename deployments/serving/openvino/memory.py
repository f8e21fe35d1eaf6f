"""How much memory is left, for work that may be left undone where there is too little."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return how many bytes this process could still take, within its container's limit too; None if nobody says.

    `root` is where Linux's /proc and /sys are.
    """
    found = [_of_machine(root / "proc/meminfo"), _of_container(root / "sys/fs/cgroup")]
    return min((each for each in found if each is not None), default=None)


def _of_machine(meminfo: Path) -> int | None:
    with suppress(OSError):
        for line in meminfo.read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                return int(amount.split()[0]) * 1024
    return None


def _of_container(cgroup: Path) -> int | None:
    """Return what is left of its limit; none is set where the file is missing or says "max"."""
    with suppress(OSError, ValueError):
        limit, used = ((cgroup / f"memory.{name}").read_text() for name in ("max", "current"))
        return int(limit) - int(used)
    return None
