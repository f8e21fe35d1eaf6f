"""The processes of the service: how much memory and how many open files each of them has."""

from __future__ import annotations

import re
import statistics
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import psutil

MB = 2**20
EVERY_S = 2.0
REPLICA = re.compile(r"^ray::ServeReplica:(?P<app>[^:]+):(?P<deployment>[\w-]+)")
OTHERS = {"ray::ProxyActor": "proxy", "ray::ServeController": "controller"}
BINARIES = {"raylet": "raylet", "gcs_server": "GCS"}


@dataclass(frozen=True)
class Reading:
    """What each process had when `done` requests had ended; the keys are its part in the service.

    `memory_mb` is resident memory without what it shares with others, such as pictures in the object store.
    """

    done: int
    pids: dict[str, int]
    memory_mb: dict[str, float]
    descriptors: dict[str, int]


def part_of(title: str, binary: str, app: str) -> str | None:
    """Return the part in the service of a process with this title and binary, or None where it has none."""
    replica = REPLICA.match(title)
    if replica:
        return replica["deployment"] if replica["app"] == app else None
    for start, part in OTHERS.items():
        if title.startswith(start):
            return part
    return BINARIES.get(binary)


def read(app: str, done: int) -> Reading:
    """Return what the processes of the application have, of those that this process has started."""
    pids: dict[str, int] = {}
    memory_mb: dict[str, float] = {}
    descriptors: dict[str, int] = {}
    for process in psutil.Process().children(recursive=True):
        try:
            part = part_of(" ".join(process.cmdline()).strip(), process.name(), app)
            if part is None:
                continue
            part = part if part not in pids else f"{part} {process.pid}"
            memory, files = process.memory_info(), process.num_fds()
        except psutil.NoSuchProcess:  # it has ended between two calls
            continue
        pids[part], memory_mb[part], descriptors[part] = process.pid, (memory.rss - memory.shared) / MB, files
    return Reading(done, pids, memory_mb, descriptors)


class Watch:
    """Takes a reading every `EVERY_S` seconds in a thread of its own while its block runs."""

    def __init__(self, app: str, done: Callable[[], int]) -> None:
        self.readings: list[Reading] = []
        self._app = app
        self._done = done
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="soak-readings", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            self.readings.append(read(self._app, self._done()))


def growth(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much y grows from the first x to the last, by the median slope of all pairs of points.

    One reading in the middle of a large request moves a line through the ends, and a fit by squares; not this.
    """
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1]
    return statistics.median(slopes) * (points[-1][0] - points[0][0]) if slopes else 0.0


def replaced(readings: Sequence[Reading]) -> list[str]:
    """Return the parts whose process is not the same in all readings."""
    parts = {part for reading in readings for part in reading.pids}
    return sorted(part for part in parts if len({reading.pids.get(part) for reading in readings}) > 1)
