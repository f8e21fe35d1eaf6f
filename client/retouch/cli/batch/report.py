"""The file `results.csv`: a row for each edit that has ended, written as it ends.

Each row is flushed at once, so the file is true whenever a run is stopped. A row that a killed run has left unfinished
is not read.
"""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TextIO

DONE, NOT_FOUND, FAILED = "done", "not_found", "failed"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """How an edit has ended. `output` is the name of the best picture in the folder of the batch."""

    image: str
    output: str = ""
    status: str = FAILED
    code: str | None = None
    message: str | None = None
    seed: int | None = None
    score_before: float | None = None
    score_after: float | None = None
    improved: bool | None = None
    seconds: float | None = None
    request_id: str | None = None
    digest: str = ""


COLUMNS = tuple(field.name for field in fields(Record))


def results_in(folder: Path) -> Path:
    """Return the path of the report of a batch whose pictures go to `folder`."""
    return folder / "results.csv"


class Report:
    """The report of a batch in `folder`. Threads may add to it."""

    def __init__(self, folder: Path) -> None:
        self.path = results_in(folder)
        self._rows: list[dict[str, str]] = []
        self.added = 0
        self._lock = threading.Lock()
        self._file: TextIO | None = None

    def read(self) -> Mapping[str, str]:
        """Read what earlier runs have left. Return the output of each digest that is done, if the file is there."""
        self._rows = list(_complete_rows(self.path)) if self.path.exists() else []
        done = {row["digest"]: row["output"] for row in self._rows if row["status"] == DONE}
        return {digest: output for digest, output in done.items() if (self.path.parent / output).is_file()}

    def start(self, digests: Collection[str]) -> None:
        """Prepare for rows with these `digests`: what earlier runs have said of them will go."""
        self._rows = [row for row in self._rows if row["digest"] not in digests]

    def add(self, record: Record) -> None:
        """Write how an edit has ended. The first one creates the folder and the file, if they are not there."""
        with self._lock:
            if not self._file:
                self._file = self._open()
            self._file.write(_written(_cells(record)))
            self._file.flush()
            self.added += 1

    def _open(self) -> TextIO:
        self.path.parent.mkdir(exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.part")
        beside.write_bytes(_written(COLUMNS, *(row.values() for row in self._rows)).encode())
        beside.replace(self.path)
        return self.path.open("a", encoding="utf-8", newline="")

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()


def _complete_rows(path: Path) -> Iterable[dict[str, str]]:
    # A spreadsheet may have saved the file with a byte order mark.
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            cells = {name: row.get(name) or "" for name in COLUMNS}
            if _DIGEST.fullmatch(cells["digest"]):
                yield cells


def _cells(record: Record) -> list[str]:
    values = asdict(record).values()
    return ["" if value is None else json.dumps(value) if isinstance(value, bool) else str(value) for value in values]


def _written(*rows: Iterable[str]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()
