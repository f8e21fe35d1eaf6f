"""The inpaint deployment: the engine behind an asyncio face."""

from __future__ import annotations

import asyncio
from typing import Any

from deployments.config import InpaintArgs, InpaintSettings
from deployments.messages import InpaintRequest, Painted
from deployments.placement import limit_gpu_memory


class InpaintServer:
    """Paints all requests together, step by step. A cancelled one leaves between two steps."""

    def __init__(self, args: dict[str, Any] | InpaintArgs) -> None:
        # torch and diffusers take seconds to import; only the replica that runs the model pays for them.
        from deployments.inpaint.engine import InpaintEngine
        from deployments.inpaint.model import InpaintModel

        limit_gpu_memory()
        args = InpaintArgs.model_validate(args)
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

    def check_health(self) -> None:
        """Raises RuntimeError when nothing would ever be painted again."""
        self._engine.check_health()
