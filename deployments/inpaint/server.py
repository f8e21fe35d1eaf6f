"""The inpaint deployment: the engine behind an asyncio face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from deployments.config import InpaintArgs, InpaintSettings
from deployments.messages import InpaintRequest, Painted, Progress
from deployments.placement import loading
from deployments.progress import Latest

if TYPE_CHECKING:
    from deployments.inpaint.engine import StepTaken


class InpaintServer:
    """Paints all requests together, step by step. A cancelled one leaves between two steps."""

    def __init__(self, args: dict[str, Any] | InpaintArgs) -> None:
        # torch and diffusers take seconds to import; only the replica that runs the model pays for them.
        from deployments.inpaint.engine import InpaintEngine
        from deployments.inpaint.model import InpaintModel

        args = InpaintArgs.model_validate(args)
        with loading("inpaint"):
            self._engine = InpaintEngine(InpaintModel.load(args), args)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Takes new `InpaintSettings`, from the next step and the next request on."""
        self._engine.reconfigure(InpaintSettings.model_validate(user_config))

    async def inpaint(self, request: InpaintRequest) -> Painted:
        """See `InpaintRequest`. Raises InvalidInput, Overloaded, or what went wrong with this one request."""
        job = self._engine.submit(request)
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            self._engine.cancel(job)
            raise

    async def inpaint_stream(self, request: InpaintRequest) -> AsyncIterator[Progress | Painted]:
        """Yield how many steps have been taken, as they are taken, and last what `inpaint` returns."""
        loop = asyncio.get_running_loop()
        latest: Latest[Progress] = Latest()
        count = _counter(len(request.seeds))

        def on_step(step: StepTaken) -> None:
            loop.call_soon_threadsafe(latest.put, count(step))

        job = self._engine.submit(request, on_step)
        news = latest.followed_by(asyncio.wrap_future(job.future))
        try:
            async with aclosing(news):
                async for item in news:
                    yield item
        finally:
            self._engine.cancel(job)

    def check_health(self) -> None:
        """Raises RuntimeError when nothing would ever be painted again."""
        self._engine.check_health()


def _counter(pictures: int) -> Callable[[StepTaken], Progress]:
    """Return a function that adds up the steps of `pictures` pictures, from the news of each."""
    taken = [0] * pictures

    def count(step: StepTaken) -> Progress:
        taken[step.picture] = step.step
        return Progress("inpaint", sum(taken), step.steps * pictures)

    return count
