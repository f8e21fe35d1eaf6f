"""The inpaint deployment: one model, one thread that owns it, one job after another."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from deployments.config import ModelArgs
from deployments.messages import InpaintRequest


class InpaintServer:
    """Runs jobs in the order they come, off the event loop. A cancelled job stops between two steps."""

    def __init__(self, args: ModelArgs) -> None:
        # torch and diffusers take seconds to import; only the replica that runs the model pays for them.
        from deployments.inpaint.model import InpaintModel

        self._model = InpaintModel.load(args)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inpaint")

    async def inpaint(self, request: InpaintRequest) -> np.ndarray:
        """n x H x W x 3 uint8: see `InpaintModel.inpaint`."""
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._model.inpaint, request, stop.is_set)
        except asyncio.CancelledError:
            stop.set()
            raise

    def check_health(self) -> None:
        """The model is loaded, or this object would not exist; its thread must still take work."""
        self._thread.submit(lambda: None).cancel()
