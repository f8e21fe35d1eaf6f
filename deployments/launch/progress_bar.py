"""The bar that shows on a terminal what a program is waiting for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[str, int, int], None]
"""A function to call with what goes on, how much of it is done, and out of how much (0 where that is unknown)."""


@contextmanager
def progress_bar() -> Iterator[Show]:
    """Yield a function that moves a bar on standard error. Where that is not a terminal, nothing is shown."""
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    what_column, count_column = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[count]}")
    columns = (SpinnerColumn(), what_column, BarColumn(), count_column, TimeElapsedColumn())
    console = Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal:
        yield lambda what, done, total: None
        return
    with Bar(*columns, console=console, transient=True) as moving:
        moving.add_task("Starting Ray", total=None, count="")
        (task,) = moving.tasks

        def show(what: str, done: int, total: int) -> None:
            task.total = total or None  # without a total the bar only moves to and fro
            moving.update(task.id, description=what, completed=done, count=f"{done}/{total}" if total else "")

        yield show
