"""Steps of a compiled UNet. Compiling takes a minute and cannot be stopped, so it is done in processes of its own.

Three of them compile at the same time: the blocks that repeat, and the whole UNet as `execution: compiled` has it, for
two sizes of steps. They are timed one after the other, once all have compiled.
"""

from __future__ import annotations

import copy
import os
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.figures import Figure
from benchmarks.gpu_check.models import Place
from benchmarks.gpu_check.processes import answers, processes_for
from benchmarks.gpu_check.steps import KNEE, Inputs, calls, inputs
from benchmarks.gpu_check.timing import Clock, milliseconds, synchronized
from benchmarks.in_process import silence
from deployments.inpaint.cuda_graphs import GraphedForward
from deployments.inpaint.denoiser import Denoiser, Forward

FRAMES = 8  # of a traceback that are kept, the innermost
WAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "repeated blocks compiled": ("regional", (2, KNEE)),
    "compiled, 2 rows": ("whole", (2,)),
    f"compiled, {KNEE} rows": ("whole", (KNEE,)),
}


@dataclass(frozen=True)
class Signals:
    """What the processes share: all have compiled, and whose turn it is to be timed.

    They wait for each other until `until_s` at most, on the clock that all processes have in common.
    """

    compiled: Any
    turn: Any
    until_s: float

    def wait(self) -> bool:
        """Wait until all have compiled; return whether they have."""
        try:
            self.compiled.wait(max(0.0, self.until_s - time.monotonic()))
        except threading.BrokenBarrierError:
            return False
        return True


class Compiling:
    """The processes, from their start on; `figures` waits for what they find. A context manager, which ends them."""

    def __init__(self, place: Place, backend: str, patience_s: float) -> None:
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(max(1, (os.cpu_count() or 1) // len(WAYS))))
        context = processes_for(place)
        self._told = context.Queue()
        self._together = Signals(context.Barrier(len(WAYS)), context.Lock(), time.monotonic() + patience_s)
        self._processes = [
            context.Process(target=_tell, args=(name, way, rows, place, backend, self._together, self._told))
            for name, (way, rows) in WAYS.items()
        ]
        for process in self._processes:
            process.start()

    def __enter__(self) -> Compiling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def figures(self, clock: Clock) -> Iterator[Figure]:
        """Yield what each has found, as they end. Raises at the end if some have failed or are not ready in time."""
        failures = []
        for name, parts, failure in answers(self._processes, self._told, clock):
            if failure:
                failures.append(f"{name}: {failure}")
            else:
                yield _figure(name, parts)
        if failures:
            raise RuntimeError("\n".join(failures))


def _figure(name: str, parts: dict[str, float]) -> Figure:
    way, (*_, rows) = WAYS[name]
    wanted = {2: 0.55, KNEE: 0.8}[rows] if way == "whole" else None
    return Figure(f"step, {name}: over eager, {rows} rows", (parts[f"{rows} rows, over eager"],), wanted, True, parts)


def _tell(name: str, way: str, rows: tuple[int, ...], place: Place, backend: str, together: Signals, told: Any) -> None:
    """In a process of its own: put what was found, or what went wrong, into `told`."""
    silence()
    try:
        told.put((name, _measure(way, rows, place, backend, together), ""))
    except Exception as error:
        together.compiled.abort()
        told.put((name, {}, "".join(traceback.format_exception(error)[-FRAMES:])))


@torch.inference_mode()
def _measure(way: str, sizes: tuple[int, ...], place: Place, backend: str, together: Signals) -> dict[str, float]:
    unet = place.pipeline().unet
    plain, compiled = Denoiser(unet, "eager", threads=1), _compile(way, copy.deepcopy(unet), backend)
    sets = {rows: inputs(unet, place, rows) for rows in sizes}
    parts: dict[str, float] = {}
    for rows in sizes:
        expected = plain(*sets[rows][0]).float()
        parts[f"{rows} rows, s to compile"] = synchronized(partial(compiled, *sets[rows][0]), place.device)
        apart = (compiled(*sets[rows][0]).float() - expected).abs().max() / expected.std()
        parts[f"{rows} rows, greatest difference over eager's spread"] = float(apart)
    parts["all had compiled when it was timed"] = float(together.wait())
    with together.turn:
        for rows in sizes:
            parts |= {
                f"{rows} rows, {name}": value for name, value in _times(plain, compiled, sets[rows], place).items()
            }
    return parts


def _times(plain: Forward, compiled: Forward, sets: list[Inputs], place: Place) -> dict[str, float]:
    made = {"ms eager": _time(plain, sets, place), "ms": _time(compiled, sets, place)}
    made["over eager"] = made["ms"] / made["ms eager"]
    if place.device == "cuda":
        made["ms as a CUDA graph"] = _time(GraphedForward(compiled), sets, place)
    return made


def _compile(way: str, unet: Any, backend: str) -> Forward:
    compile_with = partial(torch.compile, backend=backend)
    with patch.object(torch, "compile", compile_with):
        if way == "whole":
            return Denoiser(unet, "compiled", threads=1)
        unet.compile_repeated_blocks(fullgraph=True, dynamic=False)
        return Denoiser(unet, "eager", threads=1)


def _time(forward: Forward, sets: list[Inputs], place: Place) -> float:
    return milliseconds(calls(forward, sets), place.device)
