"""How many rows a second the last steps have computed."""

from __future__ import annotations

MEMORY = 0.95  # how much of what was known counts after one more step: that is about 20 steps


class Speed:
    """Rows over seconds, of which the newest steps count most. It counts in one thread and may be read in any."""

    def __init__(self) -> None:
        self._rows = self._seconds = 0.0

    def count(self, rows: int, seconds: float) -> None:
        """Count one step."""
        self._rows = self._rows * MEMORY + rows
        self._seconds = self._seconds * MEMORY + seconds

    @property
    def rows_per_s(self) -> float:
        """The mean; 0 before the first step."""
        return self._rows / self._seconds if self._seconds else 0.0
