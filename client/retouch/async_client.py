"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import ParamSpec, TypeVar

import httpx

from retouch.calls import Call, edit_call, locate_call, ready_call, score_call
from retouch.choices import Fill, MaskMode, MaskShape, Mode
from retouch.connection import BASE_URL, TIMEOUT_S, BaseClient, Settings, build_request, conclude
from retouch.pictures import ImageInput
from retouch.results import Box, EditResult, Location, Point
from retouch.retries import MAX_RETRIES, Outcome

P = ParamSpec("P")
T = TypeVar("T")


class AsyncRetouch(BaseClient):
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
        prompt: str | None = None,
        *,
        target: str | None = None,
        avoid: str | None = None,
        all: bool | None = None,
        mode: Mode | None = None,
        points: Sequence[Point] | None = None,
        labels: Sequence[int] | None = None,
        box: Box | None = None,
        mask: ImageInput | None = None,
        mask_mode: MaskMode | None = None,
        candidate: int | None = None,
        mask_shape: MaskShape | None = None,
        dilation: float | None = None,
        negative_prompt: str | None = None,
        n: int | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        strength: float | None = None,
        fill: Fill | None = None,
        scheduler: str | None = None,
        min_score: float | None = None,
    ) -> EditResult:
        """As `Retouch.edit`."""
        return await self._run(
            edit_call,
            image,
            prompt=prompt,
            target=target,
            avoid=avoid,
            all=all,
            mode=mode,
            points=points,
            labels=labels,
            box=box,
            mask=mask,
            mask_mode=mask_mode,
            candidate=candidate,
            mask_shape=mask_shape,
            dilation=dilation,
            negative_prompt=negative_prompt,
            n=n,
            seed=seed,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            strength=strength,
            fill=fill,
            scheduler=scheduler,
            min_score=min_score,
        )

    async def remove(
        self,
        image: ImageInput,
        target: str | None = None,
        *,
        avoid: str | None = None,
        all: bool | None = None,
        points: Sequence[Point] | None = None,
        labels: Sequence[int] | None = None,
        box: Box | None = None,
        mask: ImageInput | None = None,
        mask_mode: MaskMode | None = None,
        candidate: int | None = None,
        mask_shape: MaskShape | None = None,
        dilation: float | None = None,
    ) -> EditResult:
        """As `Retouch.remove`."""
        return await self._run(
            edit_call,
            image,
            mode="remove",
            target=target,
            avoid=avoid,
            all=all,
            points=points,
            labels=labels,
            box=box,
            mask=mask,
            mask_mode=mask_mode,
            candidate=candidate,
            mask_shape=mask_shape,
            dilation=dilation,
        )

    async def locate(
        self,
        image: ImageInput,
        target: str | None = None,
        *,
        avoid: str | None = None,
        all: bool | None = None,
        points: Sequence[Point] | None = None,
        labels: Sequence[int] | None = None,
        box: Box | None = None,
    ) -> Location:
        """As `Retouch.locate`."""
        return await self._run(
            locate_call,
            image,
            target=target,
            avoid=avoid,
            all=all,
            points=points,
            labels=labels,
            box=box,
        )

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
