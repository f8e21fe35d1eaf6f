"""Puts the tables of one run into docs/performance.md, in place of those of an earlier one.

    python -m benchmarks.performance_page benchmarks/results/2026-01-31-2-cores.json

All of them come from that one file, so that no figures of different days or commits stand beside each other.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import Results, comparison, heading

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
BLOCK = re.compile(r"(<!-- benchmark: .*? -->\n).*?(<!-- end of benchmark -->)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="the JSON file of the run")
    run = parser.parse_args().run.resolve()
    PAGE.write_text(replaced(PAGE.read_text(), block(json.loads(run.read_text()), run.relative_to(ROOT))))


def replaced(text: str, content: str) -> str:
    """Return `text` with `content` between its two marks."""
    new, count = BLOCK.subn(lambda marks: f"{marks[1]}{content}\n{marks[2]}", text)
    if count != 1:
        raise SystemExit(f"{PAGE} lacks the two marks between which the tables stand.")
    return new


def block(run: Mapping[str, Any], path: Path) -> str:
    """Return the run as Markdown: where it was made, the figures, and what the peers did.

    `path` is that of the run's file from the root of the project.
    """
    results = Results().after(run)
    link = Path("..") / path.with_suffix("")  # from the page
    lines = ["| what | reached | target | |", "|---|---|---|---|"]
    lines += [f"| {each.what} | {each.reached} | {each.wanted} | {each.verdict} |" for each in results.figures]
    named = f"{heading(run)} ([with spreads, and where the milliseconds go]({link}.md)):"
    # Profiles in milliseconds are for whoever makes it faster; the page compares.
    tables = [comparison(each) for each in results.comparisons if "ms" not in next(iter(each.rows.values()))]
    parts = [named, *tables[:1], "\n".join(lines), *tables[1:]]
    if (ROOT / path.with_suffix(".png")).exists():
        parts.append(f"![Throughput by cap; latency of mixed requests]({link}.png)")
    return "\n" + "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
