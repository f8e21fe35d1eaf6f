"""Do the CPU's part of several pictures at once, before a model sees them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def side_by_side(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Return `work(item)` for each item, in their order; the first exception, if any, is raised.

    It pays for work that lets go of Python's lock, as Pillow's resizing does, which takes longer on one core than a
    GPU needs for the model. `work` must not itself call this: all calls in a process share its threads.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    return list(_threads().map(work, items))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1), thread_name_prefix="side-by-side")
