"""The whole service with the real pocket models in this process, without Ray."""

from __future__ import annotations

import asyncio
import threading

import uvicorn

from benchmarks.in_process import InProcessGraph
from deployments.config import ClipSettings, DriverSettings, GraphArgs, InpaintArgs
from deployments.http.api import build_api


class PocketService:
    """The service on a free local port, in a thread of its own that ends with `stop`.

    `steps` is how many a painting has where the request does not say.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._started = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address, once it answers."""
        assert self._started.wait(timeout=120)
        assert self._server is not None, "the service did not start"
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/"

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = self._server.force_exit = True
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._started.set()

    async def _serve(self) -> None:
        graph = InProcessGraph(GraphArgs(inpaint=InpaintArgs(execution="eager")))
        try:
            graph.configure(ClipSettings(), DriverSettings(num_inference_steps=self._steps))
            api = build_api(graph.driver)
            server = uvicorn.Server(uvicorn.Config(api, port=0, log_level="warning", lifespan="off", ws="none"))
            serving = asyncio.create_task(server.serve())
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            self._server = server
            self._started.set()
            await serving
        finally:
            graph.close()
