"""The answer to an edit that is streamed: it begins when the painting does, and goes on with events.

Until then a failure has its own status, as without a stream: what is not found, refused or not let in is known by then.
Later failures are an event. Nothing here outlives the answer: when it is closed, the edit is closed with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress

from starlette.responses import StreamingResponse
from starlette.types import Send

from deployments.http import events, failures
from deployments.http.answers import Sent
from deployments.http.failures import OffLoop
from deployments.messages import EditResult, News, PartialImage, Progress

Item = News | EditResult
Edit = AsyncGenerator[Item, None]

QUIET_S = 10.0  # after so long the answer begins in any case, and then a comment is sent whenever nothing else was
HEADERS = {
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # a proxy such as nginx passes each event on at once
}


async def streamed(edit: Edit, sent: Sent, request_id: str, off_loop: OffLoop) -> EditStream:
    """Return the answer with the events of an edit that goes on, once it may begin. Pictures are encoded `off_loop`.

    Raises what the edit raises before that.
    """
    source = _Source(edit)
    try:
        first = await _until_it_begins(source)
    except BaseException:
        await source.close()
        raise
    return EditStream(_events(source, first, sent, request_id, off_loop), source.close)


class EditStream(StreamingResponse):
    """An answer of events. However it ends, the work that they come from is closed: by `close_source`."""

    body_iterator: AsyncGenerator[bytes, None]
    media_type = "text/event-stream"

    def __init__(self, written: AsyncGenerator[bytes, None], close_source: Callable[[], Awaitable[None]]) -> None:
        super().__init__(written, headers=HEADERS)
        self._close_source = close_source

    async def stream_response(self, send: Send) -> None:
        """Send all events."""
        try:
            await super().stream_response(send)
        finally:
            await self.close()

    async def close(self) -> None:
        """Read no further events. A generator that was never started would not notice, so the source is told too."""
        await self.body_iterator.aclose()
        await self._close_source()


async def _until_it_begins(source: _Source) -> list[Item]:
    """Return what comes before the painting begins, and its first news; or what has come when it was quiet for long."""
    until = _now() + QUIET_S
    come: list[Item] = []
    while (item := await source.next(until - _now())) is not None:
        come.append(item)
        if _has_begun(item):
            break
    return come


async def _events(
    source: _Source, first: Sequence[Item], sent: Sent, request_id: str, off_loop: OffLoop
) -> AsyncGenerator[bytes, None]:
    """Yield the events of an edit, of which `first` has come already, and a comment whenever there is none for long.

    Not every item makes an event.
    """
    try:
        for item in first:
            for event in await _written(item, sent, off_loop):
                yield event
        if not any(map(_has_begun, first)):
            yield events.PING
        quiet_until = _now() + QUIET_S
        while not source.has_ended:
            news = await source.next(quiet_until - _now())
            for event in [events.PING] if news is None else await _written(news, sent, off_loop):
                yield event
                quiet_until = _now() + QUIET_S
    except Exception as error:
        yield events.written(failures.error_event(*await failures.explained(error, request_id, off_loop)))


async def _written(item: Item, sent: Sent, off_loop: OffLoop) -> list[bytes]:
    """Return the events for one item."""
    if isinstance(item, Progress):
        return [events.progress_event(item)] if sent.fields.progress else []
    if isinstance(item, PartialImage):
        return [await off_loop(events.partial_event, item, sent.fields)]
    completed: list[bytes] = await off_loop(events.completed_events, item, sent)
    return completed


class _Source:
    """Reads an edit, in a task of its own, so that one can wait for its next item for a limited time."""

    def __init__(self, edit: Edit) -> None:
        self.has_ended = False
        self._items: asyncio.Queue[Item | Exception] = asyncio.Queue(maxsize=1)
        self._task = asyncio.create_task(self._read(edit))

    async def next(self, timeout_s: float) -> Item | None:
        """Return the next item, None if none comes in time. Raise what the edit raises. Its last item is the result."""
        try:
            async with asyncio.timeout(timeout_s):
                item = await self._items.get()
        except TimeoutError:
            return None
        self.has_ended = isinstance(item, (EditResult, Exception))
        if isinstance(item, Exception):
            raise item
        return item

    async def close(self) -> None:
        """Close the edit, which stops the work on it unless it has ended."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _read(self, edit: Edit) -> None:
        try:
            async with aclosing(edit):
                async for item in edit:
                    await self._items.put(item)
        except Exception as error:
            await self._items.put(error)


def _has_begun(item: Item) -> bool:
    """Return whether the painting has begun. A painting that waits to be let in has not: it may still be refused."""
    if not isinstance(item, Progress):
        return True
    return item.stage in ("fill", "score") or (item.stage == "inpaint" and item.total > 0)


def _now() -> float:
    return asyncio.get_running_loop().time()
