"""The results as people read them: JSON with the machine named, a table, a plot."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import Figure
from benchmarks.workload import MIX

PACKAGES = ("ray", "torch", "diffusers", "transformers", "numpy")
OURS, THEIRS = "#1f6f8b", "#c9b79c"


def machine() -> dict[str, str | int]:
    """What it ran on: nothing that names the computer."""
    processor = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    told: dict[str, str | int] = {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
    }
    return told | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def table(figures: Sequence[Figure]) -> str:
    """Markdown, a row for each figure."""
    lines = ["| what | reached | rounds | target | |", "|---|---|---|---|---|"]
    lines += [
        f"| {figure.what} | {figure.value:.2f} | {figure.spread} | {figure.wanted} | {figure.verdict} |"
        for figure in figures
    ]
    return "\n".join(lines)


def milliseconds(title: str, told: Mapping[str, float]) -> str:
    """Markdown, a row for each part."""
    return "\n".join([f"| {title} | ms |", "|---|---|", *(f"| {name} | {value:.1f} |" for name, value in told.items())])


def write(
    folder: Path, name: str, rounds: int, figures: Sequence[Figure], profiles: dict[str, dict[str, float]]
) -> None:
    """`name`.json, `name`.md and, where the rows it shows were measured, `name`.png.

    Rows of an earlier run of that name which were not measured again are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    earlier = json.loads(path.read_text()) if path.exists() else {"figures": [], "profiles": {}}
    figures = [*_kept(earlier["figures"], figures), *figures]
    profiles = earlier["profiles"] | profiles
    rows = [asdict(figure) | {"value": figure.value, "met": figure.met} for figure in figures]
    content = {"machine": machine(), "rounds": rounds, "figures": rows, "profiles": profiles}
    path.write_text(json.dumps(content, indent=1) + "\n")
    told = machine()
    heading = f"{told['processor']}, {told['cores']} cores, torch {told['torch']}, ray {told['ray']}; {rounds} rounds"
    parts = [f"# {name}", heading, table(figures), *(milliseconds(title, each) for title, each in profiles.items())]
    (folder / f"{name}.md").write_text("\n\n".join(parts) + "\n")
    plot(folder / f"{name}.png", {key: value for figure in figures for key, value in figure.parts.items()})


def _kept(earlier: Sequence[Mapping[str, Any]], figures: Sequence[Figure]) -> list[Figure]:
    again = {figure.what for figure in figures}
    return [
        Figure(row["what"], tuple(row["rounds"]), row["target"], row["below"], row["parts"])
        for row in earlier
        if row["what"] not in again
    ]


def plot(path: Path, parts: Mapping[str, float]) -> None:
    """Two panels: throughput by cap, and latency by step count of engine and request batching."""
    import matplotlib.pyplot as plt

    caps = {key.rsplit(" ", 1)[1]: value for key, value in parts.items() if key.startswith("images/s at cap")}
    sides = ("request batching", "engine")
    latency = {side: [parts.get(f"mean s of {steps} steps, {side}") for steps in MIX] for side in sides}
    if not caps or None in latency["engine"]:
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.bar(list(caps), list(caps.values()), color=OURS)
    left.set(title="Pictures that share a step", xlabel="cap", ylabel="images/s, 12 steps, saturated")
    for index, (side, colour) in enumerate(zip(sides, (THEIRS, OURS), strict=True)):
        places = [position + 0.4 * index for position in range(len(MIX))]
        right.bar(places, [value or 0.0 for value in latency[side]], width=0.38, color=colour, label=side)
    right.set_xticks([position + 0.2 for position in range(len(MIX))], [str(steps) for steps in MIX])
    right.set(title="Mixed requests at the same load", xlabel="steps asked for", ylabel="mean latency, s")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
