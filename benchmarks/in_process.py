"""The whole graph in one process, without Ray: the same driver and the same deployments, called directly."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Generator
from typing import Any, cast

import diffusers
import transformers

from deployments.clip.server import ClipServer
from deployments.config import ClipSettings, DriverSettings, GraphArgs
from deployments.driver.server import Driver
from deployments.inpaint.executions import settled
from deployments.inpaint.server import InpaintServer
from deployments.sam.server import SamServer
from deployments.serving.status import StageStatus


def silence() -> None:
    """No notes on how models are loaded: whoever waits for a table need not know."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()


class InProcessGraph:
    """Build it and use it in one event loop: the deployments' batchers belong to that.

    It paints in one execution from the start, the one that the service comes to.
    """

    def __init__(self, args: GraphArgs) -> None:
        self._clip = ClipServer(args.clip)
        self._inpaint = InpaintServer(settled(args.inpaint))
        stages = (self._clip, SamServer(args.sam), self._inpaint)
        clip, sam, inpaint = (cast(Any, _Handle(stage)) for stage in stages)
        self.driver = Driver(clip, sam, inpaint, _all_loaded)

    def configure(self, clip: ClipSettings, driver: DriverSettings) -> None:
        """Other settings from the next request on."""
        self._clip.reconfigure(clip.model_dump())
        self.driver.reconfigure(driver.model_dump())

    def close(self) -> None:
        """Ends the painter's threads."""
        self._inpaint.close()


def _all_loaded() -> dict[str, StageStatus]:
    return {stage: StageStatus(ready=True, running=1) for stage in ("clip", "sam", "inpaint")}


class _Handle:
    """Stands for Serve's handle of a deployment."""

    def __init__(self, stage: Any) -> None:
        self._stage = stage

    def __getattr__(self, method: str) -> _Method:
        return _Method(getattr(self._stage, method))

    def options(self, *, stream: bool = False, session_id: str = "") -> Any:
        return _StreamingHandle(self._stage) if stream else self


class _StreamingHandle:
    """Stands for such a handle with `stream=True`: its methods answer item by item."""

    def __init__(self, stage: Any) -> None:
        self._stage = stage

    def __getattr__(self, method: str) -> _StreamingMethod:
        return _StreamingMethod(getattr(self._stage, method))


class _Method:
    def __init__(self, method: Any) -> None:
        self._method = method

    def remote(self, *args: Any) -> _Response:
        return _Response(self._method, args)


class _Response:
    """Stands for Serve's response: runs at once; can be awaited, cancelled, and passed on unresolved."""

    def __init__(self, method: Any, args: tuple[Any, ...]) -> None:
        self._task = asyncio.ensure_future(self._run(method, args))

    async def _run(self, method: Any, args: tuple[Any, ...]) -> Any:
        return await method(*[await arg if isinstance(arg, _Response) else arg for arg in args])

    def __await__(self) -> Generator[Any, None, Any]:
        return self._task.__await__()

    def cancel(self) -> None:
        self._task.cancel()


class _StreamingMethod:
    def __init__(self, method: Any) -> None:
        self._method = method

    def remote(self, *args: Any) -> _Stream:
        return _Stream(self._method, args)


class _Stream:
    """Stands for Serve's generator of responses: runs as it is read, and ends where it is cancelled."""

    def __init__(self, method: Any, args: tuple[Any, ...]) -> None:
        self._items = self._run(method, args)
        self._reader: asyncio.Task[Any] | None = None

    async def _run(self, method: Any, args: tuple[Any, ...]) -> AsyncIterator[Any]:
        self._reader = asyncio.current_task()
        async for item in method(*[await arg if isinstance(arg, _Response) else arg for arg in args]):
            yield item
        self._reader = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._items

    def cancel(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
