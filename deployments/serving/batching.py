"""A work-conserving batcher: requests that wait together share one model call.

Ray Serve's own `@serve.batch` forms a batch *before* it has the permit to run it, so that while one
batch runs it keeps cutting tiny ones. Here the order is the other way round: when the model is free,
everything that waits goes into the next batch. One item's failure is that item's alone, and an item
whose caller has gone is dropped before it costs anything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from deployments.config import BatchSettings
from deployments.serving.watch import Watch

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class BatchRecord:
    """The size of one batch, the longest wait of its items and the time of its model call, both in seconds."""

    size: int
    wait_s: float
    run_s: float


@dataclass(frozen=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    future: asyncio.Future[Result]
    since: float


class Batcher(Generic[Item, Result]):
    """Calls `run` with lists of the items that were submitted one by one.

    `run` gets 1 to `max_batch_size` items and returns as many results in the same order; a result that
    is an exception is raised to that item's caller only. It runs in a worker thread of its own, one
    batch at a time. If `run` itself raises, its items are run again one by one, so that a poisoned item
    harms no neighbour. Use from one event loop only.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result | Exception]],
        settings: BatchSettings,
        on_batch: Callable[[BatchRecord], None] | None = None,
    ) -> None:
        self._run = run
        self._settings = settings
        self._on_batch = on_batch
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")
        self._loop_task: asyncio.Task[None] | None = None
        self._busy = False
        self._watch = Watch()

    def reconfigure(self, settings: BatchSettings) -> None:
        """Take new settings, from the next batch on."""
        self._settings = settings

    async def submit(self, item: Item) -> Result:
        """Return the item's result, or raise what went wrong with this item."""
        if self._loop_task is None:
            self._loop_task = asyncio.create_task(self._serve())
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, future, time.monotonic()))
        self._arrived.set()
        return await future

    def check_health(self) -> None:
        """Raise RuntimeError when nothing would ever be served again."""
        if self._loop_task is not None and self._loop_task.done():
            raise RuntimeError("the batch loop has ended")
        if self._busy:
            self._watch.check(self._settings.max_stall_s)

    async def _serve(self) -> None:
        while True:
            batch = await self._next_batch()
            if batch:
                await self._run_batch(batch)

    async def _next_batch(self) -> list[_Waiting[Item, Result]]:
        await self._arrived.wait()
        if self._settings.max_wait_s and len(self._waiting) < self._settings.max_batch_size:
            await self._wait_for_company()
        batch: list[_Waiting[Item, Result]] = []
        while self._waiting and len(batch) < self._settings.max_batch_size:
            candidate = self._waiting.popleft()
            if not candidate.future.done():
                batch.append(candidate)
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _wait_for_company(self) -> None:
        until = self._waiting[0].since + self._settings.max_wait_s
        while len(self._waiting) < self._settings.max_batch_size:
            left = until - time.monotonic()
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), timeout=max(0.0, left))
            except TimeoutError:
                self._arrived.set()
                return

    async def _run_batch(self, batch: list[_Waiting[Item, Result]]) -> None:
        start = time.monotonic()
        loop = asyncio.get_running_loop()
        self._watch.moved()
        self._busy = True
        results = await loop.run_in_executor(self._thread, self._call, [waiting.item for waiting in batch])
        self._busy = False
        for waiting, result in zip(batch, results, strict=True):
            _settle(waiting.future, result)
        if self._on_batch:
            longest_wait_s = start - min(waiting.since for waiting in batch)
            self._on_batch(BatchRecord(len(batch), longest_wait_s, time.monotonic() - start))

    def _call(self, items: list[Item]) -> Sequence[Result | Exception]:
        try:
            results = self._run(items)
            if len(results) != len(items):
                raise RuntimeError(f"{len(items)} items went in and {len(results)} results came out")
            return results
        except Exception as error:
            if len(items) == 1:
                return [error]
            logger.exception("a batch of %d failed; its items run again one by one", len(items))
            return [self._call([item])[0] for item in items]


def _settle(future: asyncio.Future[Result], result: Result | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
