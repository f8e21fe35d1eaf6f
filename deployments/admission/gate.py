"""The gate of a driver: every request passes it before anything is spent on it, and says when it has ended."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from deployments.admission.book import LEASE_S, Book
from deployments.errors import Overloaded
from deployments.messages import Admission
from deployments.serving.background import Background

KEEP_S = LEASE_S / 4


class SharedBook(Protocol):
    """The book that several drivers share, in another process. `Book` describes it."""

    async def enter(self, name: str, key: str, work: float, limit_s: float) -> Admission | None:
        """Return None where the book cannot be asked."""

    async def keep(self, working: Mapping[str, float]) -> None: ...

    async def leave(self, name: str, done: float) -> None: ...


@dataclass
class Ongoing:
    """A request that was let in: how much work it is, and how much of it is finished when it ends, in row-steps."""

    work: float
    done: float = 0.0


class Gate:
    """Lets requests in by the book that all drivers share, or by its own where there is none that answers.

    Its own book knows the requests of this driver only. All calls belong on one event loop.
    """

    def __init__(self, shared: SharedBook | None = None) -> None:
        self._shared = shared
        self._own = Book()
        self._ongoing: dict[str, Ongoing] = {}
        self._background = Background()
        self._keeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def passed(self, key: str, work: float, limit_s: float) -> AsyncIterator[Ongoing]:
        """Be among the work under way. Raises Overloaded if the work before this one takes longer than `limit_s`.

        `key` is the same when a client sends the same request again.
        """
        name, ongoing = uuid.uuid4().hex, Ongoing(work)
        admission = await self._asked(name, key, work, limit_s)
        if not admission.admitted:
            wait_s = admission.retry_after_s
            when = f"Send the same request again in {wait_s:.1f} seconds: its place is kept."
            raise Overloaded(f"The service is busy. {when}", wait_s)
        self._begin(name, ongoing)
        try:
            yield ongoing
        finally:
            self._end(name, ongoing.done)

    async def _asked(self, name: str, key: str, work: float, limit_s: float) -> Admission:
        try:
            answer = await self._shared.enter(name, key, work, limit_s) if self._shared else None
        except asyncio.CancelledError:  # it may be in the book already
            self._end(name, 0.0)
            raise
        return answer or self._own.enter(name, key, work, limit_s)

    def _begin(self, name: str, ongoing: Ongoing) -> None:
        self._own.keep({name: ongoing.work})
        self._ongoing[name] = ongoing
        if self._keeper is None:
            self._keeper = self._background.begin(self._keep())

    def _end(self, name: str, done: float) -> None:
        self._ongoing.pop(name, None)
        self._own.leave(name, done)
        if self._shared is not None:
            self._background.begin(self._shared.leave(name, done))

    async def _keep(self) -> None:
        """Say again and again which requests are under way, until there is none."""
        while self._ongoing:
            await asyncio.sleep(KEEP_S)
            working = {name: one.work for name, one in self._ongoing.items()}
            self._own.keep(working)
            if self._shared is not None:
                await self._shared.keep(working)
        self._keeper = None
