"""What a fault has left behind once the service is complete again: it should be nothing."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.faults import gauges, processes
from benchmarks.faults.cluster import Site

DRAINED_S = 60.0
# The heap of a replica that has worked for a while still moves up and down by this much.
MOST_GROWTH_MB = 64.0


class Aftermath:
    """Compares the processes of the service before and after each fault. Start it when the service is warm."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._before: dict[int, float] = {}
        self._warm: set[int] = set()

    def begin(self) -> None:
        """Note which replicas there are, and how much memory each has, before a fault."""
        self._warm = set(self._before)  # those that have worked through a whole load before this one
        self._before = {process.pid: process.own_mb for process in processes.replicas(self._site.run)}

    def left(self, doomed: Iterable[int]) -> list[str]:
        """Return what is not as it should be, once nobody asks any more. `doomed` are processes that had to end."""
        return [*self._orphans(doomed), *self._held(), *self._grown()]

    def _orphans(self, doomed: Iterable[int]) -> list[str]:
        def orphans() -> list[int]:
            return [pid for pid in doomed if processes.alive(pid)]

        return _unless(lambda: not orphans(), lambda: f"{len(orphans())} processes outlived the fault")

    def _held(self) -> list[str]:
        def held() -> dict[str, float]:
            return gauges.held(self._site.metrics_ports(), self._site.replica_ids())

        return _unless(lambda: not held(), lambda: f"still held: {held()}")

    def _grown(self) -> list[str]:
        after = {process.pid: process for process in processes.replicas(self._site.run)}
        grown = {
            process.deployment: process.own_mb - self._before[pid]
            for pid, process in after.items()
            if pid in self._warm and pid in self._before
        }
        return [f"{name} grew by {mb:.0f} MB" for name, mb in grown.items() if mb > MOST_GROWTH_MB]


def _unless(happened: processes.Condition, complaint: processes.Text) -> list[str]:
    try:
        processes.wait_until(happened, "", DRAINED_S)
    except TimeoutError:
        return [complaint()]
    return []
