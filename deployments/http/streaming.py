"""The answer to an edit that is streamed: it begins when the painting does, and goes on with events.

Until then a failure has its own status, as without a stream: what is not found, refused or not let in is known by then.
Later failures are an event. Nothing here outlives the request: when the client leaves, the edit is closed with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Send

from deployments.http import events, failures
from deployments.http.answers import Sent
from deployments.http.failures import OffLoop
from deployments.messages import EditResult, News, PartialImage, Progress

Edit = AsyncGenerator[News | EditResult, None]

QUIET_S = 10.0  # after so long the answer begins in any case, and then a comment is sent whenever nothing else was
HEADERS = {
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # a proxy such as nginx passes each event on at once
}


def streamed(edit: Edit, sent: Sent, request_id: str, off_loop: OffLoop) -> EditStream:
    """Return the answer with the events of an edit that goes on. Pictures are encoded `off_loop`."""

    async def events_of(item: News | EditResult) -> list[bytes]:
        if isinstance(item, Progress):
            return [events.progress_event(item)] if sent.fields.progress else []
        if isinstance(item, PartialImage):
            return [await off_loop(events.partial_event, item, sent.fields)]
        completed: list[bytes] = await off_loop(events.completed_events, item, sent)
        return completed

    async def failed(error: Exception) -> bytes:
        return events.written(failures.error_event(*await failures.explained(error, request_id, off_loop)))

    return EditStream(edit, events_of, failed)


class EditStream(StreamingResponse):
    """Answers with the events of `edit`, which yields its news and last its result.

    `events_of` returns the events for one of them, and `failed` the event for a failure after the answer has begun.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        edit: Edit,
        events_of: Callable[[News | EditResult], Awaitable[Sequence[bytes]]],
        failed: Callable[[Exception], Awaitable[bytes]],
    ) -> None:
        super().__init__((), headers=HEADERS)
        self._edit = edit
        self._events_of = events_of
        self._failed = failed

    async def stream_response(self, send: Send) -> None:
        """Send everything. Raise what the edit raises before the answer has begun."""
        line = _Line(send, self.raw_headers)
        clock = asyncio.create_task(line.keep_alive())
        try:
            async with aclosing(self._edit) as edit:
                async for item in edit:
                    await line.write(await self._events_of(item), may_wait=not _has_begun(item))
        except Exception as error:
            if not await line.is_open():
                raise
            await line.write([await self._failed(error)])
        finally:
            clock.cancel()
        await line.end()


class _Line:
    """The way to the client. It is opened by the first events that may not wait, or by the clock."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send = send
        self._headers = headers
        self._waiting: list[bytes] = []
        self._open = False
        self._turns = asyncio.Lock()  # the clock writes too
        self._last_s = _now()

    async def write(self, written: Sequence[bytes], may_wait: bool = False) -> None:
        """Send the events; those that may wait are sent when the answer has begun."""
        async with self._turns:
            self._waiting += written
            if may_wait and not self._open:
                return
            if not self._open:
                self._open = True
                await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
            for event in self._waiting:
                await self._send({"type": "http.response.body", "body": event, "more_body": True})
            self._waiting = []
            self._last_s = _now()

    async def is_open(self) -> bool:
        """Return whether the answer has begun."""
        async with self._turns:
            return self._open

    async def keep_alive(self) -> None:
        """Send a comment whenever nothing was sent for `QUIET_S` seconds. It begins the answer if nothing else did."""
        while True:
            left_s = self._last_s + QUIET_S - _now()
            if left_s > 0:
                await asyncio.sleep(left_s)
            else:
                await self.write([events.PING])

    async def end(self) -> None:
        """End the answer."""
        async with self._turns:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _has_begun(item: News | EditResult) -> bool:
    """Return whether the painting has begun. A painting that waits to be let in has not: it may still be refused."""
    if not isinstance(item, Progress):
        return True
    return item.stage in ("fill", "score") or (item.stage == "inpaint" and item.total > 0)


def _now() -> float:
    return asyncio.get_running_loop().time()
