"""Callers that ask the service for edits without pause, with the OpenAI SDK, and check every answer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from typing import Any, Literal

import openai

from benchmarks.callers import Edit, fresh
from benchmarks.faults.answers import Answer, difference, owner
from benchmarks.workload import EditCase

STEPS = 4
DEADLINE_S = 120.0  # the service's own, for a request
RETRIES = 2  # as the SDK does unless it is told otherwise

End = Literal["right", "wrong", "refused", "unanswered"]


@dataclass(frozen=True)
class Outcome:
    """How one edit ended, retries included, and when, in seconds of one clock.

    It is "refused" where the service said that it is busy, and "unanswered" where there was an error or no answer
    within the deadline. `detail` says what was wrong.
    """

    number: int
    end: End
    start_s: float
    end_s: float
    detail: str = ""

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


class Pool:
    """The edits that are asked for, each of another picture with another seed, and what each has to become."""

    def __init__(self, known: Sequence[EditCase], size: int) -> None:
        self.edits = [replace(edit, steps=STEPS) for edit in fresh(known, 0, size)]
        self.expected: list[Answer] = []

    def learn(self, ask: Callable[[Edit], Answer], callers: int) -> None:
        """Ask an undisturbed service for all of them. Raises what went wrong, if anything did."""
        with ThreadPoolExecutor(callers) as threads:
            self.expected = list(threads.map(ask, self.edits))

    def verdict(self, number: int, answer: Answer, exact: bool = False) -> str:
        """Return what is wrong with the answer to the edit of that number, or ""."""
        wrong = difference(answer, self.expected[number], exact)
        whose = owner(answer, self.expected) if wrong else None
        return wrong if whose is None else f"the picture of edit {whose}"


class Sdk:
    """Asks the service at `url` as a program does that uses the OpenAI SDK. Safe to use from several threads."""

    def __init__(self, url: str, retries: int = RETRIES) -> None:
        self._client = openai.OpenAI(api_key="any", base_url=f"{url}/v1", max_retries=retries, timeout=DEADLINE_S + 10)

    def edit(self, edit: Edit) -> Answer:
        """Return the answer. Raises openai.APIError after the last retry."""
        return Answer.read(self.content(edit))

    def content(self, edit: Edit) -> dict[str, Any]:
        """Return the JSON of the answer."""
        fields = edit.fields
        prompt, user = fields.pop("prompt"), fields.pop("user")
        picture = ("picture.png", edit.case.png, "image/png")
        answer = self._client.images.edit(image=picture, prompt=prompt, user=user, extra_body=fields)
        return answer.model_dump()

    def close(self) -> None:
        self._client.close()


class Load:
    """Callers that ask for the edits of a pool in turn. `outcomes` has what has ended so far.

    A caller waits `pause_s` before each edit. With `exact` an answer has to be bit-identical to be right.
    """

    def __init__(self, ask: Callable[[Edit], Answer], pool: Pool, exact: bool = False, pause_s: float = 0.0) -> None:
        self._ask = ask
        self._pool = pool
        self._exact = exact
        self._pause_s = pause_s
        self._numbers = itertools.count()
        self._lock = Lock()
        self.outcomes: list[Outcome] = []
        self.start_s = time.monotonic()

    @contextmanager
    def under_way(self, callers: int, count: int, most: int | None = None) -> Iterator[None]:
        """Ask until the block has ended and `count` edits were asked for, but for no more than `most`."""
        over = Event()
        self.start_s = time.monotonic()

        def call() -> None:
            while (number := self._next(most)) is not None and not (over.is_set() and number >= count):
                time.sleep(self._pause_s)
                self._keep(self._outcome(number % len(self._pool.edits)))

        threads = [Thread(target=call, daemon=True) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def wait_for(self, number: int) -> None:
        """Return when that many edits have ended."""
        while len(self.outcomes) < number:
            time.sleep(0.05)

    def _next(self, most: int | None) -> int | None:
        with self._lock:
            number = next(self._numbers)
        return number if most is None or number < most else None

    def _keep(self, outcome: Outcome) -> None:
        with self._lock:
            self.outcomes.append(outcome)

    def _outcome(self, number: int) -> Outcome:
        start = time.monotonic()
        end: End = "right"
        detail = ""
        try:
            detail = self._pool.verdict(number, self._ask(self._pool.edits[number]), self._exact)
            end = "wrong" if detail else "right"
        except openai.RateLimitError:
            end, detail = "refused", "429"
        except openai.APIError as error:
            end, detail = "unanswered", described(error)
        now = time.monotonic()
        if end == "right" and now - start > DEADLINE_S:
            end, detail = "unanswered", f"after {now - start:.0f} s"
        return Outcome(number, end, start, now, detail)


def described(error: openai.APIError) -> str:
    """Return what an error was, in a few words."""
    status = getattr(error, "status_code", None)
    return f"{status} {error.code or ''}".strip() if status else type(error).__name__
