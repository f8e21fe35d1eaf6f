"""The results as people read them: JSON with the machine named, a table, a plot."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import Comparison, Figure
from benchmarks.workload import MIX

PACKAGES = ("ray", "torch", "diffusers", "transformers", "numpy")
OURS, THEIRS = "#1f6f8b", "#c9b79c"


@cache
def commit() -> str:
    """Return the commit that is measured, with a mark where files differ from it; "unknown" outside a checkout."""
    here = Path(__file__).parent
    name = _git("-C", str(here), "rev-parse", "--short=12", "HEAD")
    changed = _git("-C", str(here.parent), "status", "--porcelain", "--", ".", f":!{here.name}/results")
    return (name or "unknown") + (" with changes" if changed else "")


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


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
        f"| {figure.what} | {figure.reached} | {figure.spread} | {figure.wanted} | {figure.verdict} |"
        for figure in figures
    ]
    return "\n".join(lines)


def comparison(table: Comparison) -> str:
    """Return Markdown, with the columns of the first row."""
    columns = list(next(iter(table.rows.values())))
    lines = ["| " + " | ".join([table.title, *columns]) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in table.rows.items():
        cells = ["" if (value := values[column]) is None else f"{value:.4g}" for column in columns]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


@dataclass
class Results:
    """What was measured so far."""

    figures: list[Figure] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    def add(self, measured: Figure | Comparison) -> None:
        if isinstance(measured, Figure):
            self.figures.append(measured)
        else:
            self.comparisons.append(measured)

    def tables(self) -> list[str]:
        """Return all of it as Markdown."""
        return [table(self.figures), *map(comparison, self.comparisons)]

    def after(self, earlier: Mapping[str, Any]) -> Results:
        """Return these with those rows of an earlier file before them that were not measured again."""
        again = {each.what for each in self.figures} | {each.title for each in self.comparisons}
        figures = [_figure(row) for row in earlier["figures"] if row["what"] not in again]
        comparisons = [Comparison(**each) for each in earlier["comparisons"] if each["title"] not in again]
        return Results([*figures, *self.figures], [*comparisons, *self.comparisons])


def _figure(row: Mapping[str, Any]) -> Figure:
    return Figure(row["what"], tuple(row["rounds"]), row["target"], row["below"], row["parts"], row["missing"])


def heading(run: Mapping[str, Any]) -> str:
    """Return what was measured where, from what `write` puts into the file."""
    told = run["machine"]
    device = told["gpu"] if told["gpu"] != "none" else f"{told['processor']}, {told['cores']} cores"
    return f"Commit {run['commit']}, {device}, torch {told['torch']}, ray {told['ray']}; {run['rounds']} rounds"


def write(folder: Path, name: str, rounds: int, results: Results) -> None:
    """Write `name`.json, `name`.md and, where the rows it shows were measured, `name`.png.

    Rows of an earlier run of that name which were not measured again are kept if they are of the same commit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    earlier = json.loads(path.read_text()) if path.exists() else {}
    if earlier.get("commit") == commit():
        results = results.after(earlier)
    rows = [asdict(figure) | {"value": figure.value, "met": figure.met} for figure in results.figures]
    content = {
        "commit": commit(),
        "machine": machine(),
        "rounds": rounds,
        "figures": rows,
        "comparisons": [asdict(each) for each in results.comparisons],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    (folder / f"{name}.md").write_text("\n\n".join([f"# {name}", heading(content), *results.tables()]) + "\n")
    plot(folder / f"{name}.png", {key: value for figure in results.figures for key, value in figure.parts.items()})


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
