"""Work that does not end with the request that began it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any


class Background:
    """The tasks of one event loop that go on whatever becomes of the requests that began them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin the work and return its task.

        Ray and Serve know by context variables which calls a request has made, and cancel them when its client leaves.
        An empty context makes these calls nobody's.
        """
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def ended(self) -> None:
        """Return when no work is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)
