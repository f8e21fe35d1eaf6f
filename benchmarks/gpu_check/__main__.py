"""Measures what only a GPU can tell, and writes gpu-check.json and gpu-check.md after each figure.

    python -m benchmarks.gpu_check [--out DIR] [--sections tests,steps] [--device cuda] [--tiny] [--budget-s 240]

One process, and a few short-lived ones: neither Ray nor the HTTP packages are needed. The models have the published
sizes and random weights, made on the device. A section that fails says so in the files, and the next one runs.
"""

from __future__ import annotations

import argparse
import gc
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import torch

from benchmarks.figures import Figure
from benchmarks.gpu_check import compiled, device_tests, edits, engine_rows, exactness, shares, steps
from benchmarks.gpu_check.models import Models, Place
from benchmarks.gpu_check.results import Results, say
from benchmarks.gpu_check.timing import Clock
from benchmarks.in_process import silence

# In the order in which they run, with the seconds of BUDGET_S that each may take at most.
SECTIONS = {
    "tests": 75,
    "steps": 30,
    "exactness": 20,
    "batches": 15,
    "shares": 40,
    "engine": 45,
    "edits": 30,
    "compiled": 100,
    "compiled-tests": 50,
}
BUDGET_S = 240
TIMING_S = 15  # that the compiled steps need once all have compiled

Measure = Callable[[Clock], Iterable[Figure]]


class Run:
    """The run: its sections in their order, on one device."""

    def __init__(self, place: Place, clock: Clock, results: Results, wanted: Iterable[str], backend: str) -> None:
        self._place = place
        self._clock = clock
        self._scale = clock.left_s() / BUDGET_S
        self._results = results
        self._wanted = set(wanted)
        self._backend = backend

    @cached_property
    def models(self) -> Models:
        return Models.make(self._place)

    def everything(self) -> None:
        """One section after another, each with the machine to itself. Compiling comes last: it takes what is left."""
        place = self._place
        self._section("tests", lambda clock: self._tests("not compiled", clock))
        self._section("steps", lambda clock: steps.measure(place, clock))
        self._section("exactness", lambda clock: exactness.measure(place, clock))
        self._section("batches", lambda clock: edits.batches(self.models, place, clock))
        self._release()
        self._section("shares", lambda clock: shares.measure(place, clock))
        self._section("engine", lambda clock: engine_rows.measure(self.models, place, clock))
        self._section("edits", lambda clock: edits.measure(self.models, place, clock))
        self.__dict__.pop("models", None)
        self._release()
        self._section("compiled", self._compiled)
        self._section("compiled-tests", lambda clock: self._tests("compiled", clock))

    def _tests(self, which: str, clock: Clock) -> Iterator[Figure]:
        with device_tests.DeviceTests(self._place.device, which) as tests:
            yield from tests.figures(clock)

    def _compiled(self, clock: Clock) -> Iterator[Figure]:
        patience_s = max(10.0, clock.left_s() - TIMING_S)
        with compiled.Compiling(self._place, self._backend, patience_s) as compiling:
            yield from compiling.figures(clock)

    def _section(self, name: str, measure: Measure) -> None:
        if name not in self._wanted:
            return
        say(f"-- {name}")
        with self._results.section(name) as section:
            if self._clock.over:
                raise TimeoutError("no time was left for it")
            clock = self._clock.part(SECTIONS[name] * self._scale)
            for figure in measure(clock):
                self._results.keep(section, figure)

    def _release(self) -> None:
        """Give memory that nobody uses back to the device: other processes need it now."""
        gc.collect()
        if self._place.device == "cuda":
            torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu-check"), help="default: %(default)s")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="default: %(default)s")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: %(default)s")
    parser.add_argument("--tiny", action="store_true", help="tiny models: a rehearsal of the script")
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), default="float16")
    parser.add_argument("--backend", default="inductor", help="of torch.compile (default: %(default)s)")
    parser.add_argument(
        "--budget-s", type=float, default=BUDGET_S, help="seconds for everything (default: %(default)s)"
    )
    options = parser.parse_args()
    wanted = options.sections.split(",")
    if unknown := set(wanted) - SECTIONS.keys():
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --device cpu --tiny rehearses without one")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    silence()
    place = Place(options.device, getattr(torch, options.dtype), options.tiny)
    # Where the files lie is nobody else's business: they are published.
    asked = {key: str(value) for key, value in vars(options).items() if key != "out"}
    results = Results(options.out, options.device, asked)
    started = time.perf_counter()
    Run(place, Clock(options.budget_s), results, wanted, options.backend).everything()
    print(results.text())
    say(f"{time.perf_counter() - started:.0f} s, written to {options.out}")
    if any(section.status != "done" for section in results.sections):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
