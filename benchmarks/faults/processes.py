"""The processes of the cluster under test, read from /proc: what they are, whose children, with how much memory.

Ray's own list of processes would be asked of the very parts that are killed here.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MARK = "RETOUCH_FAULTS_RUN"  # an environment variable that every process of the run inherits
REPLICA = "ray::ServeReplica:retouch:"
CONTROLLER = "ray::ServeController"
PROXY = "ray::ProxyActor"
MB = 2**20
MOST_TITLE = 120

Condition = Callable[[], bool]
Text = Callable[[], str]


@dataclass(frozen=True)
class Process:
    """A process: its id and its parent's, its title, and the megabytes that it shares with no other process."""

    pid: int
    parent: int
    title: str
    own_mb: float

    @property
    def deployment(self) -> str | None:
        """Return the deployment that this is a replica of, or None for any other process."""
        return self.title.removeprefix(REPLICA).split(".")[0] if self.title.startswith(REPLICA) else None


def running(run: str) -> list[Process]:
    """Return the living processes that were started under the mark `run`, without this one."""
    found = (_read(int(entry.name), run) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process is not None and process.pid != os.getpid()]


def replicas(run: str, deployment: str | None = None) -> list[Process]:
    """Return the processes of the replicas, of one deployment or of all."""
    found = [process for process in running(run) if process.deployment]
    return [process for process in found if deployment in (None, process.deployment)]


def titled(run: str, title: str) -> list[Process]:
    """Return the processes whose title begins so."""
    return [process for process in running(run) if process.title.startswith(title)]


def alive(pid: int) -> bool:
    """Return whether there is a process of that id which is no zombie."""
    status = _status(pid)
    return bool(status) and not status.get("State", "Z").startswith("Z")


def kill(pid: int) -> None:
    """End the process at once, without a chance to clean up."""
    os.kill(pid, signal.SIGKILL)


def wait_until(happened: Condition, what: str, patience_s: float, pause_s: float = 0.25) -> None:
    """Return as soon as it has happened. Raises TimeoutError, which says `what` did not happen."""
    until = time.monotonic() + patience_s
    while not happened():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {patience_s:g} s")
        time.sleep(pause_s)


def _read(pid: int, run: str) -> Process | None:
    try:
        if f"{MARK}={run}".encode() not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return None
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:  # it has ended, or belongs to somebody else
        return None
    status = _status(pid)
    if not title or status.get("State", "Z").startswith("Z"):
        return None
    return Process(
        pid, int(status["PPid"]), title[:MOST_TITLE], int(status.get("RssAnon", "0 kB").split()[0]) * 1024 / MB
    )


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
