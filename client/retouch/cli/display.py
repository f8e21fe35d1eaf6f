"""What people and programs get to see: results on standard output, all else on standard error.

On a terminal there is colour and a moving bar; elsewhere plain lines. `--json` gives one object,
`--quiet` the bare result.
"""

from __future__ import annotations

import argparse
import json
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from retouch.errors import APIStatusError, InvalidResponse, RetouchError

Facts = Sequence[tuple[str, str]]


class Display:
    """Shows one command's progress and result in the way that its options ask for."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._as_json: bool = options.json
        self._quiet: bool = options.quiet
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._err = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)
        self._say: Callable[[str], None] = self._say_nothing
        self._what = ""
        self._tries = 1

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Says that something is being done, for as long as it takes."""
        self._what = what
        if self._quiet or (self._as_json and not self._err.is_terminal):
            yield
        elif self._err.is_terminal and not self._err.is_dumb_terminal:
            with self._moving_bar(what):
                yield
        else:
            self._say = self._print_progress
            self._say(what)
            yield

    def pause(self, wait_s: float, sleep: Callable[[float], object] = time.sleep) -> None:
        """Wait between two tries, and say so."""
        self._say(f"No luck, trying again in {wait_s:.1f} s")
        sleep(wait_s)
        self._tries += 1
        self._say(f"{self._what}, try {self._tries}")

    def show(self, title: str, facts: Facts, bare: str, data: Mapping[str, Any], good: bool = True) -> None:
        """The result: a headline with facts below, the bare result, or all of it as JSON."""
        if self._as_json:
            self._out.print(json.dumps(data, indent=2))
        elif self._quiet:
            if bare:
                self._out.print(_safe(bare, self._out))
        else:
            self._show_facts(title, facts, good)

    def failed(self, error: RetouchError, advice: str | None) -> None:
        """An error of the service, what can be done about it, and the number it goes by in the log."""
        if self._as_json:
            self._out.print(json.dumps({"error": error_data(error)}, indent=2))
        self.complain(error.message)
        for line in (advice or "").splitlines():
            self._err.print(f"  {_safe(line, self._err)}")
        if isinstance(error, APIStatusError):
            self._err.print(f"  ({_safe(error.reference, self._err)})", style="dim")

    def complain(self, message: str) -> None:
        """One line that says what is wrong."""
        self._err.print(Text.assemble(("retouch: ", "bold red"), _safe(message, self._err)))

    def _show_facts(self, title: str, facts: Facts, good: bool) -> None:
        sign = ("✔" if good else "✘") if _is_unicode(self._out) else ("*" if good else "!")
        headline = Text.assemble((f"{sign} ", "green" if good else "yellow"), (_safe(title, self._out), "bold"))
        self._out.print(headline)
        width = max(len(label) for label, _ in facts)
        for label, value in facts:
            self._out.print(Text.assemble((f"  {label:<{width}}  ", "dim"), _safe(value, self._out)))

    @contextmanager
    def _moving_bar(self, what: str) -> Iterator[None]:
        spinner = SpinnerColumn("dots" if _is_unicode(self._err) else "line")
        words = TextColumn("{task.description}", markup=False)
        with Progress(spinner, words, BarColumn(24), ElapsedColumn(), console=self._err, transient=True) as progress:
            task = progress.add_task(_safe(what, self._err), total=None)
            self._say = lambda text: progress.update(task, description=_safe(text, self._err))
            try:
                yield
            finally:
                self._say = self._say_nothing

    def _print_progress(self, text: str) -> None:
        self._err.print(f"{_safe(text, self._err)} ...")

    def _say_nothing(self, text: str) -> None:
        pass


class ElapsedColumn(ProgressColumn):
    """Seconds since the start."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.elapsed or 0:.0f} s", style="dim")


def error_data(error: RetouchError) -> dict[str, Any]:
    """An error for programs."""
    names = ("status_code", "code", "param", "request_id")
    known = {name: getattr(error, name) for name in names} if isinstance(error, APIStatusError) else {}
    if isinstance(error, InvalidResponse):
        known = {"request_id": error.request_id}
    return {"type": type(error).__name__, "message": error.message, **known}


def match(before: float, after: float) -> str:
    """How a score changed."""
    return f"{before:.3f} → {after:.3f} ({after - before:+.3f})"


def seconds(total_s: float, stages_s: Mapping[str, float]) -> str:
    """How long it took, and each stage of it."""
    stages = ", ".join(f"{name} {stage_s:.2f}" for name, stage_s in stages_s.items())
    return f"{total_s:.1f} s ({stages})" if stages else f"{total_s:.1f} s"


def shortened(text: str) -> str:
    """Short enough for a line that moves."""
    return textwrap.shorten(text, 32, placeholder=" ...")


def printable(text: str, encoding: str) -> str:
    """With what a terminal would obey, or could not print, written out. Lines stay lines."""
    harmless = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return harmless.encode(encoding, "backslashreplace").decode(encoding)


def _safe(text: str, console: Console) -> str:
    return printable(text if _is_unicode(console) else text.replace("→", "->"), console.encoding)


def _is_unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")
