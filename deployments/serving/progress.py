"""The progress of something that runs, as a stream: the newest of what it reports, and at the end its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


class Latest(Generic[_T]):
    """Hands over the newest report. A report that nobody has taken yet is replaced by the next one.

    So a slow reader in this process neither delays who reports nor falls behind. All calls belong on one event loop.
    """

    def __init__(self) -> None:
        self._newest: _T | None = None
        self._woken = asyncio.Event()

    def put(self, report: _T) -> None:
        """Make `report` the newest one. Return at once."""
        self._newest = report
        self._woken.set()

    async def followed_by(self, result: asyncio.Future[_R]) -> AsyncGenerator[_T | _R, None]:
        """Yield the reports until `result` is there, then the result, or raise what it raises.

        Whoever stops reading cancels `result`. Start reading at once: until then nobody does.
        """
        result.add_done_callback(lambda _: self._woken.set())
        try:
            while not result.done():
                await self._woken.wait()
                self._woken.clear()
                report, self._newest = self._newest, None
                if report is not None:
                    yield report
            yield result.result()
        finally:
            result.cancel()
