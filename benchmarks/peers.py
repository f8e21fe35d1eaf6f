"""The whole service over HTTP beside its peers: LitServe around the stock libraries, and those in one process.

All of them have the same weights, pictures, steps and guidance, are asked by the same callers and take turns in each
round. A peer's processes are stopped outside its turn; the service's idle ones cannot be, so what they take is
reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from ray import serve

from benchmarks.baselines import SequentialProcess
from benchmarks.callers import Caller, Edit, fresh
from benchmarks.core_seconds import idle_cores
from benchmarks.figures import Comparison, Figure, interleaved, percentile, ratios
from benchmarks.peer_process import installed, orders, peers
from benchmarks.setup import Setup
from benchmarks.workload import EditCase, closed_loop

OURS = "Retouch"
SEQUENTIAL = "one process, one after another"
NOT_INSTALLED = "LitServe is not installed"
APP = "retouch-beside-peers"
CALLERS = 8
AT_ONCE = 16  # edits in a round of eight callers
ONE_BY_ONE = 3  # edits in a round of one caller
WARM_UP = 10**6  # number of the first edit before the rounds


class Server(Protocol):
    """Whoever can be asked over HTTP."""

    def awake(self) -> AbstractContextManager[Caller]: ...


@dataclass(frozen=True)
class Service:
    """Our own service, which is never stopped."""

    url: str

    @contextmanager
    def awake(self) -> Iterator[Caller]:
        caller = Caller(self.url)
        try:
            yield caller
        finally:
            caller.close()


@dataclass
class Side:
    """What is measured of one server; `latencies_s` are those of the requests of eight callers."""

    server: Server
    known: list[EditCase]
    latencies_s: list[float] = field(default_factory=list)

    def warm_up(self) -> None:
        """Let each worker meet each kind of request once."""
        with self.server.awake() as caller:
            closed_loop(caller.edit_surely, fresh(self.known, WARM_UP, 4), 4)

    def images_per_s(self, number: int) -> float:
        """Return it for eight callers; round `number` has the same pictures for all sides."""
        with self.server.awake() as caller:
            seconds = closed_loop(self._timed(caller), fresh(self.known, 1000 * number, AT_ONCE), CALLERS)
        return AT_ONCE / seconds

    def seconds_alone(self, number: int) -> float:
        """Return the seconds of an edit for one caller."""
        with self.server.awake() as caller:
            return closed_loop(caller.edit_surely, fresh(self.known, 1000 * number + 500, ONE_BY_ONE), 1) / ONE_BY_ONE

    def _timed(self, caller: Caller) -> Callable[[Edit], None]:
        def ask(edit: Edit) -> None:
            start = time.perf_counter()
            caller.edit_surely(edit)
            self.latencies_s.append(time.perf_counter() - start)

        return ask


def measure(
    rounds: int, setup: Setup, url: str, known: list[EditCase], say: Callable[[str], None]
) -> Iterator[Figure | Comparison]:
    """Compare throughput with eight callers and latency with one."""
    setup.start(APP, "/")
    try:
        ours = Side(Service(url), known)
        ours.warm_up()
        idle = idle_cores()
        if not installed():
            say(f"{NOT_INSTALLED}: `make bench` installs it, where there is a package index")
        baseline = SequentialProcess(setup.args)
        try:
            with peers(orders(setup.args) if installed() else {}) as servers:
                sides = {OURS: ours} | {name: Side(server, known) for name, server in servers.items()}
                made = _rounds(rounds, sides, baseline, say)
        finally:
            baseline.close()
    finally:
        serve.delete(APP)
    yield from figures(made, idle)
    yield table(made, {name: percentile(side.latencies_s, 0.95) for name, side in sides.items()})


def _rounds(
    rounds: int, sides: Mapping[str, Side], baseline: SequentialProcess, say: Callable[[str], None]
) -> dict[str, dict[str, list[float]]]:
    """Return images/s of eight callers and seconds of one, by name and round."""
    turns: dict[str, Callable[[int], float]] = {SEQUENTIAL: lambda n: baseline.seconds_per_edit(ONE_BY_ONE, n)}
    for name, side in sides.items():
        side.warm_up()
        side.latencies_s.clear()
        turns |= {f"{name}, images/s": side.images_per_s, f"{name}, s alone": side.seconds_alone}
    say(f"{CALLERS} callers and one; one process on {baseline.threads} threads")
    made = interleaved(rounds, turns, say)
    return {
        "images/s": {name: made[f"{name}, images/s"] for name in sides}
        | {SEQUENTIAL: [1 / seconds for seconds in made[SEQUENTIAL]]},
        "s alone": {name: made[f"{name}, s alone"] for name in sides} | {SEQUENTIAL: made[SEQUENTIAL]},
    }


def figures(made: Mapping[str, Mapping[str, list[float]]], idle: float) -> Iterator[Figure]:
    """Return the rows: ours over the best peer, and over the one process. A peer that is not there leaves its empty."""
    speed, alone = made["images/s"], made["s alone"]
    others = [name for name in speed if name not in (OURS, SEQUENTIAL)]
    fastest = max(others, key=lambda name: np.median(speed[name]), default=None)
    soonest = min(others, key=lambda name: np.median(alone[name]), default=None)
    parts = {"cores that the idle service takes in the others' turns": idle}
    yield _over("service images/s with 8 callers, over the best peer", speed, fastest, 2.0, False, parts)
    yield _over("latency with one caller, over the best peer's", alone, soonest, 0.6, True, {})
    yield _over("service images/s with 8 callers, over the sequential baseline", speed, SEQUENTIAL, 2.5, False, {})
    yield _over("latency with one caller, over the baseline's compute alone", alone, SEQUENTIAL, 0.6, True, {})


def _over(
    what: str,
    made: Mapping[str, list[float]],
    other: str | None,
    target: float,
    below: bool,
    parts: Mapping[str, float],
) -> Figure:
    if other is None:
        return Figure(what, (), target, below, missing=NOT_INSTALLED)
    medians = {name: float(np.median(made[name])) for name in (OURS, other)}
    return Figure(what, ratios(made[OURS], made[other]), target, below, parts={**medians, **parts})


def table(made: Mapping[str, Mapping[str, list[float]]], p95_s: Mapping[str, float]) -> Comparison:
    """Return what each side did, medians of the rounds."""
    rows = {
        name: {
            "images/s, 8 callers": float(np.median(made["images/s"][name])),
            "p95 s, 8 callers": p95_s.get(name),
            "s, one caller": float(np.median(made["s alone"][name])),
        }
        for name in made["images/s"]
    }
    return Comparison("the service and its peers, over HTTP", rows)
