"""The reports of something that runs, as a stream: the newest of its progress, those that are kept, and its result."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


class Latest(Generic[_T]):
    """Hands over reports in the order in which they came. One that nobody has taken yet is replaced by the next one.

    So a slow reader in this process neither delays who reports nor falls behind. Reports that are kept are not
    replaced: they should be few. All calls belong on one event loop.
    """

    def __init__(self) -> None:
        self._unread: deque[_T] = deque()
        self._replaceable = False  # whether the last of the unread reports is one that the next may replace
        self._woken = asyncio.Event()

    def put(self, report: _T, kept: bool = False) -> None:
        """Make `report` the newest one; with `kept` it is handed over whatever comes after it. Return at once."""
        if self._unread and self._replaceable:
            self._unread.pop()
        self._unread.append(report)
        self._replaceable = not kept
        self._woken.set()

    async def followed_by(self, result: asyncio.Future[_R]) -> AsyncGenerator[_T | _R, None]:
        """Yield the reports until `result` is there, then the result, or raise what it raises.

        The reports that came before the result come before it. Whoever stops reading cancels `result`. Start reading
        at once: until then nobody does.
        """
        result.add_done_callback(lambda _: self._woken.set())
        try:
            while self._unread or not result.done():
                if self._unread:
                    yield self._unread.popleft()
                else:
                    self._woken.clear()
                    await self._woken.wait()
            yield result.result()
        finally:
            result.cancel()
