"""The whole service with the real pocket models in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from benchmarks.in_process import InProcessGraph
from deployments.config import ClipSettings, DriverSettings, GraphArgs, InpaintArgs
from deployments.http.api import build_api
from tests.docs.reader import make_clone

STEPS = 8  # of a painting where the example does not say how many


class PocketService:
    """The service on a free local port, in a thread of its own that ends with `stop`."""

    def __init__(self) -> None:
        self._started = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def url(self) -> str:
        """Return its address, once it answers."""
        assert self._started.wait(timeout=120)
        assert self._server is not None, "the service did not start"
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
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
            graph.configure(ClipSettings(), DriverSettings(num_inference_steps=STEPS))
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


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    service = PocketService()
    try:
        yield service.url()
    finally:
        service.stop()


@pytest.fixture
def clone(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_clone(tmp_path, monkeypatch, server)
