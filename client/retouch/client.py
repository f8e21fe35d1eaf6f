"""The client that waits for its answers. Only how it sends, sleeps and closes is its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

import httpx

from retouch.calls import Call, edit_call, locate_call, ready_call, remove_call, score_call
from retouch.connection import BASE_URL, TIMEOUT_S, BaseClient, Settings, build_request, conclude
from retouch.options import EditOptions, RemovalOptions, SearchOptions, Unpack, lists_options
from retouch.pictures import ImageInput
from retouch.results import EditResult, Location
from retouch.retries import MAX_RETRIES, Outcome

P = ParamSpec("P")
T = TypeVar("T")


class Retouch(BaseClient):
    """A client of the service at `base_url`. Close it, or use it in a `with` block. Threads may share it.

    One try may take `timeout_s` seconds. A try that may succeed later is repeated up to `max_retries` times.
    `transport` and `sleep` replace how requests travel and how the waits between tries pass.
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
