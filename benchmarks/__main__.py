"""Measures everything and writes benchmarks/results/<date>-<machine>.{json,md,png}.

    python -m benchmarks [--rounds 5] [--only engine service ...] [--name 2026-01-31-laptop] [--config serve.yaml]

Measured is the graph as `make serve` runs it, or as a Serve config file has it: for a GPU, `python -m
benchmarks.full_size` writes one with weights of the published sizes. About half an hour on two cores; leave the machine
alone meanwhile. Every comparison is made in interleaved rounds within this one run; offered load arrives at random
times of a fixed seed.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a replica; before torch is imported
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

RESULTS = Path(__file__).parent / "results"
SECTIONS = ("engine", "service", "mixed", "clip", "memory", "profile")
PICTURES = 24


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


@contextmanager
def local_service() -> Iterator[str]:
    """A Ray of its own with Serve on a free port; yields the URL."""
    import ray
    from ray import serve

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "ERROR"})
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


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

    from benchmarks import edit_profile, engine, memory, report, scheduling, service
    from benchmarks.figures import Figure
    from benchmarks.setup import Setup
    from benchmarks.workload import cases

    setup, known = Setup.read(options.config), cases(PICTURES)
    figures: list[Figure] = []
    profiles: dict[str, dict[str, float]] = {}

    def keep(made: Iterator[Figure]) -> None:
        for figure in made:
            figures.append(figure)
            say(f"== {figure.what}: {figure.value:.3f} (wanted: {figure.wanted})")
            report.write(options.out, options.name, options.rounds, figures, profiles)

    with local_service() as url:
        if "service" in options.only:
            keep(service.measure(options.rounds, setup, url, known, say))
        if "engine" in options.only:
            keep(engine.measure(options.rounds, setup.args.inpaint, known, say))
        if "mixed" in options.only:
            keep(scheduling.mixed_load(options.rounds, setup, known, say))
        if "clip" in options.only:
            keep(scheduling.clip_batches(options.rounds, setup, known, say))
        if "memory" in options.only:
            keep(memory.measure(setup, known, say))
        if "profile" in options.only:
            profiles["one edit that has the service to itself"] = edit_profile.stages(setup, known)
            profiles["operators of a step of 8 rows, one thread"] = edit_profile.operators(setup.args.inpaint, known)
            report.write(options.out, options.name, options.rounds, figures, profiles)
    print(report.table(figures))
    for title, told in profiles.items():
        print("\n" + report.milliseconds(title, told))


if __name__ == "__main__":
    main()
