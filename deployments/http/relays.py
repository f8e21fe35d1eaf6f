"""Answers as other requests get them: whole, and of a stream what ends it.

A stream is read here by a task that outlives its request, so that the work behind it does not end with the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.http import events
from deployments.http.streaming import EditStream
from deployments.messages import StoredAnswer

REPLAYED = "x-retouch-replayed"
OF_ITS_REQUEST = {b"content-length", b"x-request-id"}  # headers that another request has its own of
COMPLETED, FAILED = events.first_line(events.COMPLETED), events.first_line(events.ERROR)
END_OF_EVENT = b"\n\n"


def stored(response: Response) -> StoredAnswer:
    """Return what to store of an answer that is no stream."""
    return StoredAnswer(response.status_code, _headers(response), bytes(response.body))


def replayed(answer: StoredAnswer) -> Response:
    """Return an answer of an earlier request as the answer of this one; a header says so."""
    return Response(answer.body, answer.status, {**dict(answer.headers), REPLAYED: "true"})


class Relay:
    """Reads a streamed answer to its end, for its own client and for the requests that come later.

    `on_leave` is called when the client has left before the end. It has left already where `has_reader` is False.
    """

    def __init__(self, source: EditStream, on_leave: Callable[[], None], has_reader: bool = True) -> None:
        self._source = source
        self._on_leave = on_leave
        self._has_ended = False
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._has_reader = has_reader

    def live(self) -> Response:
        """Return the answer for the client: the same stream, as it comes in."""
        answer = _LiveStream(self._read(), self._source.status_code)
        answer.raw_headers = self._source.raw_headers
        answer.on_end = self._reader_ends
        return answer

    async def run(self) -> StoredAnswer:
        """Read the stream to its end, and return what to store of it: the events that end it."""
        ends: list[bytes] = []
        rest = b""
        try:
            async for data in self._source.body_iterator:
                self._put(data)
                *whole, rest = (rest + data).split(END_OF_EVENT)
                ends += [event + END_OF_EVENT for event in whole if event.startswith((COMPLETED, FAILED))]
        except Exception as error:
            self._put(error)
            raise
        finally:
            await self._source.close()
        self._has_ended = True
        self._put(None)
        failed = not ends or any(event.startswith(FAILED) for event in ends)
        return StoredAnswer(self._source.status_code, _headers(self._source), b"".join(ends), failed)

    def _put(self, item: bytes | Exception | None) -> None:
        if self._has_reader:
            self._chunks.put_nowait(item)

    async def _read(self) -> AsyncIterator[bytes]:
        while (item := await self._chunks.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def _reader_ends(self) -> None:
        self._has_reader = False
        self._chunks = asyncio.Queue()  # what nobody reads any more needs no memory
        if not self._has_ended:
            self._on_leave()


class _LiveStream(StreamingResponse):
    """A stream that says when it has ended, in whatever way."""

    on_end: Callable[[], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.on_end()


def _headers(response: Response) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in response.raw_headers
        if name not in OF_ITS_REQUEST
    )
