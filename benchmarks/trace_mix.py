"""Traffic with the shape of production, and a caller who floods the service: ours and the best peer in turns.

A refused request is asked again when the server says so, as our client and OpenAI's do, and its latency counts from
when it was due. What is answered later than GOOD_WITHIN times what the best peer takes for as many pictures when it has
nothing else to do is not good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from ray import serve

from benchmarks.callers import PATIENCE_S, Caller, Edit, flood, fresh
from benchmarks.figures import Comparison, Figure, interleaved, percentile
from benchmarks.peer_process import installed, orders, peers
from benchmarks.peers import CALLERS, NOT_INSTALLED, OURS, WARM_UP, Server, Service, Side
from benchmarks.setup import Setup
from benchmarks.traffic import SHARES, edits, trace
from benchmarks.workload import EditCase, TimedRequest, closed_loop, open_loop

APP = "retouch-traffic"
REQUESTS = 16  # in a round
LOAD = 0.8  # of what the best peer can do
GOOD_WITHIN = 5
VICTIMS = 3  # edits for one picture in a round
FLOOD_DEPTH = 2  # requests that the flooding caller has under way: one is painted, one waits
FLOOD_N = 8
FLOOD_STARTS_S = 1.0
GOODPUT = f"trace mix at {LOAD:.0%} of the best peer's capacity: goodput over the best peer's"
TRACE_P95 = f"trace mix at {LOAD:.0%} of the best peer's capacity: p95 of n=1 over the best peer's"
FLOODED = "p95 of n=1 callers while one floods with n=8, over alone"


@dataclass
class Traffic:
    """What came of the requests to one server, over all rounds.

    `traced` and `refused` are those of the trace, a request as often as it was refused; `alone_s` and `flooded_s` are
    the seconds of the victims.
    """

    server: Server
    known: list[EditCase]
    traced: list[TimedRequest[Edit]] = field(default_factory=list)
    refused: list[Edit] = field(default_factory=list)
    alone_s: list[float] = field(default_factory=list)
    flooded_s: list[float] = field(default_factory=list)

    def capacity(self) -> float:
        """Return the pictures a second of eight callers who ask for what the trace asks for."""
        asked = edits(trace(REQUESTS, 1.0, 0), self.known, 3 * WARM_UP)
        with self.server.awake() as caller:
            seconds = closed_loop(caller.edit_surely, asked, CALLERS)
        return sum(edit.n for edit in asked) / seconds

    def alone(self) -> dict[int, float]:
        """Return the seconds of a request for n pictures that has the server to itself, by n."""
        with self.server.awake() as caller:
            return {n: closed_loop(caller.edit_surely, fresh(self.known, 2 * WARM_UP + n, 1, n), 1) for n in SHARES}

    def goodput(self, pictures_per_s: float, limits_s: Mapping[int, float]) -> Callable[[int], float]:
        """Return what runs a round of the trace and returns the pictures a second that were answered in time."""

        def run(number: int) -> float:
            timed = trace(REQUESTS, pictures_per_s, number)
            with self.server.awake() as caller:
                asked = edits(timed, self.known, 1000 * number)
                outcomes = open_loop(caller.edit_patiently, asked, [each.due_s for each in timed])
                self.refused += caller.refused
            self.traced += outcomes
            end = max(each.due_s + each.latency_s for each in outcomes)
            return sum(each.item.n for each in outcomes if in_time(each, limits_s)) / end

        return run

    def victims(self, number: int) -> float:
        """Ask for one picture after another, alone and beside the flood; return the longest seconds of the latter."""
        first = 1000 * number + 500
        with self.server.awake() as caller:
            self.alone_s += _each(caller, fresh(self.known, first, VICTIMS))
            with flood(caller, self.known, first + 100, FLOOD_DEPTH, FLOOD_N):
                time.sleep(FLOOD_STARTS_S)
                flooded = _each(caller, fresh(self.known, first + 50, VICTIMS))
        self.flooded_s += flooded
        return max(flooded)


def _each(caller: Caller, asked: Sequence[Edit]) -> list[float]:
    return [closed_loop(caller.edit_surely, [edit], 1) for edit in asked]


def in_time(outcome: TimedRequest[Edit], limits_s: Mapping[int, float]) -> bool:
    """Return whether it was answered, and soon enough for the number of its pictures."""
    return outcome.answered and outcome.latency_s <= limits_s[outcome.item.n]


def measure(
    rounds: int, setup: Setup, url: str, known: list[EditCase], say: Callable[[str], None]
) -> Iterator[Figure | Comparison]:
    """Run the trace and the flood through ours and the best peer."""
    setup.start(APP, "/")
    try:
        ours = Traffic(Service(url), known)
        Side(ours.server, known).warm_up()
        capacity = {OURS: ours.capacity()} | (_peers_capacity(setup, known) if installed() else {})
        say("pictures/s of the trace's mix: " + "  ".join(f"{name} {value:.2f}" for name, value in capacity.items()))
        best = max(capacity, key=lambda name: (name != OURS, capacity[name]))
        with peers({name: order for name, order in orders(setup.args).items() if name == best}) as servers:
            sides = {OURS: ours} | {name: Traffic(server, known) for name, server in servers.items()}
            yield from _rounds(rounds, sides, best, capacity, say)
    finally:
        serve.delete(APP)


def _peers_capacity(setup: Setup, known: list[EditCase]) -> dict[str, float]:
    """Return how many pictures a second of this mix each of them answers."""
    with peers(orders(setup.args)) as servers:
        for server in servers.values():
            Side(server, known).warm_up()
        return {name: Traffic(server, known).capacity() for name, server in servers.items()}


def _rounds(
    rounds: int, sides: Mapping[str, Traffic], best: str, capacity: Mapping[str, float], say: Callable[[str], None]
) -> Iterator[Figure | Comparison]:
    Side(sides[best].server, sides[best].known).warm_up()
    limits_s = {n: GOOD_WITHIN * seconds for n, seconds in sides[best].alone().items()}
    load = LOAD * capacity[best]
    say(f"trace of {load:.2f} pictures/s ({LOAD:.0%} of {best}): good pictures a second")
    good = interleaved(rounds, {name: side.goodput(load, limits_s) for name, side in sides.items()}, say)
    say("n=1 beside a flood of n=8: the longest s of a round")
    interleaved(rounds, {name: side.victims for name, side in sides.items()}, say)
    other = best if best != OURS else None
    yield from figures(sides, good, capacity, other)
    yield latencies(sides, good, limits_s)
    yield flooding(sides)


def figures(
    sides: Mapping[str, Traffic], good: Mapping[str, list[float]], capacity: Mapping[str, float], other: str | None
) -> Iterator[Figure]:
    """Return the rows. Without a peer those that compare with it stay empty."""
    if other is None:
        yield Figure(GOODPUT, (), missing=NOT_INSTALLED)
        yield Figure(TRACE_P95, (), below=True, missing=NOT_INSTALLED)
    else:
        parts = {f"pictures/s at most, {name}": value for name, value in capacity.items()}
        good_rounds = tuple(a / b for a, b in zip(good[OURS], good[other], strict=True) if b)
        yield Figure(GOODPUT, good_rounds, parts=parts, missing="the peer answered nothing in time")
        p95 = {name: percentile(_latencies(side.traced, 1), 0.95) for name, side in sides.items()}
        yield Figure(TRACE_P95, (p95[OURS] / p95[other],), below=True)
    yield _flooded(sides[OURS], FLOODED, 3)
    if other is not None:
        yield _flooded(sides[other], f"the same of {other}", None)


def _flooded(side: Traffic, what: str, target: float | None) -> Figure:
    alone, flooded = float(np.median(side.alone_s)), percentile(side.flooded_s, 0.95)
    return Figure(what, (flooded / alone,), target, below=True, parts={"s alone": alone, "p95 s flooded": flooded})


def _latencies(outcomes: Sequence[TimedRequest[Edit]], n: int | None = None) -> list[float]:
    """Return those of requests for n pictures, or of all. What was not answered counts as long as it was tried."""
    counted = [each for each in outcomes if n in (None, each.item.n)]
    return [each.latency_s if each.answered else max(each.latency_s, PATIENCE_S) for each in counted]


def latencies(
    sides: Mapping[str, Traffic], good: Mapping[str, list[float]], limits_s: Mapping[int, float]
) -> Comparison:
    """Return what became of the trace, by side and number of pictures."""
    rows = {
        f"{name}, {f'n={n}' if n else 'all'}": _row(side, n, limits_s, None if n else float(np.median(good[name])))
        for name, side in sides.items()
        for n in (*SHARES, None)
    }
    return Comparison(f"trace mix at {LOAD:.0%} of the best peer's capacity", rows)


def _row(side: Traffic, n: int | None, limits_s: Mapping[int, float], good: float | None) -> dict[str, float | None]:
    """Return what became of the requests for n pictures, or of all of them."""
    seconds = _latencies(side.traced, n)
    soon = [in_time(each, limits_s) for each in side.traced if n in (None, each.item.n)]
    return {
        "requests": float(len(seconds)),
        "refusals": float(sum(n in (None, edit.n) for edit in side.refused)),
        "p50 s": percentile(seconds, 0.5) if seconds else None,
        "p95 s": percentile(seconds, 0.95) if seconds else None,
        "in time": float(np.mean(soon)) if soon else None,
        "good pictures/s": good,
    }


def flooding(sides: Mapping[str, Traffic]) -> Comparison:
    """Return the seconds of one caller's n=1, alone and beside another's n=8."""
    rows = {
        name: {
            "median s alone": float(np.median(side.alone_s)),
            "median s beside n=8": float(np.median(side.flooded_s)),
            "p95 s beside n=8": percentile(side.flooded_s, 0.95),
        }
        for name, side in sides.items()
    }
    return Comparison("a caller of n=1 beside one who keeps two requests of n=8 under way", rows)
