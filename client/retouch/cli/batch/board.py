"""What a batch shows while it runs: a bar with counts on a terminal, a line for each row anywhere else."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from retouch.cli.batch.jobs import Job
from retouch.cli.batch.report import DONE, FAILED, NOT_FOUND, Record
from retouch.cli.display import printable

WORDS = {DONE: "done", NOT_FOUND: "not found", FAILED: "failed"}


class Board:
    """Counts how the rows of this run end, and shows it as the options say."""

    def __init__(self, options: argparse.Namespace, total: int) -> None:
        self.counts: Counter[str] = Counter()
        self.total = total
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)
        self._is_silent: bool = options.quiet or (options.json and not self._console.is_terminal)
        self._advance: Callable[[], None] = lambda: None
        self._shows_all = True

    @property
    def ended(self) -> int:
        """How many rows have ended."""
        return self.counts.total()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar while the block runs, on a terminal that can."""
        if self._is_silent or not self._console.is_terminal or self._console.is_dumb_terminal:
            yield
            return
        words = TextColumn("{task.description}", markup=False)
        columns = (BarColumn(20), MofNCompleteColumn(), words, TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(self._summary(), total=self.total)
            self._advance = lambda: progress.update(task, advance=1, description=self._summary())
            self._shows_all = False
            yield

    def note(self, job: Job, record: Record) -> None:
        """Count and show how `job` has ended. Beside a bar only what has not been done is worth a line."""
        self.counts[record.status] += 1
        if self._shows_all or record.status != DONE:
            said = str(job.output) if record.status == DONE else record.message
            self.say(f"[{self.ended}/{self.total}] {job.row.image}: {WORDS[record.status]}, {said}")
        self._advance()

    def say(self, line: str) -> None:
        """Show a line, unless only a program reads."""
        if not self._is_silent:
            self._console.print(printable(line.replace("\n", " "), self._console.encoding))

    def _summary(self) -> str:
        failed = self.counts[FAILED] + self.counts[NOT_FOUND]
        return f"{self.counts[DONE]} done, {failed} failed, {self.total - self.ended} left"
