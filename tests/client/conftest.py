"""A small service that answers in the shapes of the real one, without a network, and pictures to send it."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw

CLIENT_FOLDER = Path(__file__).parents[2] / "client"
sys.path.insert(0, str(CLIENT_FOLDER))

from retouch import AsyncRetouch, Retouch  # noqa: E402
from retouch.cli.main import main  # noqa: E402

ENVIRONMENT = ("RETOUCH_URL", "RETOUCH_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_COLOR", "FORCE_COLOR")


@dataclass(frozen=True)
class Part:
    """One part of a multipart form, as it was on the wire."""

    content: bytes
    file_name: str | None
    media_type: str | None

    @property
    def text(self) -> str:
        return self.content.decode()


@dataclass(frozen=True)
class Seen:
    """One request that the service got."""

    method: str
    path: str
    headers: httpx.Headers
    form: dict[str, Part]
    timeout: dict[str, float]

    @property
    def texts(self) -> dict[str, str]:
        """The fields that are not files."""
        return {name: part.text for name, part in self.form.items() if part.file_name is None}


Answer = httpx.Response | httpx.RequestError | KeyboardInterrupt


class Connection(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Brings pieces of a stream one after the other, or fails, and knows whether it was closed."""

    def __init__(self, pieces: Iterable[str | BaseException]) -> None:
        self.pieces = list(pieces)
        self.brought = 0
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            self.brought += 1
            yield piece.encode()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass
class FakeService:
    """Handles requests for `httpx.MockTransport`; what is put into `instead` is answered first, in order."""

    seen: list[Seen] = field(default_factory=list)
    instead: list[Answer] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    is_found: bool = True
    changes: dict[str, Any] = field(default_factory=dict)
    """What an edit or a locate answers otherwise than usual."""
    connections: list[Connection] = field(default_factory=list)
    """Those that streams came over."""
    events: list[str | BaseException] | None = None
    """What comes over the next streams, instead of what an edit says."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(read_request(request))
        if self.instead:
            answer = self.instead.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            return answer
        seen = self.seen[-1]
        handler = {
            ("POST", "/v1/images/edits"): self._edit,
            ("POST", "/v1/locate"): self._locate,
            ("POST", "/v1/score"): lambda _: {"score": 0.27},
            ("GET", "/readyz"): lambda _: {"status": "ready"},
        }.get((seen.method, seen.path))
        if handler is None:
            return error(404, "There is nothing at this address.", code="not_found")
        if seen.texts.get("stream") == "true":
            return self._stream(handler(seen), int(seen.texts.get("partial_images", 0)))
        return httpx.Response(200, json=handler(seen), headers={"x-request-id": "req-1"})

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    def client(self, **options: Any) -> Retouch:
        return Retouch(transport=httpx.MockTransport(self), sleep=self.sleep, **options)

    def async_client(self, **options: Any) -> AsyncRetouch:
        return AsyncRetouch(transport=httpx.MockTransport(self), sleep=self.asleep, **options)

    def run(self, *argv: object) -> int:
        """The command line with these words."""
        network = httpx.MockTransport(self)
        words = [str(word) for word in argv]
        return main(words, transport=network, sleep=self.sleep, async_transport=network, async_sleep=self.asleep)

    def _edit(self, seen: Seen) -> dict[str, Any]:
        n = int(seen.texts.get("n", 1))
        seed = int(seen.texts.get("seed", 1234))
        target = seen.texts.get("target", seen.texts.get("prompt", ""))
        size = Image.open(io.BytesIO(seen.form["image"].content)).size
        answer = edit_answer(size, target, seed, n)
        if seen.texts.get("fill_method") == "painter":
            answer |= {"mode": "remove", "fill_method": "painter"}
        elif "prompt" not in seen.texts:
            answer = removal_answer(size, target)
        return answer | self.changes

    def _stream(self, answer: dict[str, Any], previews: int) -> httpx.Response:
        connection = Connection(edit_events(answer, previews) if self.events is None else self.events)
        self.connections.append(connection)
        headers = {"x-request-id": "req-1", "content-type": "text/event-stream; charset=utf-8"}
        return httpx.Response(200, stream=connection, headers=headers)

    def _locate(self, seen: Seen) -> dict[str, Any]:
        size = Image.open(io.BytesIO(seen.form["image"].content)).size
        target = seen.texts.get("target", "")
        answer = location_answer(size, target) if self.is_found else no_location_answer(size, target)
        return answer | self.changes


def edit_answer(size: tuple[int, int], target: str, seed: int = 1234, n: int = 1) -> dict[str, Any]:
    """What the service answers to an edit, best first, with a key that the client does not know."""
    data = [
        {
            "b64_json": packed(Image.new("RGB", size, (200 - rank, 190, 10))),
            "seed": seed + rank,
            "score": {
                "before": 0.2,
                "after": 0.29 - rank / 100,
                "delta": 0.09 - rank / 100,
                "region_before": 0.18,
                "region_after": 0.31,
            },
            "seam": 1.5,
            "execution": "openvino",
            "precision": "float32",
        }
        for rank in range(n)
    ]
    return {
        "created": 1700000000,
        "data": data,
        "output_format": "png",
        "size": f"{size[0]}x{size[1]}",
        "mode": "replace",
        "method": "diffusion",
        "fill_method": None,
        "target": target,
        "phrase": "apple",
        "point": [20, 10],
        "confidence": 0.83,
        "margin": 1.5,
        "low_confidence": False,
        "candidates": [candidate(number) for number in range(3)],
        "chosen": 0,
        "instances": [0],
        "mask_b64": packed(ellipse(size)),
        "mask_read": None,
        "markup_read": None,
        "changed_outside_px": 0,
        "converted": [],
        "improved": True,
        "filtered": [],
        "num_inference_steps": 20,
        "guidance_scale": 7.5,
        "timings": {"locate": 0.25, "segment": 0.5, "score": 0.125, "inpaint": 2, "total": 2.875},
        "usage": {
            "input_tokens": 6,
            "input_tokens_details": {"image_tokens": 2, "text_tokens": 4},
            "output_tokens": 20 * n,
            "total_tokens": 20 * n + 6,
        },
        "safety_identifier": None,
    }


def event(kind: str, **content: Any) -> str:
    """An event as it is on the wire."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | content)}\n\n"


def edit_events(answer: dict[str, Any], previews: int = 0) -> list[str]:
    """The events that say what `answer` says, with previews that are darker than the best picture."""
    whole = {key: value for key, value in answer.items() if key not in ("data", "created")}
    whole["created_at"] = answer["created"]
    shown = {key: whole[key] for key in ("created_at", "size", "output_format")}
    size = tuple(map(int, answer["size"].split("x")))
    count = len(answer["data"])
    stages = [("locate", 0, 0), ("segment", 0, 0), ("inpaint", 0, 20 * count), ("inpaint", 20 * count, 20 * count)]
    progress = [event("image_edit.progress", stage=stage, done=done, total=total) for stage, done, total in stages]
    pictures = [packed(Image.new("RGB", size, (50 + index, 0, 0))) for index in range(previews)]
    partial = [
        event("image_edit.partial_image", b64_json=picture, partial_image_index=index, **shown)
        for index, picture in enumerate(pictures)
    ]
    completed = [
        event("image_edit.completed", index=index, count=count, **whole, **picture)
        for index, picture in enumerate(answer["data"])
    ]
    scored = event("image_edit.progress", stage="score", done=0, total=0)
    return [": ping\n\n", *progress[:3], *partial, progress[3], scored, *completed]


def removal_answer(size: tuple[int, int], target: str) -> dict[str, Any]:
    """What the service answers to a removal; a text that says what was removed is scored, and less is better."""
    answer = edit_answer(size, target)
    score = {"before": 0.29, "after": 0.2, "delta": -0.09, "region_before": 0.31, "region_after": 0.18}
    answer["data"][0] |= {"seed": None, "score": score if target else None}
    filled = {"mode": "remove", "method": "classical fill", "fill_method": "classical"}
    usage = answer["usage"] | {"output_tokens": 0, "total_tokens": 6}
    return answer | filled | {"timings": {"locate": 0.25}, "usage": usage}


def location_answer(size: tuple[int, int], target: str) -> dict[str, Any]:
    """What the service answers to a locate: two places, of the first of which there are two masks."""
    full = {"features": {"inside": 0.5, "sam": 0.9}, "mask_b64": packed(ellipse(size))}
    return {
        "target": target,
        "phrase": "apple" if target else "",
        "found": True,
        "point": [20, 10],
        "confidence": 0.83,
        "margin": 1.5,
        "size": list(size),
        "heat": [[0.0, 0.25, 1.0], [0.5, 0.0, 0.125]] if target else None,
        "low_confidence": False,
        "chosen": 0,
        "instances": [0],
        "candidates": [candidate(number) | full for number in range(3)],
        "timings": {"locate": 0.25, "segment": 0.5},
        "new": True,
    }


def no_location_answer(size: tuple[int, int], target: str) -> dict[str, Any]:
    """The same where nothing was found: a best guess, and no candidates."""
    return location_answer(size, target) | {"found": False, "confidence": 0.12, "margin": -2.0, "candidates": []}


def candidate(number: int) -> dict[str, Any]:
    return {
        "point": [20 + number, 10],
        "box": [10, 5, 31, 16 + number],
        "area": 0.125,
        "score": 0.75 - number / 4,
        "sam_score": 0.9,
        "source": ("peaks", "box", "peak")[number],
    }


def ellipse(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((10, 5, 30, 15), fill=255)
    return mask


def packed(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def error(
    status: int, message: str = "No.", code: str | None = None, param: str | None = None, **headers: str
) -> httpx.Response:
    """An error in the shape that every failure of the service has."""
    body = {"error": {"message": message, "type": "some_error", "param": param, "code": code}}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers={"x-request-id": "req-9", **names})


def read_request(request: httpx.Request) -> Seen:
    return Seen(
        request.method, request.url.path, request.headers, dict(read_form(request)), request.extensions["timeout"]
    )


def read_form(request: httpx.Request) -> Iterator[tuple[str, Part]]:
    """The parts of a multipart body, cut at its boundary."""
    kind, _, boundary = request.headers.get("content-type", "").partition("; boundary=")
    if kind != "multipart/form-data":
        return
    first, *parts, last = request.read().split(b"--" + boundary.encode())
    assert (first, last) == (b"", b"--\r\n")
    for part in parts:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        place = dict(item.split("=", 1) for item in lines["Content-Disposition"].split("; ")[1:])
        file_name = place["filename"].strip('"') if "filename" in place else None
        yield place["name"].strip('"'), Part(content.removesuffix(b"\r\n"), file_name, lines.get("Content-Type"))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def service_error() -> Callable[..., httpx.Response]:
    return error


@pytest.fixture
def good_edit() -> dict[str, Any]:
    return edit_answer((48, 32), "the apple")


@pytest.fixture
def good_location() -> dict[str, Any]:
    return location_answer((48, 32), "the apple")


@pytest.fixture
def stream_event() -> Callable[..., str]:
    return event


@pytest.fixture
def stream_of() -> Callable[..., list[str]]:
    return edit_events


@pytest.fixture
def client_folder() -> Path:
    return CLIENT_FOLDER


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG of 48x32 pixels in an otherwise empty folder."""
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (48, 32), (90, 120, 150)).save(path, quality=90)
    return path
