"""OpenVINO itself: whether it is here, loaded without its telemetry, and the properties that models are compiled with.

Importing `openvino` reports to Intel that it was imported, and converting a model reports the conversion, where the
package `openvino-telemetry` can be imported. It is a dependency of theirs, so it usually can. Here it cannot: OpenVINO
then takes its own stand-in, which does nothing, and no file of it is written to the home directory.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

Precision = Literal["float32", "bfloat16"]

PACKAGE, TELEMETRY = "openvino", "openvino_telemetry"
DEVICE = "CPU"
HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}


def installed() -> bool:
    """Return whether OpenVINO can be imported."""
    return importlib.util.find_spec(PACKAGE) is not None


def preferred() -> bool:
    """Return whether models on a CPU are run by it where nothing else is asked for: it was measured on x86-64 only."""
    return installed() and platform.machine().lower() in ("x86_64", "amd64")


@cache
def load() -> ModuleType:
    """Return the package `openvino`, without telemetry: call this instead of importing it."""
    if sys.modules.get(TELEMETRY) is not None:
        raise RuntimeError("openvino_telemetry has been imported by somebody else; OpenVINO would report to Intel")
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # makes its import fail, as if it were not installed
    return importlib.import_module(PACKAGE)


@cache
def core() -> Any:
    """Return the process's `openvino.Core`."""
    return load().Core()


def native_precision(cpuinfo: Path = Path("/proc/cpuinfo")) -> Precision:
    """Return bfloat16 where the CPU multiplies matrices of it in hardware (Intel AMX), else float32.

    Where a CPU only has dot products of bfloat16 (AVX512_BF16) it is slower than float32. `cpuinfo` is Linux's list of
    what the CPU has.
    """
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    return "bfloat16" if "amx_bf16" in flags else "float32"


def properties(precision: Precision, streams: int, threads: int) -> dict[str, Any]:
    """Return what models are compiled with: so many calls can be under way at once, each on so many threads."""
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams * threads,
        "ENABLE_CPU_PINNING": False,  # several replicas share the cores; pinned, all would be on the same ones
    }


def machine() -> str:
    """Return what compiled models depend on: the CPU, and the versions of all that makes them."""
    from importlib.metadata import PackageNotFoundError, version

    versions = []
    for package in (PACKAGE, "torch", "diffusers", "transformers", "segment-anything"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    features = sorted(core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))
    return " ".join([core().get_property(DEVICE, "FULL_DEVICE_NAME"), *features, *versions])
