"""Kills parts of the running service under load, breaks its models, and says what the callers noticed.

    python -m benchmarks.faults [--selection] [--only WORD ...] [--keep] [--name 2026-01-31-faults]

A cluster of three nodes is started on this machine, apart from any other Ray. Callers ask it for small edits by the
OpenAI SDK. Every answer is compared with that of an undisturbed run for the same picture and seed. The exit status is 1
where a bar is missed. About twenty minutes on two cores; `--selection` does each fault once, in about eight.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.faults.cluster import Site
    from benchmarks.faults.report import Row

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a replica; before torch is imported
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_metrics_report_interval_ms", "1000")
os.environ.setdefault("RAY_worker_niceness", "0")  # the callers are on the same machine
os.environ["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] = "deployments.http.proxy:middleware"

RESULTS = Path(__file__).parent.parent / "results"
SCENES = 12


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--selection", action="store_true", help="each fault once, with fewer edits")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="faults whose name has one of these words"
    )
    parser.add_argument("--keep", action="store_true", help=f"write the table to {RESULTS.relative_to(Path.cwd())}")
    parser.add_argument("--name", default=f"{time.strftime('%Y-%m-%d')}-faults")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)

    from benchmarks.faults import report
    from benchmarks.faults.cluster import site

    rows: list[Row] = []
    with site() as here:
        for row in measured(here, options.selection, options.only):
            rows.append(row)
            say("== " + " | ".join(row.cells))
            for note in row.notes:
                say(f"   {note}")
    print(report.table(rows))
    if options.keep:
        report.write(RESULTS, options.name, rows, "What the service survives")
    return 0 if rows and all(row.met for row in (*rows, report.total(rows))) else 1


def measured(here: Site, selection: bool, only: list[str]) -> Iterator[Row]:
    """Do the faults and yield a row for each."""
    from benchmarks.faults import kills, model_faults, runs
    from benchmarks.faults.aftermath import Aftermath
    from benchmarks.faults.load import Pool, Sdk
    from benchmarks.workload import cases

    def wanted(name: str) -> bool:
        return not only or any(word in name for word in only)

    edits, again = (24, False) if selection else (80, True)
    known = cases(SCENES)
    model = model_faults.Broken(here, known, say)
    if any(wanted(fault.name) for fault in kills.KILLS) or wanted(runs.IN_TURN):
        say("starting the service")
        here.deploy({"inpaint": {"execution": model_faults.EXECUTION}}, "graph:build_app", [model_faults.DRIVERS])
        pool = Pool(known, 48 if selection else 150)
        say(f"asking for {len(pool.edits)} edits undisturbed")
        pool.learn(Sdk(here.url).edit, runs.CALLERS)
        aftermath = Aftermath(here)
        for fault in kills.KILLS:
            if wanted(fault.name):
                say(fault.name)
                yield runs.run(here, Sdk(here.url).edit, pool, aftermath, fault, fault.times if again else 1, edits)
        if wanted(runs.IN_TURN):
            say(runs.IN_TURN)
            yield runs.run_in_turn(here, Sdk(here.url, retries=1).edit, pool, aftermath, 60 if selection else 150)
    yield from model.measure(edits, wanted)


if __name__ == "__main__":
    sys.exit(main())
