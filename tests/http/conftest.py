"""The app around a driver that paints rectangles: real pictures and results, no models and no Ray."""

import asyncio
import io
import re
import threading
import time
from collections.abc import Callable, Iterator

import httpx2 as httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from deployments.config import DriverSettings, Limits
from deployments.errors import TargetNotFound
from deployments.http.api import build_api
from deployments.messages import Edit, EditRequest, EditResult, LocateRequest, Location, Score, ScoreRequest

LIMITS = Limits(max_image_bytes=400_000, max_pixels=200_000, max_side_px=1000, max_prompt_chars=200)

# Addresses, tracebacks and absolute paths: what no caller may ever see.
LEAK = re.compile(r"0x[0-9a-f]{6,}|Traceback|site-packages|File \"|(?<!\w)/(?!v1/)[\w.-]+/[\w.-]+")


class RectanglePainter:
    """Paints the middle of each picture in a colour that the seed decides; finds anything but "a unicorn"."""

    def __init__(self) -> None:
        self.settings = DriverSettings(num_inference_steps=20, limits=LIMITS)
        self.requests: list[EditRequest | LocateRequest | ScoreRequest] = []
        self.failures: list[Exception] = []
        self.healthy = {"clip": True, "sam": True, "inpaint": True}
        self.hold: asyncio.Event | None = None
        self.holding = asyncio.Event()
        self.cancelled = 0
        self.thread = 0

    async def edit(self, request: EditRequest) -> EditResult:
        await self._take(request)
        location = self._find(request.image, request.target or request.prompt)
        if not location.found:
            raise TargetNotFound(location.target, location.point_xy, location.confidence)
        height, width = request.image.shape[:2]
        mask = np.zeros((height, width), bool)
        mask[height // 4 : height // 2, width // 4 : width // 2] = True
        first = 1234 if request.seed is None else request.seed
        edits = tuple(self._paint(request.image, mask, first + k) for k in range(request.n))
        return EditResult(
            edits=edits[::-1],
            location=location,
            mask=mask,
            num_inference_steps=request.num_inference_steps or self.settings.num_inference_steps,
            guidance_scale=self.settings.guidance_scale if request.guidance_scale is None else request.guidance_scale,
            changed_outside_px=0,
            timings_s={"locate": 0.01, "inpaint": 0.123456},
        )

    async def locate(self, request: LocateRequest) -> Location:
        await self._take(request)
        return self._find(request.image, request.target)

    async def score(self, request: ScoreRequest) -> float:
        await self._take(request)
        return float(request.image.mean() / 255)

    async def ready(self) -> dict[str, bool]:
        return self.healthy

    async def _take(self, request: EditRequest | LocateRequest | ScoreRequest) -> None:
        self.thread = threading.get_ident()
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        if self.hold is not None:
            self.holding.set()
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise

    def _find(self, image: np.ndarray, target: str) -> Location:
        height, width = image.shape[:2]
        found = target != "a unicorn"
        heat = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
        return Location(target, (width // 3, height // 3), 0.875 if found else 0.125, found, heat)

    def _paint(self, image: np.ndarray, mask: np.ndarray, seed: int) -> Edit:
        painted = image.copy()
        painted[mask] = colour_of(seed)
        return Edit(painted, seed, Score(before=0.125, after=0.25, region_before=0.0, region_after=0.5))


def colour_of(seed: int) -> tuple[int, int, int]:
    return seed % 251, seed // 251 % 251, 7


@pytest.fixture
def driver() -> RectanglePainter:
    return RectanglePainter()


@pytest.fixture
def client(driver: RectanglePainter) -> Iterator[TestClient]:
    with TestClient(build_api(driver)) as client:
        yield client


@pytest.fixture
def server(driver: RectanglePainter) -> Iterator[str]:
    """A real server on a free local port; its base address."""
    config = uvicorn.Config(
        build_api(driver),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        lifespan="off",
        ws="none",
        timeout_keep_alive=2,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(timeout=30)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A 96x64 PNG."""
    rough = np.random.default_rng(5).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(rough).resize((96, 64)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="session")
def opened() -> Callable[[bytes], np.ndarray]:
    """Opens a picture file as an array, without going through the code under test."""

    def read(data: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)

    return read


@pytest.fixture
def refused(client: TestClient, picture: bytes) -> Callable[..., dict]:
    """Checks that an answer is a proper refusal and that the next good request is served; returns the error."""

    def check(answer: httpx.Response, status: int, code: str, param: str | None = None) -> dict:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"]
        assert set(answer.json()) == {"error"}
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["code"], error["param"]) == (code, param)
        assert error["type"] in ("invalid_request_error", "rate_limit_error", "server_error")
        assert error["message"]
        assert not LEAK.search(answer.text)
        good = client.post("/v1/images/edits", files={"image": picture}, data={"prompt": "a lemon"})
        assert good.status_code == 200
        return error

    return check
