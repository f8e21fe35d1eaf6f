"""Good edits: whole, as streams with previews, and with a key twice. Each answer is looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from benchmarks.callers import PATH, promised_wait_s
from benchmarks.conformance import pictures
from benchmarks.conformance.answers import edited_json, shown
from benchmarks.conformance.events import COMPLETED, PARTIAL, of_type, streamed
from benchmarks.conformance.rows import Fails, check
from benchmarks.soak.plan import Request
from benchmarks.workload import EditCase

PATIENCE_S = 120.0  # for how long a refused request comes back
PREVIEWS = 2


class GoodCallers:
    """Ask for edits of pictures that nobody has sent before. Safe to use from several threads.

    `refusals` counts the 429 on the way: whoever gets one comes back after the promised wait.
    """

    def __init__(self, url: str, known: Sequence[EditCase], timeout_s: float) -> None:
        self.refusals = 0
        self._known = known
        # A connection for each request: the service closes one that rests, perhaps just as the next request uses it.
        self._client = httpx.Client(base_url=url, timeout=timeout_s, headers={"connection": "close"})

    def close(self) -> None:
        self._client.close()

    def ask(self, request: Request) -> None:
        """Send the request. Raises Fails or HTTPError where its answer is not what it must be."""
        kinds: dict[str, Callable[[Request], None]] = {"edit": self._edit, "stream": self._stream, "key": self._key}
        kinds[request.kind](request)

    def form(self, number: int, **fields: str) -> dict[str, Any]:
        """Return the form of an edit of the picture of that number, with these texts changed or added."""
        case = self._known[number % len(self._known)].marked(number)
        texts = {"prompt": case.prompt, "target": case.target, "seed": str(number)} | fields
        return {"data": texts, "files": {"image": ("picture.png", case.png, "image/png")}}

    def _edit(self, request: Request) -> None:
        body = edited_json(self._answer(self._form(request)))
        self._check(request, body["data"], body.get("changed_outside_px"))

    def _stream(self, request: Request) -> None:
        form = self._form(request, stream="true", partial_images=str(PREVIEWS))
        events = streamed(self._answer(form))
        done = of_type(events, COMPLETED)
        self._check(request, done, done[-1].get("changed_outside_px") if done else None)
        check(of_type(events, PARTIAL), "the stream has no previews")

    def _key(self, request: Request) -> None:
        """Send it twice: the second answer is the first one again."""
        headers = {"idempotency-key": f"soak-{request.number}"}
        first, second = (self._answer(self._form(request), headers) for _ in range(2))
        body = edited_json(first)
        self._check(request, body["data"], body.get("changed_outside_px"))
        check(second.content == first.content, "the same key got another answer")
        check(second.headers.get("x-retouch-replayed") == "true", "the same key was worked on again")

    def _form(self, request: Request, **fields: str) -> dict[str, Any]:
        steps = {"n": str(request.n), "num_inference_steps": str(request.steps)}
        return self.form(request.number, **steps, **fields)

    def _answer(self, form: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
        request = self._client.build_request("POST", PATH, headers=headers, **form)
        request.read()  # the same bytes each time
        until = time.monotonic() + PATIENCE_S
        while (answer := self._client.send(request)).status_code == httpx.codes.TOO_MANY_REQUESTS:
            self.refusals += 1
            wait_s = promised_wait_s(answer)
            check(wait_s is not None, "a 429 does not say when to come back")
            check(time.monotonic() < until, f"it was still refused after {PATIENCE_S:g} s")
            time.sleep(wait_s or 0.0)
        check(answer.status_code == httpx.codes.OK, shown(answer))
        return answer

    def _check(self, request: Request, data: Sequence[dict[str, Any]], changed_outside: int | None) -> None:
        height, width = self._known[0].mask.shape
        check(len(data) == request.n, f"there are {len(data)} pictures instead of {request.n}")
        sizes = {pictures.opened(each["b64_json"]).size for each in data}
        check(sizes == {(width, height)}, f"pictures of {sizes} instead of {width}x{height}")
        if changed_outside not in (None, 0):
            raise Fails(f"{changed_outside} pixels have changed outside the mask")
