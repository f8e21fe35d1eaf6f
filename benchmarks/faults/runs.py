"""How a fault is done: under load, a number of times, and with a look at what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle

from benchmarks.callers import Edit
from benchmarks.faults import processes
from benchmarks.faults.aftermath import Aftermath
from benchmarks.faults.answers import Answer
from benchmarks.faults.cluster import Site
from benchmarks.faults.kills import Fault, kill_replica
from benchmarks.faults.load import Load, Pool
from benchmarks.faults.report import Row, row_of

CALLERS = 6
FIRST_S, EVERY_S = 5.0, 20.0
PAUSE_S = 1.5  # of each of the four callers between two edits, so that the edits last for several kills
STAGES = ("sam", "clip", "inpaint", "driver")
IN_TURN = "four callers, who retry once; every 20 s a replica is killed: sam, clip, inpaint, driver"
Ask = Callable[[Edit], Answer]


def run(
    site: Site, ask: Ask, pool: Pool, aftermath: Aftermath, fault: Fault, times: int, edits: int, exact: bool = False
) -> Row:
    """Do the fault `times` times, evenly over at least that many edits, each time to a service that is complete."""
    load, doomed, failures = Load(ask, pool, exact), list[int](), list[str]()
    aftermath.begin()
    with load.under_way(CALLERS, edits):
        for number in range(times):
            load.wait_for(max(edits * (number + 1) // (times + 1), len(load.outcomes) + CALLERS))
            try:
                doomed += fault.strike(site)
                site.settle()
            except Exception as error:
                failures.append(str(error) or type(error).__name__)
    left = [*failures, *aftermath.left(doomed)]
    return row_of(fault.name, times, load.outcomes, load.start_s, left)


def run_in_turn(site: Site, ask: Ask, pool: Pool, aftermath: Aftermath, edits: int) -> Row:
    """Kill a replica every twenty seconds, of each stage in turn, until four callers have asked for all edits."""
    load, doomed = Load(ask, pool, pause_s=PAUSE_S), list[int]()
    aftermath.begin()
    with load.under_way(4, edits, most=edits):
        due_s = time.monotonic() + FIRST_S
        for deployment in cycle(STAGES):
            while time.monotonic() < due_s and len(load.outcomes) < edits:
                time.sleep(0.1)
            if len(load.outcomes) >= edits:
                break
            due_s += EVERY_S
            _await_replica(site, deployment)
            doomed += kill_replica(deployment)(site)
    site.settle()
    name = f"{edits} edits by {IN_TURN}"
    return row_of(name, len(doomed), load.outcomes, load.start_s, aftermath.left(doomed), bar=1.0)


def _await_replica(site: Site, deployment: str) -> None:
    """Wait until there is one to kill: the one that was killed before may not be back yet."""
    processes.wait_until(lambda: bool(processes.replicas(site.run, deployment)), f"a replica of {deployment}", 60)
