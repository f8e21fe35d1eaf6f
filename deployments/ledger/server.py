"""The ledger's deployment: what all replicas of the driver have to know of each other is kept here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from deployments.admission.book import Book
from deployments.ledger.ledger import Ledger
from deployments.messages import Admission
from deployments.serving.metrics import BACKLOG, Recorder, recorder


class LedgerServer(Ledger):
    """The ledger, and the book of the work under way. There is one replica: two would each know a part."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, metrics: Recorder | None = None) -> None:
        super().__init__(clock)
        self._book = Book(clock)
        self._metrics = metrics or recorder()

    async def enter(self, name: str, key: str, work: float, limit_s: float) -> Admission:
        """See `Book.enter`."""
        admission = self._book.enter(name, key, work, limit_s)
        self._record()
        return admission

    async def keep(self, working: Mapping[str, float]) -> None:
        """See `Book.keep`."""
        self._book.keep(working)
        self._record()

    async def leave(self, name: str, done: float) -> None:
        """See `Book.leave`."""
        self._book.leave(name, done)
        self._record()

    def _record(self) -> None:
        self._metrics.record(BACKLOG, self._book.backlog_s, {"stage": "ledger"})
