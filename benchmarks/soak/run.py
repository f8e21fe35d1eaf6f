"""Send the plan with several callers at once, and keep what went wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import h11
import httpx

from benchmarks.conformance.rows import Fails
from benchmarks.soak.abuse import CASES, SLOW, Target
from benchmarks.soak.edits import GoodCallers
from benchmarks.soak.plan import Request, shared_out
from benchmarks.soak.processes import Reading, Watch
from benchmarks.soak.stillness import Stillness, settled

DAWDLERS = 2  # callers beside the others whose requests take as long as the service lets them
SHOWN = 20  # failures that are said at once


@dataclass
class Course:
    """What became of the requests: how many have ended, and what was wrong with some, as (kind, why)."""

    done: int = 0
    asked: dict[str, int] = field(default_factory=dict)
    wrong: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Soaked:
    """All that the report needs: the course, readings, and what was under way after the warm-up and at the end."""

    course: Course
    readings: Sequence[Reading]
    warm: Stillness
    end: Stillness
    refusals: int


def soak(
    app: str,
    good: GoodCallers,
    target: Target,
    warm_up: Sequence[Request],
    requests: Sequence[Request],
    callers: int,
    say: Callable[[str], None],
) -> Soaked:
    """Send the warm-up, wait until the service rests, send the rest, and wait again."""
    course = Course()
    senders = Senders(good, target, course, callers, say)
    senders.send(warm_up)
    warm = settled(app)
    say(f"{course.done} requests of the warm-up have ended")
    with Watch(app, lambda: course.done) as watch:
        senders.send(requests)
    end = settled(app)
    return Soaked(course, watch.readings, warm, end, good.refusals)


class Senders:
    """Callers who take one request after another from a common list."""

    def __init__(
        self, good: GoodCallers, target: Target, course: Course, callers: int, say: Callable[[str], None]
    ) -> None:
        self._good = good
        self._target = target
        self._course = course
        self._callers = callers
        self._say = say
        self._ended = itertools.count(course.done + 1)

    def send(self, requests: Sequence[Request]) -> None:
        """Return when all of them have ended."""
        quick, slow = shared_out(requests, (SLOW,))
        with ThreadPoolExecutor(self._callers) as callers, ThreadPoolExecutor(DAWDLERS) as dawdlers:
            for each in [*callers.map(self._send, quick), *dawdlers.map(self._send, slow)]:
                assert each is None

    def _send(self, request: Request) -> None:
        kind = request.abuse or request.kind
        try:
            if request.abuse:
                CASES[request.abuse].commit(self._target, request.number)
            else:
                self._good.ask(request)
        # Whatever goes wrong with one request is reported, and the others go on.
        except (Fails, httpx.HTTPError, h11.ProtocolError, OSError, KeyError, ValueError, StopIteration) as error:
            self._course.wrong.append((kind, f"request {request.number}: {type(error).__name__}: {error}"))
            if len(self._course.wrong) <= SHOWN:
                self._say(f"wrong: {kind}: {self._course.wrong[-1][1]}")
        self._course.asked[kind] = self._course.asked.get(kind, 0) + 1
        self._course.done = next(self._ended)
