"""How many rows a step may have, when memory runs out and comes back."""

from __future__ import annotations

STEPS_UNTIL_MORE = 500  # that go well before a step may be larger again; one that fails then is run in halves


class RowLimit:
    """The greatest number of rows of a step: `most`, or fewer while there is no memory for so many.

    Memory that another process takes is often given back, so the limit is doubled, up to `most`, after every
    `STEPS_UNTIL_MORE` steps that went well.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._went_well = 0
        self.now = most

    def failed(self, rows: int) -> None:
        """Note that memory did not suffice for a step of so many rows."""
        self.now = max(1, min(self.now, rows // 2))
        self._went_well = 0

    def went_well(self) -> None:
        """Note a step that memory sufficed for."""
        if self.now == self._most:
            return
        self._went_well += 1
        if self._went_well == STEPS_UNTIL_MORE:
            self._went_well = 0
            self.now = min(self._most, 2 * self.now)
