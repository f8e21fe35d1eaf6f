"""A bounded memory of what was computed: the entries used last are kept."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

OnLookup = Callable[[bool], None]  # called with whether the value was there


def digest(image: np.ndarray) -> str:
    """Names a picture by its shape, dtype and pixels."""
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
        """The value of `key`, if it is still there."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            found = self._kept.get(key)
        if self._on_lookup:
            self._on_lookup(found is not None)
        return found

    def keep(self, key: Key, value: Value) -> None:
        """Remembers `value`, and forgets what was not used for the longest time."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)

    def get(self, key: Key, make: Callable[[Key], Value]) -> Value:
        """The value of `key`; `make(key)` when it is not there."""
        found = self.find(key)
        if found is None:
            found = make(key)
            self.keep(key, found)
        return found
