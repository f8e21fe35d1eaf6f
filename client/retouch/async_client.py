"""The client for asyncio. Only how it sends, sleeps and closes is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from types import TracebackType
from typing import ParamSpec, TypeVar

import httpx
from httpx_sse import EventSource

from retouch.calls import Call, edit_call, edit_stream_call, locate_call, ready_call, remove_call, score_call
from retouch.connection import BASE_URL, TIMEOUT_S, BaseClient, Settings, build_request, conclude
from retouch.options import EditOptions, RemovalOptions, SearchOptions, StreamOptions, Unpack, check_names
from retouch.pictures import ImageInput
from retouch.results import EditResult, Location, StreamEvent
from retouch.retries import MAX_RETRIES, Outcome
from retouch.signatures import lists_options
from retouch.streams import Attempt

P = ParamSpec("P")
T = TypeVar("T")


class AsyncRetouch(BaseClient):
    """A client with the same calls as `Retouch`, each of which is awaited. Pictures are read off the event loop."""

    def __init__(
        self,
        base_url: str = BASE_URL,
        api_key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        super().__init__(Settings(base_url, api_key, timeout_s, max_retries))
        self._http = httpx.AsyncClient(transport=transport, **self._settings.for_httpx())
        self._sleep = sleep

    @lists_options
    async def edit(self, image: ImageInput, prompt: str | None = None, **options: Unpack[EditOptions]) -> EditResult:
        """Edit as `Retouch.edit` does."""
        return await self._run(edit_call, image, prompt, **options)

    @lists_options
    def edit_stream(
        self, image: ImageInput, prompt: str | None = None, **options: Unpack[StreamOptions]
    ) -> AsyncGenerator[StreamEvent, None]:
        """Edit as `Retouch.edit_stream` does, for `async for`. What is yielded is the same.

        To close the connection at once after leaving the loop early, loop over it inside `contextlib.aclosing`;
        otherwise Python closes it soon afterwards.
        """
        check_names("edit_stream", options, StreamOptions)
        return self._stream(image, prompt, **options)

    @lists_options
    async def remove(
        self, image: ImageInput, target: str | None = None, **options: Unpack[RemovalOptions]
    ) -> EditResult:
        """Remove something as `Retouch.remove` does."""
        return await self._run(remove_call, image, target, **options)

    @lists_options
    async def locate(self, image: ImageInput, target: str | None = None, **options: Unpack[SearchOptions]) -> Location:
        """Locate something as `Retouch.locate` does."""
        return await self._run(locate_call, image, target, **options)

    async def score(self, image: ImageInput, text: str) -> float:
        """Score as `Retouch.score` does."""
        return await self._run(score_call, image, text)

    async def ready(self) -> bool:
        """Return whether the service takes work now, as `Retouch.ready` does."""
        return await self._run(ready_call)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncRetouch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, build: Callable[P, Call[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        call = await asyncio.to_thread(build, *args, **kwargs)
        retries = 0
        outcome = await self._send(call)
        while (wait_s := self._wait_s(call, outcome, retries)) is not None:
            await self._sleep(wait_s)
            retries += 1
            outcome = await self._send(call)
        return await asyncio.to_thread(conclude, call, outcome, self._settings)

    async def _send(self, call: Call[T]) -> Outcome:
        try:
            return await self._http.send(build_request(self._http, call))
        except httpx.RequestError as error:
            return error

    async def _stream(
        self, image: ImageInput, prompt: str | None, **options: Unpack[StreamOptions]
    ) -> AsyncGenerator[StreamEvent, None]:
        call = await asyncio.to_thread(edit_stream_call, image, prompt, **options)
        retries = 0
        while True:
            attempt = Attempt()
            async with aclosing(self._events(call, attempt)) as events:
                async for event in events:
                    yield event
            wait_s = self._wait_for_stream_s(call, attempt, retries)
            if wait_s is None:
                break
            await self._sleep(wait_s)
            retries += 1
        if not attempt.is_complete:
            yield await asyncio.to_thread(conclude, call, attempt.outcome, self._settings)

    async def _events(self, call: Call[EditResult], attempt: Attempt) -> AsyncGenerator[StreamEvent, None]:
        """Yield what one try brings. Its connection is closed however this ends."""
        try:
            response = await self._http.send(build_request(self._http, call), stream=True)
            async with aclosing(response):
                if not attempt.starts_stream(response):
                    await response.aread()
                    return
                async with aclosing(EventSource(response).aiter_sse()) as received:
                    async for sent in received:
                        if event := await asyncio.to_thread(attempt.read, sent):
                            yield event
        except httpx.RequestError as error:
            attempt.outcome = error
