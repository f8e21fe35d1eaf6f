"""Abuse: what broken and hostile clients send, and the status that each of them must get.

The answers have the service's envelope, which names no file, address or traceback, except where Serve's proxy itself
gives up waiting (408). Clients that leave get none.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.callers import PATH
from benchmarks.conformance import pictures
from benchmarks.conformance.answers import refused, shown
from benchmarks.conformance.rows import check
from benchmarks.soak.edits import GoodCallers
from benchmarks.soak.pixel_bombs import plain, png_bomb
from benchmarks.soak.sockets import FILE_BEGINS, RawClient

OVERSIZE = 42 * 10**6  # bytes: a little more than the two largest pictures and their form
CHUNK = bytes(2**18)
PRIVATE_URL = "http://127.0.0.1:9/picture.png"
FORM, JSON = "multipart/form-data; boundary=b", "application/json"
LONG = "60"  # steps of an edit whose client leaves: it would still run when the others have gone on


class Target:
    """The service under attack, and callers who know what a good request is. Close it afterwards."""

    def __init__(self, url: str, good: GoodCallers, timeout_s: float) -> None:
        self.raw = RawClient(url, timeout_s)
        self._good = good
        self._client = httpx.Client(base_url=url, timeout=timeout_s, headers={"connection": "close"})

    def close(self) -> None:
        self._client.close()

    def request(self, number: int, **fields: str) -> httpx.Request:
        """Return a good request with these texts changed or added."""
        return self._client.build_request("POST", PATH, **self._good.form(number, **fields))

    def form(self, number: int, picture: bytes | None = None, **fields: str) -> httpx.Response:
        """Return the answer to a good form with another picture, or with these texts changed or added."""
        form = self._good.form(number, **fields)
        if picture is not None:
            form["files"] = {"image": ("picture.png", picture, "image/png")}
        return self._client.post(PATH, **form)

    def body(self, content: bytes | str | Iterator[bytes], content_type: str) -> httpx.Response:
        """Return the answer to any body of any type."""
        return self._client.post(PATH, content=content, headers={"content-type": content_type})

    def json(self, **fields: Any) -> httpx.Response:
        """Return the answer to a JSON body with these fields besides a prompt."""
        return self.body(json.dumps({"prompt": "a lemon"} | fields), JSON)


Ask = Callable[[Target, int], httpx.Response | None]


@dataclass(frozen=True)
class Case:
    """One kind of abuse: `ask` sends it, and the status of the answer must be this; None where the client leaves."""

    status: int | None
    ask: Ask

    def commit(self, target: Target, number: int) -> None:
        """Send it. Raises Fails or HTTPError unless it is answered as it must be."""
        answer = self.ask(target, number)
        if self.status is None or answer is None:
            check(self.status is None, "there was no answer")
        elif self.status == httpx.codes.REQUEST_TIMEOUT:
            check(answer.status_code == self.status, f"{shown(answer)} instead of {self.status}")
        else:
            refused(answer, statuses=(self.status,))


def _picture(data: bytes) -> Ask:
    return lambda target, number: target.form(number, data)


def _field(**fields: str) -> Ask:
    return lambda target, number: target.form(number, None, **fields)


def _body(content: bytes | str, content_type: str) -> Ask:
    return lambda target, _: target.body(content, content_type)


def _parts(count: int) -> bytes:
    parts = (f'--b\r\nContent-Disposition: form-data; name="f{k}"\r\n\r\nx\r\n'.encode() for k in range(count))
    return b"".join(parts) + b"--b--"


def _endless(target: Target, _: int) -> httpx.Response:
    def chunks() -> Iterator[bytes]:
        yield FILE_BEGINS
        yield from (CHUNK for _ in range(OVERSIZE // len(CHUNK)))

    return target.body(chunks(), FORM)


def _leaves_upload(target: Target, number: int) -> None:
    target.raw.leave(target.request(number), share=random.Random(number).uniform(0.1, 0.9), after_s=0.1)


def _leaves_edit(target: Target, number: int) -> None:
    """Hang up at a random moment: the picture is being looked for, cut out or painted."""
    after_s = random.Random(number).uniform(0.05, 2.0)
    target.raw.leave(target.request(number, num_inference_steps=LONG, n="2"), share=1.0, after_s=after_s)


def _leaves_stream(target: Target, number: int) -> None:
    request = target.request(number, num_inference_steps=LONG, stream="true", partial_images="3")
    status = target.raw.leave_stream(request)
    check(status in (httpx.codes.OK, httpx.codes.TOO_MANY_REQUESTS), f"the stream began with {status}")


SLOW = "a byte a second, with a header that forbids a time limit"
CASES: dict[str, Case] = {
    "PNG cut off": Case(400, _picture(pictures.cut_off())),
    "text for a picture": Case(415, _picture(pictures.NO_PICTURE)),
    "pickle for a picture": Case(415, _picture(b"\x80\x04\x95pickle")),
    "GIF": Case(415, _picture(plain(32, 32, "GIF"))),
    "pixel bomb of 9000x9000": Case(413, _picture(png_bomb(9000, 9000, 9000))),
    "PNG that claims 65500x65500": Case(413, _picture(png_bomb(65_500, 65_500, 1))),
    "picture of 1x1": Case(400, _picture(plain(1, 1))),
    "picture of 20x9000": Case(413, _picture(plain(20, 9000))),
    "huge n": Case(400, _field(n="1000")),
    "huge number of steps": Case(400, _field(num_inference_steps="1000000000")),
    "huge seed": Case(400, _field(seed=str(2**70))),
    "guidance that is no number": Case(400, _field(guidance_scale="nan")),
    "text for a number": Case(400, _field(n="two")),
    "unknown field": Case(400, _field(colour_of_frame="red")),
    "path for a model": Case(404, _field(model="../../etc/passwd")),
    "prompt of a megabyte": Case(400, _field(prompt="x" * 10**6)),
    "nothing of that name": Case(422, _field(target="the unicorn")),
    "broken JSON": Case(400, _body('{"prompt": "x",}', JSON)),
    "JSON in JSON, 100,000 deep": Case(400, _body('{"points": ' + "[" * 100_000, JSON)),
    "address for a picture": Case(400, lambda target, _: target.json(images=[{"image_url": PRIVATE_URL}])),
    "base64 of another alphabet": Case(
        400, lambda target, _: target.json(images=[{"image_url": "data:image/png;base64,%%%"}])
    ),
    "form of a thousand parts": Case(400, _body(_parts(1000), FORM)),
    "form without an end": Case(400, _body(_parts(2)[:-10], FORM)),
    "pickle for a body": Case(415, _body(b"\x80\x04\x95", "application/python-pickle")),
    "gigabyte announced": Case(413, lambda target, _: target.raw.announce()),
    "42 MB in chunks": Case(413, _endless),
    "leaves while uploading": Case(None, _leaves_upload),
    "leaves while it is edited": Case(None, _leaves_edit),
    "leaves a stream": Case(None, _leaves_stream),
    SLOW: Case(408, lambda target, _: target.raw.dawdle()),
}
