"""Callers over HTTP: the same code asks the service and its peers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Event, Thread

import httpx

from benchmarks.workload import GUIDANCE_SCALE, STEPS, EditCase

PATH = "/v1/images/edits"
TIMEOUT_S = 300
PATIENCE_S = 120  # for how long a refused request is asked again
SHORTEST_WAIT_S = 0.05
# Shorter than the five seconds after which uvicorn closes an idle connection, also of a process that was suspended.
KEEP_ALIVE_S = 2


@dataclass(frozen=True)
class Edit:
    """One request: `n` pictures of the edit that `case` describes, with seeds from `seed` on, for `user`."""

    case: EditCase
    seed: int
    n: int = 1
    user: str = "caller"
    steps: int = STEPS

    @property
    def fields(self) -> dict[str, str]:
        """Return the form, without the picture."""
        return {
            "prompt": self.case.prompt,
            "target": self.case.target,
            "seed": str(self.seed),
            "n": str(self.n),
            "num_inference_steps": str(self.steps),
            "guidance_scale": str(GUIDANCE_SCALE),
            "user": self.user,
        }


class Caller:
    """Asks one server for edits, and keeps which it refused. Safe to use from several threads.

    It has as many connections as requests under way: a request that waits here for one would look like a slow server.
    """

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_S)
        self.refused: list[Edit] = []
        # No compression: one of the peers would gzip the PNG that it has just made.
        self._client = httpx.Client(
            base_url=url, timeout=TIMEOUT_S, limits=limits, headers={"Accept-Encoding": "identity"}
        )

    def request(self, edit: Edit) -> httpx.Request:
        """Return the request with its body made, so that the same bytes can be sent more than once."""
        picture = ("picture.png", edit.case.png, "image/png")
        request = self._client.build_request("POST", PATH, data=edit.fields, files={"image": picture})
        request.read()
        return request

    def ask(self, request: httpx.Request) -> httpx.Response:
        """Return the answer, whatever its status is. Raises TransportError where there is none."""
        return self._client.send(request)

    def send(self, edit: Edit) -> httpx.Response:
        """Return the answer, whatever its status is."""
        return self.ask(self.request(edit))

    def edit_patiently(self, edit: Edit) -> bool:
        """Ask again, when the server says so, until there is an answer. Return False where none came in time."""
        until, request = time.monotonic() + PATIENCE_S, self.request(edit)
        while time.monotonic() < until:
            answer = self.ask(request)
            if answer.is_success:
                return True
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return False
            self.refused.append(edit)
            wait_s = promised_wait_s(answer)
            time.sleep(max(1.0 if wait_s is None else wait_s, SHORTEST_WAIT_S))
        return False

    def edit_surely(self, edit: Edit) -> None:
        """Ask like `edit_patiently`. Raises RuntimeError where there is no answer: a time without one means nothing."""
        if not self.edit_patiently(edit):
            raise RuntimeError(f"There was no answer to {edit.fields} within {PATIENCE_S} s.")

    def close(self) -> None:
        self._client.close()


def promised_wait_s(answer: httpx.Response) -> float | None:
    """Return the seconds that the server wants to pass, as both of its headers may say; None where neither does."""
    if "retry-after-ms" in answer.headers:
        return float(answer.headers["retry-after-ms"]) / 1000
    return float(answer.headers["retry-after"]) if "retry-after" in answer.headers else None


def fresh(known: Sequence[EditCase], first: int, number: int, n: int = 1, user: str = "caller") -> list[Edit]:
    """Return `number` edits of pictures that no cache has seen, as long as no two calls have numbers in common."""
    return [Edit(known[index % len(known)].marked(index), index, n, user) for index in range(first, first + number)]


@contextmanager
def flood(caller: Caller, known: Sequence[EditCase], first: int, depth: int, n: int) -> Iterator[None]:
    """Keep `depth` requests for `n` pictures each under way while the block runs; let the last ones end after it."""
    over, numbers = Event(), count(first)

    def ask() -> None:
        while not over.is_set():
            caller.edit_patiently(fresh(known, next(numbers), 1, n, "flood")[0])

    threads = [Thread(target=ask) for _ in range(depth)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
