"""The page in a real browser, in front of the real HTTP app with a driver that paints by colour."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.http.api import build_api
from tests.browser.painter import ColourPainter
from tests.browser.pictures import png, scene

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

    from tests.browser.person import Person

CHROMIUM = shutil.which("chromium")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is not None:
        return
    reason = "the page was not tested: no chromium on this machine (apt-get install chromium)"
    for item in filter(_is_here, items):
        item.add_marker(pytest.mark.skip(reason=reason))


def _is_here(item: pytest.Item) -> bool:
    return item.path.parent == Path(__file__).parent


class Service:
    """A real server that can go away and come back at the same address."""

    def __init__(self, driver: ColourPainter, prefix: str = "") -> None:
        self.driver, self.prefix, self.port = driver, prefix, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}/"

    def start(self) -> None:
        config = uvicorn.Config(
            _below(self.prefix, build_api(self.driver)),
            host="127.0.0.1",
            port=self.port,
            log_level="error",
            lifespan="off",
            ws="none",
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


def _below(prefix: str, app: ASGIApp) -> ASGIApp:
    """Return the app as Serve mounts it below a route prefix."""

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": prefix}, receive, send)

    return mounted if prefix else app


@pytest.fixture
def driver() -> ColourPainter:
    return ColourPainter()


@pytest.fixture
def service(driver: ColourPainter) -> Iterator[Service]:
    running = Service(driver)
    running.start()
    yield running
    driver.is_paused = False
    running.stop()


class OneBrowser:
    """The browser of all these tests. It ends with the last of them: while it runs no test can have an event loop."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._browser: Browser | None = None

    def open(self) -> Browser:
        from playwright.sync_api import expect, sync_playwright

        if self._browser is None:
            expect.set_options(timeout=10_000)
            # No other host has an address for this browser.
            only_here = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
            arguments = ["--no-sandbox", "--disable-background-networking", only_here]
            playwright = self._stack.enter_context(sync_playwright())
            self._browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            self._stack.callback(self._browser.close)
        return self._browser

    def close(self) -> None:
        self._stack.close()
        self._browser = None


ONE_BROWSER = OneBrowser()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Generator[None]:
    yield
    if nextitem is None or not _is_here(nextitem):
        ONE_BROWSER.close()


@pytest.fixture
def browser() -> Browser:
    return ONE_BROWSER.open()


class Guard:
    """Watches a page: an error on its console, a breach of its policy or a request to another host fails the test."""

    def __init__(self, page: Page, service: Service) -> None:
        self.service = service
        self.problems: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"{error}\n{error.stack}"))
        page.on("request", self._on_request)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.service.url.rstrip("/"), "blob:")):
            self.problems.append(f"a request to {request.url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        # The browser itself reports each answer that is no success; what the page makes of it is what is tested.
        address = message.location.get("url", "")
        is_answer = address.startswith((self.service.url + "v1/", self.service.url + "readyz"))
        if message.type in ("error", "warning") and not (message.text.startswith("Failed to load") and is_answer):
            self.problems.append(f"{message.text} ({address})")


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Callable[..., Person]]:
    """Open the page in a browser of its own, `service` by default; returns who is at it."""
    from tests.browser.person import Person

    contexts, guards = [], []

    def open_page(at: Service = service, viewport: dict[str, int] = DESKTOP, **options: Any) -> Person:
        context = browser.new_context(viewport=viewport, reduced_motion="reduce", accept_downloads=True, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        guards.append(Guard(page, at))
        person = Person(page, at.url)
        person.arrive()
        return person

    yield open_page
    for context in contexts:
        context.close()
    assert [problem for guard in guards for problem in guard.problems] == []


@pytest.fixture
def person(visit: Callable[..., Person]) -> Person:
    """Someone at a desktop who has opened the scene."""
    someone = visit()
    someone.choose(png(scene()))
    return someone


@pytest.fixture
def on_phone(visit: Callable[..., Person]) -> Person:
    """Someone with a phone who has opened the scene."""
    someone = visit(viewport=PHONE, has_touch=True, device_scale_factor=2)
    someone.choose(png(scene()))
    return someone
