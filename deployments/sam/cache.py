"""Remembers embeddings, so that the same picture again costs no second encoding."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from deployments.caching import OnLookup

Value = TypeVar("Value")


@dataclass(eq=False)
class _Making(Generic[Value]):
    task: asyncio.Future[Value]
    waiting: int = 0


class SharedCache(Generic[Value]):
    """The `entries` values used last, each made once even when several callers ask for it together.

    A value is given up only when everyone who waits for it has gone; a failure goes to those who wait
    and is not remembered. Use from one event loop only. `on_lookup` is called with each `get`; a value that somebody
    else is making counts as there.
    """

    def __init__(self, entries: int, on_lookup: OnLookup | None = None) -> None:
        if entries < 1:
            raise ValueError(f"a cache holds at least 1 entry, not {entries}")
        self._entries = entries
        self._on_lookup = on_lookup
        self._ready: OrderedDict[str, Value] = OrderedDict()
        self._making: dict[str, _Making[Value]] = {}

    def __len__(self) -> int:
        return len(self._ready)

    async def get(self, key: str, make: Callable[[], Awaitable[Value]]) -> Value:
        """The value of `key`; awaits `make()` for it when it is not there and nobody is making it."""
        if self._on_lookup:
            self._on_lookup(key in self._ready or key in self._making)
        if key in self._ready:
            self._ready.move_to_end(key)
            return self._ready[key]
        making = self._making.get(key) or self._start(key, make)
        making.waiting += 1
        try:
            # Shielded: one caller who leaves must not take the value away from the others.
            return await asyncio.shield(making.task)
        finally:
            making.waiting -= 1
            if not making.waiting:
                self._forget(key, making)
                making.task.cancel()

    def _start(self, key: str, make: Callable[[], Awaitable[Value]]) -> _Making[Value]:
        making = _Making(asyncio.ensure_future(make()))
        self._making[key] = making
        making.task.add_done_callback(lambda task: self._finish(key, making))
        return making

    def _finish(self, key: str, making: _Making[Value]) -> None:
        self._forget(key, making)
        # Asking for the exception also keeps asyncio from reporting one that nobody waited for.
        if making.task.cancelled() or making.task.exception() is not None:
            return
        self._ready[key] = making.task.result()
        if len(self._ready) > self._entries:
            self._ready.popitem(last=False)

    def _forget(self, key: str, making: _Making[Value]) -> None:
        """From now on a caller starts anew; unless somebody else already has."""
        if self._making.get(key) is making:
            del self._making[key]
