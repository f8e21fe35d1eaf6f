"""The client that waits for its answers. Only how it sends, sleeps and closes is its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from types import TracebackType
from typing import ParamSpec, TypeVar

import httpx
from httpx_sse import EventSource

from retouch.calls import Call, edit_call, edit_stream_call, locate_call, ready_call, remove_call, score_call
from retouch.connection import BASE_URL, TIMEOUT_S, BaseClient, Settings, build_request, conclude
from retouch.options import EditOptions, RemovalOptions, SearchOptions, StreamOptions, Unpack
from retouch.pictures import ImageInput
from retouch.results import EditResult, Location, StreamEvent
from retouch.retries import MAX_RETRIES, Outcome
from retouch.signatures import lists_options
from retouch.streams import Attempt

P = ParamSpec("P")
T = TypeVar("T")


class Retouch(BaseClient):
    """A client of the service at `base_url`, which may end in `/v1`. Close it, or use it in a `with` block.

    Threads may share it. One try may take `timeout_s` seconds. A try that may succeed later is repeated up to
    `max_retries` times. `transport` and `sleep` replace how requests travel and how the waits between tries pass.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        api_key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(Settings(base_url, api_key, timeout_s, max_retries))
        self._http = httpx.Client(transport=transport, **self._settings.for_httpx())
        self._sleep = sleep

    @lists_options
    def edit(self, image: ImageInput, prompt: str | None = None, **options: Unpack[EditOptions]) -> EditResult:
        """Find something in `image` and repaint it as `prompt`.

        What is found follows from the words of `target` or else of the prompt, from `points`, from a `box`, or from a
        `mask`, which leaves nothing to search.

        Raises `TargetNotFound` if the picture does not show the target, and `ContentFiltered` if the safety checker
        holds back every picture. `EditOptions` in `retouch.options` describes the options.
        """
        return self._run(edit_call, image, prompt, **options)

    @lists_options
    def edit_stream(
        self, image: ImageInput, prompt: str | None = None, **options: Unpack[StreamOptions]
    ) -> Generator[StreamEvent, None, None]:
        """Edit as `edit` does, and yield on the way what is known of it.

        A `Progress` says what is being done and how many steps are taken; a `PartialImage`, if `partial_images` asks
        for some, is the picture as far as it has come; the `EditResult` comes last. With the `mode` "remove" it is a
        removal. Leaving the loop closes the connection, and the service stops the work.

        Raises what `edit` raises, at the first step of the loop or at a later one. A failure is tried again until
        something has been yielded. `timeout_s` is the longest silence of the service, not the time of the whole edit.
        """
        return self._stream(edit_stream_call(image, prompt, **options))

    @lists_options
    def remove(self, image: ImageInput, target: str | None = None, **options: Unpack[RemovalOptions]) -> EditResult:
        """Find `target` in `image` and fill its place as if it had never stood there.

        The `fill_method` "classical" fills it from the surroundings, without a model; "painter" lets the painter
        continue the ground, and the options of the painter act. Without it the service chooses, which is classical
        unless its operator says otherwise.

        Points, a box or a mask may say what is meant instead of `target`. Raises `TargetNotFound` if the picture does
        not show the target. `RemovalOptions` in `retouch.options` describes the options.
        """
        return self._run(remove_call, image, target, **options)

    @lists_options
    def locate(self, image: ImageInput, target: str | None = None, **options: Unpack[SearchOptions]) -> Location:
        """Find `target` in `image`, or cut out what points or a box mean, and paint nothing.

        What is not there has `found` False and raises nothing. `SearchOptions` in `retouch.options` describes the
        options.
        """
        return self._run(locate_call, image, target, **options)

    def score(self, image: ImageInput, text: str) -> float:
        """Return how well `text` describes `image`: the cosine of CLIP, -1 to 1. 0.2 to 0.35 is usual for a match."""
        return self._run(score_call, image, text)

    def ready(self) -> bool:
        """Return whether the service takes work now. It is asked once, without retries."""
        return self._run(ready_call)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Retouch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, build: Callable[P, Call[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        call = build(*args, **kwargs)
        retries = 0
        outcome = self._send(call)
        while (wait_s := self._wait_s(call, outcome, retries)) is not None:
            self._sleep(wait_s)
            retries += 1
            outcome = self._send(call)
        return conclude(call, outcome, self._settings)

    def _send(self, call: Call[T]) -> Outcome:
        try:
            return self._http.send(build_request(self._http, call))
        except httpx.RequestError as error:
            return error

    def _stream(self, call: Call[EditResult]) -> Generator[StreamEvent, None, None]:
        retries = 0
        while True:
            attempt = Attempt()
            yield from self._events(call, attempt)
            wait_s = self._wait_for_stream_s(call, attempt, retries)
            if wait_s is None:
                break
            self._sleep(wait_s)
            retries += 1
        if not attempt.is_complete:
            yield conclude(call, attempt.outcome, self._settings)

    def _events(self, call: Call[EditResult], attempt: Attempt) -> Generator[StreamEvent, None, None]:
        """Yield what one try brings. Its connection is closed however this ends."""
        try:
            with closing(self._http.send(build_request(self._http, call), stream=True)) as response:
                if not attempt.starts_stream(response):
                    response.read()
                    return
                for sent in EventSource(response).iter_sse():
                    if event := attempt.read(sent):
                        yield event
        except httpx.RequestError as error:
            attempt.outcome = error
