"""Steady load over HTTP: callers that each send their next request when the last one was answered."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

import httpx
import numpy as np
from PIL import Image

Form = dict[str, Any]


class Callers:
    """Callers of a URL, from the `with` to its end. `form(number)` is what the request with this number sends."""

    def __init__(self, url: str, form: Callable[[int], Form], callers: int) -> None:
        self._url = url
        self._form = form
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._sent = 0
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]
        self.answers: dict[int, httpx.Response] = {}  # by the number of the request
        self.lost: list[str] = []

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @property
    def statuses(self) -> Counter[int]:
        """How many answers there were of each status."""
        return Counter(answer.status_code for answer in list(self.answers.values()))

    @property
    def failures(self) -> list[str]:
        """What was neither answered as asked nor refused for want of room (429)."""
        bad = [answer.text for answer in list(self.answers.values()) if answer.status_code not in (200, 429)]
        return self.lost + bad

    def _call(self) -> None:
        with httpx.Client(timeout=240) as client:
            while not self._ended.is_set():
                with self._lock:
                    number, self._sent = self._sent, self._sent + 1
                try:
                    answer = client.post(self._url, **self._form(number))
                except httpx.HTTPError as error:
                    self.lost.append(repr(error))
                    continue
                self.answers[number] = answer
                if answer.status_code == 429:
                    self._ended.wait(1)


class Pictures:
    """Pictures that no cache knows, and requests about them that only one model works on."""

    def __init__(self, png: bytes) -> None:
        with Image.open(io.BytesIO(png)) as image:
            self._pixels = np.asarray(image.convert("RGB")).copy()
        drawn = np.zeros(self._pixels.shape[:2], np.uint8)
        drawn[80:160, 80:160] = 255
        self._mask = _png(drawn)
        self._lock = threading.Lock()

    def new(self, number: int) -> bytes:
        """Return the picture with one pixel by which its number can be known."""
        with self._lock:
            self._pixels[0, 0] = number % 256, number // 256 % 256, number // 65536 % 256
            return _png(self._pixels)

    def for_clip(self, number: int) -> Form:
        """A search by words, at `/v1/locate`."""
        return {"data": {"target": "the cactus"}, "files": {"image": self.new(number)}}

    def for_sam(self, number: int) -> Form:
        """A search by a point, at `/v1/locate`."""
        return {"data": {"points": "264,162"}, "files": {"image": self.new(number)}}

    def for_inpaint(self, number: int) -> Form:
        """An edit of many steps in a mask that was drawn, at `/v1/images/edits`."""
        fields = {"prompt": "a lemon", "seed": str(number % 1000), "num_inference_steps": "120"}
        return {"data": fields, "files": {"image": self.new(number), "mask": self._mask}}


def _png(pixels: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "png", compress_level=1)
    return written.getvalue()
