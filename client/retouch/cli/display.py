"""How results are shown: on standard output, with progress and errors on standard error.

A terminal gets colours and a moving bar, anything else plain lines. `--json` prints one object and `--quiet` the bare
result.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from retouch.cli.records import error_record
from retouch.cli.wording import NOTE, Facts, Rows
from retouch.errors import APIStatusError, RetouchError
from retouch.results import Progress

NO_STEPS = Progress("", 0, 0)


class Display:
    """The display of the progress and the result of one command, in the form that its options name."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._as_json: bool = options.json
        self._quiet: bool = options.quiet
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._err = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)
        self._say: Callable[[str], None] = self._say_nothing
        self._move: Callable[[str, Progress], None] = self._stand_still
        self._what = ""
        self._stages: Mapping[str, str] = {}
        self._tries = 1

    @contextmanager
    def working(self, what: str, stages: Mapping[str, str] | None = None) -> Iterator[None]:
        """Show that `what` is being done while the block runs. `stages` are the words for each stage of it."""
        self._what = what
        self._stages = stages or {}
        if self._quiet or (self._as_json and not self._err.is_terminal):
            yield
        elif self._err.is_terminal and not self._err.is_dumb_terminal:
            with self._moving_bar(what):
                yield
        else:
            self._say = self._print_progress
            self._say(what)
            yield

    def advance(self, progress: Progress) -> None:
        """Show how far the work has come, on a terminal that can."""
        self._move(self._stages.get(progress.stage, progress.stage), progress)

    def pause(self, wait_s: float, sleep: Callable[[float], object] = time.sleep) -> None:
        """Wait between two tries and show it."""
        self._say(f"No luck, trying again in {wait_s:.1f} s")
        sleep(wait_s)
        self._tries += 1
        self._say(f"{self._what}, try {self._tries}")

    def show(
        self, title: str, facts: Facts, bare: str, data: Mapping[str, Any], good: bool = True, rows: Rows | None = None
    ) -> None:
        """Show the result: a headline with facts and perhaps a table below, the bare result, or all of it as JSON."""
        if self._as_json:
            self._out.print(json.dumps(data, indent=2))
        elif self._quiet:
            if bare:
                self._out.print(_safe(bare, self._out))
        else:
            self._show_facts(title, facts, good)
            self._show_rows(rows or [])

    def failed(self, error: RetouchError, advice: str | None) -> None:
        """Show an error of the service, what to do about it, and its number in the log of the service."""
        if self._as_json:
            self._out.print(json.dumps({"error": error_record(error)}, indent=2))
        self.complain(error.message)
        for line in (advice or "").splitlines():
            self._err.print(f"  {_safe(line, self._err)}")
        if isinstance(error, APIStatusError):
            self._err.print(f"  ({_safe(error.reference, self._err)})", style="dim")

    def complain(self, message: str) -> None:
        """Show one line that says what is wrong."""
        self._err.print(Text.assemble(("retouch: ", "bold red"), _safe(message, self._err)))

    def _show_facts(self, title: str, facts: Facts, good: bool) -> None:
        sign = ("✔" if good else "✘") if _is_unicode(self._out) else ("*" if good else "!")
        headline = Text.assemble((f"{sign} ", "green" if good else "yellow"), (_safe(title, self._out), "bold"))
        self._out.print(headline)
        width = max(len(label) for label, _ in facts)
        for label, value in facts:
            style = "yellow" if label == NOTE else "dim"
            self._out.print(Text.assemble((f"  {label:<{width}}  ", style), _safe(value, self._out)))

    def _show_rows(self, rows: Rows) -> None:
        """Print rows in columns. The last cell goes below its row if the terminal is too narrow."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        fits = not self._out.is_terminal or sum(widths) + 2 * len(widths) <= self._out.width
        for number, row in enumerate(rows):
            *cells, last = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            start = "  ".join(["", *cells])
            text = f"{start}  {last.rstrip()}" if fits else f"{start.rstrip()}\n     {last.rstrip()}"
            self._out.print(Text(_safe(text, self._out), style="dim" if number == 0 else ""))

    @contextmanager
    def _moving_bar(self, what: str) -> Iterator[None]:
        spinner = SpinnerColumn("dots" if _is_unicode(self._err) else "line")
        # The words come last: they change in length, and the end of them is what a narrow terminal may cut off.
        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        words = TextColumn("{task.description}", markup=False, table_column=rest)
        line = BarColumn(20 if self._err.width >= 80 else 8)
        with Bar(spinner, line, ElapsedColumn(), words, console=self._err, transient=True, expand=True) as bar:
            bar.add_task(_safe(what, self._err), total=None)

            def show(text: str, progress: Progress = NO_STEPS) -> None:
                (task,) = bar.tasks
                task.description = _safe(f"{text}{_steps(progress)}", self._err)
                # Set here and not by `update`, which cannot take a total away and stops the spinner at the last step.
                task.completed, task.total = progress.done, progress.total or None
                bar.refresh()

            self._say = self._move = show
            try:
                yield
            finally:
                self._say, self._move = self._say_nothing, self._stand_still

    def _print_progress(self, text: str) -> None:
        self._err.print(f"{_safe(text, self._err)} ...")

    def _say_nothing(self, text: str) -> None:
        pass

    def _stand_still(self, text: str, progress: Progress) -> None:
        pass


class ElapsedColumn(ProgressColumn):
    """The column with the seconds since the start."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.elapsed or 0:3.0f} s", style="dim")


def _steps(progress: Progress) -> str:
    return f", step {progress.done} of {progress.total}" if progress.total else ""


def printable(text: str, encoding: str) -> str:
    """Escape the characters that a terminal would obey or could not print. Line ends stay."""
    harmless = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return harmless.encode(encoding, "backslashreplace").decode(encoding)


def _safe(text: str, console: Console) -> str:
    return printable(text if _is_unicode(console) else text.replace("→", "->"), console.encoding)


def _is_unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")
