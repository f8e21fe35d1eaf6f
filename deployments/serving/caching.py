"""A bounded memory of what was computed: the entries used last are kept."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

OnLookup = Callable[[bool], None]  # called with whether the value was there


def digest(image: np.ndarray) -> str:
    """Return a name for a picture (HxWx3 uint8) made from its shape, dtype and pixels."""
    name = hashlib.sha256(f"{image.shape} {image.dtype}".encode())
    name.update(np.ascontiguousarray(image).data)
    return name.hexdigest()


class Lru(Generic[Key, Value]):
    """The `entries` values used last. Safe to share between threads; two that ask at once may both compute.

    `on_lookup` is called after each lookup, in the thread of whoever looks.
    """

    def __init__(self, entries: int, on_lookup: OnLookup | None = None) -> None:
        self._entries = entries
        self._on_lookup = on_lookup
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Key) -> Value | None:
        """Return the value of `key`, or None if it is not there any more."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            found = self._kept.get(key)
        if self._on_lookup:
            self._on_lookup(found is not None)
        return found

    def keep(self, key: Key, value: Value) -> None:
        """Remember `value`, and forget the value that was not used for the longest time."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)

    def get(self, key: Key, make: Callable[[Key], Value]) -> Value:
        """Return the value of `key`, made by `make(key)` when it is not there."""
        found = self.find(key)
        if found is None:
            found = make(key)
            self.keep(key, found)
        return found


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
        """Return the value of `key`; await `make()` for it when it is not there and nobody is making it."""
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
        """Let the next caller start anew, unless another one has done so already."""
        if self._making.get(key) is making:
            del self._making[key]
