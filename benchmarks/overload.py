"""More load than the service can bear: what it still delivers, whom it refuses, and whether its word about when to come
back is good.

Callers come at random times for a minute, at shares of what eight callers in a closed loop were answered just before.
One who is refused with 429 comes back once, with the same bytes, after exactly the wait that the answer promises, as a
patient client does. The bodies of all requests are made before the clock starts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx
from ray import serve

from benchmarks.callers import Caller, Edit, fresh, promised_wait_s
from benchmarks.figures import Comparison, Figure, percentile
from benchmarks.setup import Setup
from benchmarks.workload import EditCase, arrivals_within, closed_loop, open_loop

APP = "retouch-overload"
CALLERS = 8
AT_ONCE = 32  # edits of the closed loop that measures the capacity
MINUTE_S = 60.0
LOW, FULL, HIGH = 0.8, 1.0, 2.0  # offered load, in shares of the capacity
NO_ANSWER = 0  # in the place of a status, where the connection broke


@dataclass(frozen=True)
class Attempt:
    """One sending of a request: seconds of the clock at both ends, the answer's status and the wait it promised."""

    sent_s: float
    ended_s: float
    status: int
    wait_s: float | None = None

    @property
    def admitted(self) -> bool:
        return self.status == httpx.codes.OK

    @property
    def refused_properly(self) -> bool:
        """Whether it is a refusal that says when to come back."""
        return self.status == httpx.codes.TOO_MANY_REQUESTS and self.wait_s is not None


@dataclass(frozen=True)
class Visit:
    """All that one caller did: its first attempt, and the second one if it was refused and came back."""

    attempts: tuple[Attempt, ...]

    @property
    def admitted(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts[-1].admitted else None

    @property
    def returned(self) -> bool:
        return len(self.attempts) > 1

    @property
    def seconds(self) -> float:
        """From the first sending to the last answer, waits included."""
        return self.attempts[-1].ended_s - self.attempts[0].sent_s


@dataclass(frozen=True)
class Load:
    """A minute of arrivals: its visits, and how many cores the callers themselves took meanwhile."""

    visits: tuple[Visit, ...]
    callers_cores: float

    @property
    def goodput(self) -> float:
        """Edits a second that were answered, from the first arrival to the last answer.

        The capacity is counted in the same way. To count only what is answered within the minute would blame the
        service for what it has under way at the end of it: with sixteen edits in every step that is a fifth of all.
        """
        answered = admitted(self.visits)
        if not answered:
            return 0.0
        start = min(each.attempts[0].sent_s for each in self.visits)
        return len(answered) / (max(each.ended_s for each in answered) - start)


@dataclass(frozen=True)
class Round:
    """The capacity in edits a second, and the loads by their share of it."""

    capacity: float
    loads: Mapping[float, Load]


def measure(
    rounds: int, setup: Setup, url: str, known: list[EditCase], say: Callable[[str], None]
) -> Iterator[Figure | Comparison]:
    """Run the three loads in each round, in changing order, each round after its own measure of the capacity."""
    setup.start(APP, "/")
    caller, pictures = Caller(url), _Pictures(known)
    try:
        closed_loop(caller.edit_surely, pictures.next(CALLERS), CALLERS)
        made: list[Round] = []
        for number in range(rounds):
            made.append(_round(number, caller, pictures))
            goodputs = "  ".join(f"{share:g}x {load.goodput:.2f}" for share, load in sorted(made[-1].loads.items()))
            say(f"round {number + 1}: {made[-1].capacity:.2f} edits/s at most; answered/s at {goodputs}")
        yield from figures(made)
        yield table(made)
    finally:
        caller.close()
        serve.delete(APP)


class _Pictures:
    """Edits of pictures that no cache has seen."""

    def __init__(self, known: Sequence[EditCase]) -> None:
        self._known = known
        self._next = 0

    def next(self, number: int) -> list[Edit]:
        first, self._next = self._next, self._next + number
        return fresh(self._known, first, number)


def _round(number: int, caller: Caller, pictures: _Pictures) -> Round:
    capacity = AT_ONCE / closed_loop(caller.edit_surely, pictures.next(AT_ONCE), CALLERS)
    shares = (LOW, FULL, HIGH) if number % 2 == 0 else (HIGH, FULL, LOW)
    loads: dict[float, Load] = {}
    for share in shares:
        due_s = arrivals_within(MINUTE_S, share * capacity, number)
        requests = [caller.request(edit) for edit in pictures.next(len(due_s))]
        loads[share] = offered(caller.ask, requests, due_s)
    return Round(capacity, loads)


def offered(
    ask: Callable[[httpx.Request], httpx.Response], requests: Sequence[httpx.Request], due_s: Sequence[float]
) -> Load:
    """Return what became of the requests, each sent when it is due."""
    visits: list[Visit] = []

    def come(request: httpx.Request) -> bool:
        visits.append(visit(ask, request))
        return visits[-1].admitted is not None

    start, before = time.perf_counter(), time.process_time()
    open_loop(come, requests, due_s)
    cores = (time.process_time() - before) / (time.perf_counter() - start)
    return Load(tuple(visits), cores)


def visit(ask: Callable[[httpx.Request], httpx.Response], request: httpx.Request) -> Visit:
    """Send a request and, where it is refused with 429, send it once more after the promised wait."""
    first = _attempt(ask, request)
    if not first.refused_properly or first.wait_s is None:
        return Visit((first,))
    time.sleep(max(0.0, first.ended_s + first.wait_s - time.perf_counter()))
    return Visit((first, _attempt(ask, request)))


def _attempt(ask: Callable[[httpx.Request], httpx.Response], request: httpx.Request) -> Attempt:
    sent_s = time.perf_counter()
    try:
        answer = ask(request)
    except httpx.TransportError:
        return Attempt(sent_s, time.perf_counter(), NO_ANSWER)
    return Attempt(sent_s, time.perf_counter(), answer.status_code, promised_wait_s(answer))


def admitted(visits: Sequence[Visit]) -> list[Attempt]:
    """Return the attempts that were answered with a picture."""
    return [each.admitted for each in visits if each.admitted is not None]


def refusals(visits: Sequence[Visit]) -> list[Attempt]:
    """Return the attempts that were not."""
    return [attempt for each in visits for attempt in each.attempts if not attempt.admitted]


def _latencies(visits: Sequence[Visit]) -> list[float]:
    """Return the seconds from the sending of a request that was admitted to its answer."""
    return [each.ended_s - each.sent_s for each in admitted(visits)]


def figures(made: Sequence[Round]) -> Iterator[Figure]:
    """Return the rows. What nobody was refused for, or nobody was admitted for, cannot be measured."""
    low, high = _pooled(made, LOW), _pooled(made, HIGH)
    goodput = tuple(each.loads[HIGH].goodput / each.capacity for each in made)
    parts = {"edits/s at most": statistics.median(each.capacity for each in made)}
    yield Figure("overload: goodput at twice the capacity, over the capacity", goodput, 0.9, parts=parts)
    p99 = [percentile(seconds, 0.99) for visits in (high, low) if (seconds := _latencies(visits))]
    yield Figure(
        "p99 of the admitted at twice the capacity, over p99 at 80 %",
        (p99[0] / p99[1],) if len(p99) > 1 else (),
        3,
        below=True,
        missing="nothing was admitted",
    )
    back = [each for each in high if each.returned]
    yield Figure(
        "overload: admitted when they came back after the promised wait, of those that were refused",
        (sum(each.admitted is not None for each in back) / len(back),) if back else (),
        0.8,
        missing="nobody was refused",
    )
    refused = refusals([each for share in (LOW, FULL, HIGH) for each in _pooled(made, share)])
    yield Figure(
        "overload: refusals that are a 429 and say when to come back",
        (sum(each.refused_properly for each in refused) / len(refused),) if refused else (),
        1.0,
        missing="nobody was refused",
    )


def table(made: Sequence[Round]) -> Comparison:
    """Return what became of each load, all rounds together."""
    rows = {f"{share:.0%} of the capacity": _row(made, share) for share in (LOW, FULL, HIGH)}
    return Comparison("offered load for a minute, refused callers come back once", rows)


def _row(made: Sequence[Round], share: float) -> dict[str, float | None]:
    visits = _pooled(made, share)
    seconds = _latencies(visits)
    waits = [each.wait_s for each in refusals(visits) if each.wait_s is not None]
    back = [each for each in visits if each.returned]
    return {
        "requests": float(len(visits)),
        "answered/s": statistics.median(each.loads[share].goodput for each in made),
        "refusals": float(len(refusals(visits))),
        "p50 s": percentile(seconds, 0.5) if seconds else None,
        "p95 s": percentile(seconds, 0.95) if seconds else None,
        "p99 s": percentile(seconds, 0.99) if seconds else None,
        "mean promised wait s": statistics.mean(waits) if waits else None,
        "came back": float(len(back)),
        "of them admitted": float(len(admitted(back))),
        "mean s of theirs in all": statistics.mean(each.seconds for each in back) if back else None,
        "cores of the callers": statistics.median(each.loads[share].callers_cores for each in made),
    }


def _pooled(made: Sequence[Round], share: float) -> list[Visit]:
    return [each for one in made for each in one.loads[share].visits]
