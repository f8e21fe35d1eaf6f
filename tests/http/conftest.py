"""The app around a driver that paints rectangles: real pictures and results, no models and no Ray."""

import asyncio
import io
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator

import httpx2 as httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from deployments.config import DriverSettings
from deployments.errors import ContentFiltered, InvalidInput, TargetNotFound
from deployments.http.api import build_api
from deployments.limits import Limits
from deployments.messages import (
    Candidate,
    Edit,
    EditRequest,
    EditResult,
    LocateRequest,
    Location,
    News,
    PackedMask,
    PartialImage,
    Progress,
    Readiness,
    Score,
    ScoreRequest,
    Source,
)

LIMITS = Limits(max_image_bytes=400_000, max_pixels=200_000, max_side_px=1000, max_prompt_chars=200)

# Addresses, tracebacks and absolute paths: what no caller may ever see.
MASK_FILE = re.compile(r'"mask_b64":"[\w+/=]*"')
LEAK = re.compile(r"0x[0-9a-f]{6,}|Traceback|site-packages|File \"|(?<!\w)/(?!v1/)[\w.-]+/[\w.-]+")


STREAMED_STEPS = 4


class RectanglePainter:
    """Finds a rectangle in the middle of each picture and one in its corner, anything there but "a unicorn".

    It paints in a colour that the seed decides, removes in grey, and holds back what has one of `unsafe_seeds`.
    """

    def __init__(self) -> None:
        self.settings = DriverSettings(num_inference_steps=20, limits=LIMITS)
        self.requests: list[EditRequest | LocateRequest | ScoreRequest] = []
        self.failures: list[Exception] = []
        self.unsafe_seeds: tuple[int, ...] = ()
        self.stages = {"clip": Readiness(True), "sam": Readiness(True), "inpaint": Readiness(True)}
        self.hold: asyncio.Event | None = None
        self.holding = asyncio.Event()
        self.cancelled = 0
        self.thread = 0
        self.may_go_on = threading.Event()  # a streamed edit waits for it before its last step
        self.may_go_on.set()
        self.late_failures: list[Exception] = []  # of streamed edits, before that step
        self.closed = threading.Event()  # a streamed edit has ended, in whatever way

    async def edit(self, request: EditRequest) -> EditResult:
        await self._take(request)
        location = self._find(request)
        if not location.found:
            raise TargetNotFound(location, request.image.shape[1::-1])
        mask = location.candidates[location.chosen].mask.unpack()
        removing = request.mode == "remove" or (request.target is None and request.prompt.startswith("remove "))
        filling = (request.fill_method or self.settings.painting.fill_method) if removing else None
        classical = filling == "classical"
        edits = (self._remove(request, mask),) if classical else self._paint(request, mask)
        return EditResult(
            edits=edits,
            location=location,
            mask=mask,
            mode="remove" if removing else "replace",
            fill_method=filling,
            num_inference_steps=0 if classical else request.num_inference_steps or self.settings.num_inference_steps,
            guidance_scale=7.5 if request.guidance_scale is None else request.guidance_scale,
            changed_outside_px=0,
            improved=not removing,
            filtered_seeds=self.unsafe_seeds,
            row_steps=0 if classical else 40 * request.n,
            text_tokens=0 if classical else 3,
            timings_s={"locate": 0.01, "inpaint": 0.123456},
        )

    async def edit_stream(
        self, request: EditRequest, partial_images: int = 0
    ) -> AsyncGenerator[News | EditResult, None]:
        """Each preview is lighter than the one before, as its step is later."""
        try:
            yield Progress("locate")
            result = await self.edit(request)
            yield Progress("segment")
            classical = result.fill_method == "classical"
            yield Progress("fill" if classical else "inpaint")
            for step in range(1, 1 if classical else STREAMED_STEPS):
                yield Progress("inpaint", step, STREAMED_STEPS)
                if step <= partial_images:
                    shown = np.where(result.mask[..., None], np.uint8(10 * step), request.image)
                    yield PartialImage(shown, step - 1)
            await self.told_to_go_on()
            if self.late_failures:
                raise self.late_failures.pop(0)
            yield Progress("score")
            yield result
        finally:
            self.closed.set()

    async def told_to_go_on(self) -> None:
        while not self.may_go_on.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.005)

    async def locate(self, request: LocateRequest) -> Location:
        await self._take(request)
        return self._find(request)

    async def score(self, request: ScoreRequest) -> float:
        await self._take(request)
        return float(request.image.mean() / 255)

    async def ready(self) -> dict[str, Readiness]:
        return self.stages

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

    def _find(self, request: EditRequest | LocateRequest) -> Location:
        edit = request if isinstance(request, EditRequest) else EditRequest(request.image)
        target = request.target or edit.prompt
        if edit.mask is not None:
            return Location(target, target, (0, 0), 1.0, 0.0, True, None, (candidate(edit.mask, "mask"),))
        middle, corner = rectangles(request.image)
        if request.points or request.box:
            place = request.points[0] if request.points else request.box[:2]
            return Location(target, target, place, 1.0, 0.0, True, None, (candidate(middle, "points"),))
        found = target != "a unicorn"
        candidates = (candidate(middle, "peak"), candidate(corner, "heat"))
        chosen = edit.candidate or 0
        if chosen >= len(candidates):
            raise InvalidInput("candidate must be less than 2: so many were found.", "candidate")
        return Location(
            target=target,
            phrase=target.removeprefix("the "),
            point_xy=candidates[chosen].point_xy,
            confidence=0.875 if found else 0.125,
            margin=1.5 if found else -2.5,
            found=found,
            heat=np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
            candidates=candidates,
            chosen=chosen,
            low_confidence=chosen == 1,
            timings_s={"locate": 0.0123456},
        )

    def _paint(self, request: EditRequest, mask: np.ndarray) -> tuple[Edit, ...]:
        """The last seed's picture comes first."""
        first = 1234 if request.seed is None else request.seed
        seeds = [seed for seed in range(first, first + request.n) if seed not in self.unsafe_seeds]
        if not seeds:
            raise ContentFiltered(self.unsafe_seeds)
        score = Score(before=0.125, after=0.25, region_before=0.0, region_after=0.5)
        pictures = [np.where(mask[..., None], np.uint8(colour_of(seed)), request.image) for seed in seeds]
        edits = [
            Edit(picture, seed, score, 2.5, "traced", "float32") for picture, seed in zip(pictures, seeds, strict=True)
        ]
        return tuple(reversed(edits))

    def _remove(self, request: EditRequest, mask: np.ndarray) -> Edit:
        score = Score(before=0.25, after=0.125, region_before=0.5, region_after=0.0) if request.target else None
        return Edit(np.where(mask[..., None], np.uint8(128), request.image), None, score, seam=0.5)


def rectangles(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two masks: the middle and the corner of the picture."""
    height, width = image.shape[:2]
    middle, corner = np.zeros((2, height, width), bool)
    middle[height // 4 : height // 2, width // 4 : width // 2] = True
    corner[: height // 8, : width // 8] = True
    return middle, corner


def candidate(mask: np.ndarray, source: Source) -> Candidate:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    sam_score = 0.0 if source in ("heat", "mask") else 0.75
    features = {"coverage": 0.5, "sam": sam_score}
    area = float(mask.mean())
    return Candidate((box[0] + 8, box[1] + 5), box, area, 0.625, sam_score, source, PackedMask.of(mask), features)


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
        body = answer.json()
        assert set(body) == ({"error", "location"} if code == "target_not_found" else {"error"})
        error = body["error"]
        details = {"moderation_details"} if code == "moderation_blocked" else set()
        assert set(error) == {"message", "type", "param", "code"} | details
        assert (error["code"], error["param"]) == (code, param)
        assert error["type"] in ("invalid_request_error", "rate_limit_error", "server_error")
        assert error["message"]
        assert not LEAK.search(MASK_FILE.sub("", answer.text))
        good = client.post("/v1/images/edits", files={"image": picture}, data={"prompt": "a lemon"})
        assert good.status_code == 200
        return error

    return check


@pytest.fixture
def refused_edit(client: TestClient, driver: RectanglePainter, picture: bytes, refused) -> Callable[..., str]:
    """Sends an edit that has to be refused before the driver hears of it; returns the message."""

    def post(
        param: str, fields: dict, files: dict | list | None = None, status: int = 400, code: str = "invalid_value"
    ) -> str:
        form = {key: value for key, value in ({"prompt": "a lemon"} | fields).items() if value is not None}
        before = len(driver.requests)
        answer = client.post("/v1/images/edits", data=form, files={"image": picture} if files is None else files)
        assert len(driver.requests) == before
        return refused(answer, status, code, param)["message"]

    return post
