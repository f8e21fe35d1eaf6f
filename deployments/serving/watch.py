"""A watchdog: work that should move on, and does not, is stuck, and only a new process helps."""

from __future__ import annotations

import time


class Watch:
    """Knows when work last moved on. Use from any thread."""

    def __init__(self) -> None:
        self._moved_s = time.monotonic()

    def moved(self) -> None:
        """Note that work has moved on, or has just begun."""
        self._moved_s = time.monotonic()

    def check(self, max_stall_s: float) -> None:
        """Raise RuntimeError if nothing has moved for longer than that. Ask only while there is work."""
        stalled_s = time.monotonic() - self._moved_s
        if stalled_s > max_stall_s:
            raise RuntimeError(f"the work has not moved on for {stalled_s:.0f} seconds")
