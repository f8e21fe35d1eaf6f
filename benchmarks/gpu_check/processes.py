"""How the processes beside the main one are started."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Iterator, Sequence
from multiprocessing.context import BaseContext
from typing import Any

from benchmarks.gpu_check.models import Place
from benchmarks.gpu_check.timing import Clock

LOOK_S = 0.5  # how often is looked whether a process has died


def processes_for(place: Place) -> Any:
    """Return the way to start processes for that device: afresh on a GPU, whose driver does not survive a fork.

    On a CPU they are forked from a process that has imported what they need, and has done nothing else.
    """
    if place.device == "cuda":
        return multiprocessing.get_context("spawn")
    context: BaseContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.gpu_check.compiled", "benchmarks.gpu_check.shares", "torch._dynamo"])
    return context


def answers(processes: Sequence[Any], told: Any, clock: Clock) -> Iterator[Any]:
    """Yield what each of the processes puts into the queue `told`, as it comes.

    Raises RuntimeError when one of them dies without a word, TimeoutError when not all have spoken in time.
    """
    missing = len(processes)
    while missing:
        dead = [process for process in processes if process.exitcode not in (None, 0)]
        try:
            answer = told.get(timeout=LOOK_S)
        except queue.Empty:
            if dead:
                raise RuntimeError(f"a process died with exit code {dead[0].exitcode}") from None
            if clock.over:
                raise TimeoutError(f"{missing} of {len(processes)} are not ready in time") from None
        else:
            missing -= 1
            yield answer
