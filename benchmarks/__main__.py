"""Measures everything and writes benchmarks/results/<date>-<machine>.{json,md,png}.

    python -m benchmarks [--rounds 5] [--only engine service ...] [--name 2026-01-31-laptop] [--config serve.yaml]

Measured is the graph as `make serve` runs it, or as a Serve config file has it: for a GPU, `python -m
benchmarks.full_size` writes one with weights of the published sizes. About an hour on two cores; leave the
machine alone meanwhile. Every comparison is made in interleaved rounds within this one run; offered load arrives at
random times of a fixed seed. Without LitServe (`pip install '.[bench]'`) the rows of the peers say so.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.figures import Comparison, Figure
    from benchmarks.setup import Setup
    from benchmarks.workload import EditCase

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a replica; before torch is imported
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

RESULTS = Path(__file__).parent / "results"
SECTIONS = ("peers", "traffic", "service", "overload", "engine", "mixed", "clip", "profile")
PICTURES = 24


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="default: all")
    parser.add_argument("--name", default=f"{time.strftime('%Y-%m-%d')}-{os.cpu_count()}-cores")
    parser.add_argument("--config", type=Path, help="a Serve config file (default: the pocket models)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: %(default)s")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)

    from benchmarks import report
    from benchmarks.setup import Setup, local_service
    from benchmarks.workload import cases

    say(f"commit {report.commit()}")
    results = report.Results()

    def keep(made: Iterator[Figure | Comparison]) -> None:
        for each in made:
            results.add(each)
            say(f"== {each.summary}")
            report.write(options.out, options.name, options.rounds, results)

    setup, known = Setup.read(options.config), cases(PICTURES)
    with local_service() as url:
        for section in SECTIONS:
            if section in options.only:
                keep(measured(section, options.rounds, setup, url, known))
    print("\n\n".join(results.tables()))


def measured(section: str, rounds: int, setup: Setup, url: str, known: list[EditCase]) -> Iterator[Figure | Comparison]:
    """Measure one section."""
    from benchmarks import edit_profile, engine, overload, peers, scheduling, service, trace_mix

    if section == "peers":
        return peers.measure(rounds, setup, url, known, say)
    if section == "traffic":
        return trace_mix.measure(rounds, setup, url, known, say)
    if section == "service":
        return service.measure(rounds, setup, url, known, say)
    if section == "overload":
        return overload.measure(rounds, setup, url, known, say)
    if section == "engine":
        return engine.measure(rounds, setup.args.inpaint, known, say)
    if section == "mixed":
        return scheduling.mixed_load(rounds, setup, known, say)
    if section == "clip":
        return scheduling.clip_batches(rounds, setup, known, say)
    return edit_profile.measure(setup, known)


if __name__ == "__main__":
    main()
