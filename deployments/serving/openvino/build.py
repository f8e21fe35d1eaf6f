"""Turns a torch module into compiled models of OpenVINO, in a process of its own.

Exporting is seconds of Python for each shape. In the serving process it would hold the interpreter that the steps need;
here it has a priority of its own, and all memory it took is given back with it.

    python -m deployments.serving.openvino.build < JOB     where JOB is what `run` has written
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from deployments.serving.openvino import runtime
from deployments.serving.openvino.store import Store

BACKGROUND = 15  # the niceness of what nobody waits for

Shapes = tuple[tuple[int, ...], ...]  # of each input of a module


@dataclass(frozen=True)
class Compilation:
    """What to build: `module` for each of `wanted`, shapes by the key of their entry, with `properties`, in `folder`.

    All inputs are float32. `niceness` is 0 where somebody waits for it, and `BACKGROUND` where the steps come first.
    """

    module: torch.nn.Module
    wanted: dict[str, Shapes]
    properties: dict[str, Any]
    folder: Path
    niceness: int = 0


def run(compilation: Compilation, started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None) -> None:
    """Do the compilation in a process of its own and wait for it; `started` is given that process.

    Raises RuntimeError with the last line that it wrote when it fails.
    """
    with tempfile.TemporaryFile() as written:  # has no name, so nothing of it stays if both processes are killed
        torch.save(compilation, written)
        written.seek(0)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        command = [sys.executable, "-m", __name__]
        process = subprocess.Popen(
            command, env=environment, stdin=written, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        started(process)
        _, errors = process.communicate()
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines() or [f"exit status {process.returncode}"]
        raise RuntimeError(f"the model could not be compiled for OpenVINO: {lines[-1]}")


def build(compilation: Compilation, wanted: Callable[[], bool] = lambda: True) -> None:
    """Do the compilation in this process, for as long as it is `wanted`; what is finished by then is kept."""
    store = Store(compilation.folder)
    for key, shapes in compilation.wanted.items():
        if not wanted():
            return
        compiled = runtime.core().compile_model(
            convert(compilation.module, shapes), runtime.DEVICE, compilation.properties
        )
        store.keep(key, compiled.export_model().getbuffer())


def convert(module: torch.nn.Module, shapes: Sequence[Sequence[int]]) -> Any:
    """Return the `openvino.Model` of a module with float32 inputs of these shapes, by way of `torch.export`."""
    openvino = runtime.load()
    example = tuple(torch.zeros(*shape) for shape in shapes)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of both libraries, about their own code
        program = torch.export.export(module.eval(), example, strict=False)
        model = openvino.convert_model(program)
    model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes, strict=True)})
    return model


def main(written: IO[bytes]) -> None:
    """Do the compilation that `run` has written; nobody else starts this process."""
    parent = os.getppid()
    compilation = torch.load(written, weights_only=False)
    os.nice(compilation.niceness)
    build(compilation, wanted=lambda: os.getppid() == parent)


if __name__ == "__main__":
    main(sys.stdin.buffer)
