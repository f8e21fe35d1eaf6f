"""What has been found so far, as JSON and as a table: both are written anew after each figure."""

from __future__ import annotations

import json
import subprocess
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.figures import Figure

GIB = 2**30
NAME = "gpu-check"
FRAMES = 6  # of a traceback that are kept, the innermost


@dataclass
class Section:
    """One part of the run: what it found, how long it took, and what went wrong if anything did."""

    name: str
    status: str = "under way"
    seconds: float = 0.0
    held_gib: float = 0.0  # of the device's memory when it began
    peak_gib: float = 0.0
    figures: list[Figure] = field(default_factory=list)
    error: str = ""


class Results:
    """Everything that was found, kept in `folder` at every moment: a run that is cut off still tells something."""

    def __init__(self, folder: Path, device: str, options: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._device = device
        self._machine = report.machine() | {"device": device} | (_card() if device == "cuda" else {})
        self._options = dict(options)
        self._start = time.perf_counter()
        self.sections: list[Section] = []

    @contextmanager
    def section(self, name: str) -> Iterator[Section]:
        """Keep what is found inside of this; an error ends the section and not the run."""
        section = Section(name)
        self.sections.append(section)
        start = time.perf_counter()
        if self._device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            section.held_gib = torch.cuda.memory_allocated() / GIB
        try:
            yield section
            section.status = "done"
        except Exception as error:
            section.status = "failed"
            section.error = "".join(traceback.format_exception(error)[-FRAMES:])
            say(f"{name} FAILED: {type(error).__name__}: {error}")
        section.seconds = time.perf_counter() - start
        if self._device == "cuda":
            section.peak_gib = torch.cuda.max_memory_allocated() / GIB
        self.write()

    def keep(self, section: Section, figure: Figure) -> None:
        """Add a figure to its section, on the disk too."""
        section.figures.append(figure)
        say(f"== {figure.what}: {figure.value:.3f} {figure.verdict}")
        self.write()

    def write(self) -> None:
        """Write both files. Each is whole at every moment, whenever the run is cut off."""
        sections = [
            asdict(section) | {"figures": [asdict(each) | {"value": each.value} for each in section.figures]}
            for section in self.sections
        ]
        content = {
            "machine": self._machine,
            "options": self._options,
            "seconds": time.perf_counter() - self._start,
            "sections": sections,
        }
        _replace(self._folder / f"{NAME}.json", json.dumps(content, indent=1) + "\n")
        _replace(self._folder / f"{NAME}.md", self.text())

    def text(self) -> str:
        """Markdown: the machine, then each section with its figures and what they were made of."""
        machine = ", ".join(f"{name} {value}" for name, value in self._machine.items())
        return "\n\n".join([f"# {NAME}", machine, *(_told(section) for section in self.sections)]) + "\n"


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def _told(section: Section) -> str:
    memory = f"memory {section.held_gib:.1f} GiB at first, {section.peak_gib:.1f} GiB at most"
    told = [f"## {section.name}: {section.status}, {section.seconds:.0f} s, {memory}"]
    if section.figures:
        told.append(report.table(section.figures))
    parts = [f"- {figure.what}: {_made_of(figure.parts)}" for figure in section.figures if figure.parts]
    if parts:
        told.append("\n".join(parts))
    if section.error:
        told.append(f"```\n{section.error}```")
    return "\n\n".join(told)


def _made_of(parts: Mapping[str, float]) -> str:
    return "; ".join(f"{name} {value:.4g}" for name, value in parts.items())


def _replace(path: Path, text: str) -> None:
    whole = path.with_name(f".{path.name}.new")
    whole.write_text(text)
    whole.replace(path)


def _card() -> dict[str, str | int]:
    """What `report.machine` does not say of the GPU."""
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu_memory_gib": round(properties.total_memory / GIB),
        "multiprocessors": properties.multi_processor_count,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "driver": _driver(),
    }


def _driver() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
