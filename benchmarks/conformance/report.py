"""The results as people read them: a line for each row, under the headings of the groups; and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import openai

from benchmarks.conformance.rows import Group, Result


def line(result: Result) -> str:
    """Return the line of a row, and below it why it fails or was not asked."""
    why = f"\n{'':12}{result.why}" if result.why else ""
    return f"  {result.outcome:<10}{result.row.title}{why}"


def summary(results: Sequence[Result], left_out: Sequence[Group]) -> str:
    """Return the last line: how many rows hold, fail and were not asked, and which groups were left out."""
    counts = Counter(result.outcome for result in results)
    counted = f"{counts['holds']} hold, {counts['fails']} fail, {counts['not asked']} were not asked."
    return " ".join([f"\n{len(results)} rows: {counted}", *(f"Not asked: {group.title}." for group in left_out)])


def as_json(base_url: str, results: Sequence[Result]) -> str:
    """Return all results as a JSON text."""
    rows: list[dict[str, Any]] = [
        {
            "name": result.row.name,
            "title": result.row.title,
            "outcome": result.outcome,
            "why": result.why,
            "seconds": round(result.seconds, 3),
        }
        for result in results
    ]
    counts = Counter(result.outcome for result in results)
    return json.dumps({"base_url": base_url, "openai": openai.__version__, "counts": counts, "rows": rows}, indent=1)
