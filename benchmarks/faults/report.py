"""The rows of the table: what the callers noticed of a fault, what it left behind, and whether that is good enough."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks import report
from benchmarks.faults.load import Outcome

RIGHT_SHARE = 0.999  # of the admitted edits, answered right and within their deadline
COLUMNS = (
    "fault", "times", "edits", "right", "wrong picture", "not answered", "refused",
    "longest time without an answer, s", "worst latency, s", "left behind", "bar", "",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One fault. `times` is how often it was done; `refused` were told that the service is busy, and not admitted.

    `left` is what the fault left behind. `notes` says what went wrong with which edits.
    """

    fault: str
    times: int
    asked: int
    right: int
    wrong: int
    unanswered: int
    refused: int
    longest_gap_s: float
    worst_s: float
    left: tuple[str, ...] = ()
    bar: float = RIGHT_SHARE
    notes: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether enough of the admitted edits were right, no picture was wrong and nothing was left behind."""
        admitted = self.asked - self.refused
        return not self.wrong and not self.left and self.right >= self.bar * admitted and admitted > 0

    @property
    def cells(self) -> tuple[str, ...]:
        numbers = (self.times, self.asked, self.right, self.wrong, self.unanswered, self.refused)
        seconds = (f"{self.longest_gap_s:.1f}", f"{self.worst_s:.1f}")
        bar = f"{100 * self.bar:g} % right"
        verdict = "reached" if self.met else "**missed**"
        return (self.fault, *map(str, numbers), *seconds, "; ".join(self.left) or "nothing", bar, verdict)


def row_of(
    fault: str,
    times: int,
    outcomes: Sequence[Outcome],
    start_s: float,
    left: Sequence[str] = (),
    bar: float = RIGHT_SHARE,
) -> Row:
    """Return the row for the edits that were asked for while the fault was done. `start_s` is when the first was."""
    ends = Counter(outcome.end for outcome in outcomes)
    notes = Counter(f"{outcome.end}: {outcome.detail}" for outcome in outcomes if outcome.end not in ("right",))
    return Row(
        fault,
        times,
        len(outcomes),
        ends["right"],
        ends["wrong"],
        ends["unanswered"],
        ends["refused"],
        longest_gap_s(outcomes, start_s),
        max((outcome.seconds for outcome in outcomes), default=0.0),
        tuple(left),
        bar,
        tuple(f"{count} x {note}" for note, count in notes.most_common()),
    )


def longest_gap_s(outcomes: Sequence[Outcome], start_s: float) -> float:
    """Return the longest time, from the start to the end of the load, in which no edit was answered right."""
    moments = [start_s, *sorted(outcome.end_s for outcome in outcomes if outcome.end == "right")]
    moments.append(max((outcome.end_s for outcome in outcomes), default=start_s))
    return max(after - before for before, after in pairwise(moments))


def total(rows: Sequence[Row]) -> Row:
    """Return the row of all faults together."""
    return Row(
        "all together",
        sum(row.times for row in rows),
        sum(row.asked for row in rows),
        sum(row.right for row in rows),
        sum(row.wrong for row in rows),
        sum(row.unanswered for row in rows),
        sum(row.refused for row in rows),
        max(row.longest_gap_s for row in rows),
        max(row.worst_s for row in rows),
        tuple(dict.fromkeys(left for row in rows for left in row.left)),
    )


def table(rows: Sequence[Row]) -> str:
    """Return Markdown: a row for each fault, and one for all of them."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    lines += ["| " + " | ".join(row.cells) + " |" for row in (*rows, total(rows))]
    notes = [f"- {row.fault}: {note}" for row in rows for note in row.notes]
    return "\n".join(lines + (["", *notes] if notes else []))


def write(folder: Path, name: str, rows: Sequence[Row], title: str) -> None:
    """Write `name`.json and `name`.md, with the machine and the commit named."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = report.machine()
    run = {"commit": report.commit(), "machine": machine, "rows": [asdict(row) | {"met": row.met} for row in rows]}
    (folder / f"{name}.json").write_text(json.dumps(run, indent=1) + "\n")
    where = f"Commit {run['commit']}, {machine['processor']}, {machine['cores']} cores, ray {machine['ray']}"
    (folder / f"{name}.md").write_text("\n\n".join([f"# {title}", where, table(rows)]) + "\n")
