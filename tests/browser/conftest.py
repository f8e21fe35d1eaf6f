"""The page in a real browser, in front of the real HTTP app with a driver that paints by colour."""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import uvicorn
from PIL import Image, ImageDraw

from deployments.http.api import build_api

from tests.browser.painter import COLOURS, GROUND, ColourPainter

CHROMIUM = shutil.which("chromium")
WIDTH, HEIGHT = 480, 360


def pytest_collection_modifyitems(items):
    here = [item for item in items if "tests/browser" in str(item.path)]
    if CHROMIUM is None:
        for item in here:
            item.add_marker(pytest.mark.skip(reason="no chromium on this machine: apt-get install chromium"))


@pytest.fixture
def driver() -> ColourPainter:
    return ColourPainter()


class Service:
    """A real server that can go away and come back at the same address."""

    def __init__(self, driver: ColourPainter, prefix: str = "") -> None:
        self.driver, self.prefix, self.port = driver, prefix, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}/"

    def start(self) -> None:
        config = uvicorn.Config(
            build_api(self.driver),
            host="127.0.0.1",
            port=self.port,
            log_level="warning",
            lifespan="off",
            ws="none",
            root_path=self.prefix,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.005)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()


@pytest.fixture
def service(driver: ColourPainter) -> Iterator[Service]:
    running = Service(driver)
    running.start()
    yield running
    running.stop()
