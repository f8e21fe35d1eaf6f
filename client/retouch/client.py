"""The two clients. They differ in how they send, sleep and close; everything else is shared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

import httpx

from retouch.calls import Call, edit_call, locate_call, ready_call, score_call
from retouch.connection import Settings, build_request, conclude
from retouch.defaults import BASE_URL, MAX_RETRIES, TIMEOUT_S
from retouch.pictures import ImageInput
from retouch.results import EditResult, Location
from retouch.retries import Outcome, RetryPolicy

P = ParamSpec("P")
T = TypeVar("T")


class _Client:
    """What is known before anything is sent."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._policy = RetryPolicy(settings.max_retries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self._settings}"

    @property
    def base_url(self) -> str:
        """Where the service is."""
        return self._settings.base_url

    def _wait_s(self, call: Call[T], outcome: Outcome, retries_so_far: int) -> float | None:
        return self._policy.wait_s(outcome, retries_so_far) if call.is_retried else None


class Retouch(_Client):
    """A client of the service at `base_url`. Close it, or use it in a `with` block. Threads may share it.

    `timeout_s` is how long one try may take, `max_retries` how often a try that may succeed later is
    repeated. `transport` and `sleep` replace how requests travel and how the waits between tries pass.
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

    def edit(
        self,
        image: ImageInput,
        prompt: str,
        *,
        target: str | None = None,
        negative_prompt: str | None = None,
        n: int | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        strength: float | None = None,
        scheduler: str | None = None,
    ) -> EditResult:
        """Find `target` in `image` and repaint it as `prompt`; without `target` the prompt says what to find.

        `n` pictures are painted from different seeds and come best first. `strength` below 1 keeps more of what is
        there. What is left None is chosen by the service. Raises `TargetNotFound` if the picture does not show the
        target.
        """
        return self._run(
            edit_call,
            image,
            prompt,
            target,
            negative_prompt,
            n,
            seed,
            num_inference_steps,
            guidance_scale,
            strength,
            scheduler,
        )

    def locate(self, image: ImageInput, target: str) -> Location:
        """Find `target` in `image` without painting. What is not there has `found` False and raises nothing."""
        return self._run(locate_call, image, target)

    def score(self, image: ImageInput, text: str) -> float:
        """How well `text` describes `image`: CLIP's cosine, -1..1; 0.2 to 0.35 is usual for a good match."""
        return self._run(score_call, image, text)

    def ready(self) -> bool:
        """Whether the service takes work now. Asked once, without retries."""
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


class AsyncRetouch(_Client):
    """`Retouch` for asyncio: the same calls, awaited. Pictures are read and decoded off the event loop."""

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

    async def edit(
        self,
        image: ImageInput,
        prompt: str,
        *,
        target: str | None = None,
        negative_prompt: str | None = None,
        n: int | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        strength: float | None = None,
        scheduler: str | None = None,
    ) -> EditResult:
        """As `Retouch.edit`."""
        return await self._run(
            edit_call,
            image,
            prompt,
            target,
            negative_prompt,
            n,
            seed,
            num_inference_steps,
            guidance_scale,
            strength,
            scheduler,
        )

    async def locate(self, image: ImageInput, target: str) -> Location:
        """As `Retouch.locate`."""
        return await self._run(locate_call, image, target)

    async def score(self, image: ImageInput, text: str) -> float:
        """As `Retouch.score`."""
        return await self._run(score_call, image, text)

    async def ready(self) -> bool:
        """As `Retouch.ready`."""
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
