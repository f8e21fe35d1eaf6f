"""A row asks the server one thing and holds or fails. Groups collect rows, and `run` asks them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import httpx
import openai

if TYPE_CHECKING:
    from benchmarks.conformance.server import Server

Outcome = Literal["holds", "fails", "not asked"]

_T = TypeVar("_T")
_LONGEST_WHY = 240


class Fails(Exception):
    """The server does not do what a row asks for; the text says what it does instead."""


class NotAsked(Exception):
    """The row does not apply to this server; the text says why."""


@dataclass(frozen=True)
class Row:
    """One thing that is asked. `title` is a sentence that holds or does not, `name` selects the row."""

    name: str
    title: str
    ask: Callable[[Server], None]


@dataclass(frozen=True)
class Result:
    """What became of a row. `why` says it of one that fails or was not asked."""

    row: Row
    outcome: Outcome
    why: str
    seconds: float


class Group:
    """Rows under one heading. `only_retouch` says that they ask for what goes beyond OpenAI's contract."""

    def __init__(self, name: str, title: str, only_retouch: bool = False) -> None:
        self.name = name
        self.title = title
        self.only_retouch = only_retouch
        self.rows: list[Row] = []

    def row(self, ask: Callable[[Server], None]) -> Callable[[Server], None]:
        """Add a row; the first line of the function's docstring is its title."""
        self._add(ask.__name__, _title(ask), ask)
        return ask

    def each(self, cases: Mapping[str, _T]) -> Callable[[Callable[[Server, _T], None]], None]:
        """Add a row for each of `cases`, by its label, which stands in the title in the place of {}."""

        def add(ask: Callable[[Server, _T], None]) -> None:
            for label, case in cases.items():
                self._add(f"{ask.__name__}:{label}", _title(ask).replace("{}", label), _with(ask, case))

        return add

    def _add(self, name: str, title: str, ask: Callable[[Server], None]) -> None:
        self.rows.append(Row(f"{self.name}.{name}", title, ask))


def check(holds: object, why: str) -> None:
    """Raise Fails with `why` unless `holds` is true."""
    if not holds:
        raise Fails(why)


def run(server: Server, rows: Iterable[Row]) -> Iterator[Result]:
    """Ask one row after another, and yield what became of each."""
    for row in rows:
        start = time.perf_counter()
        outcome, why = _outcome(server, row)
        yield Result(row, outcome, why, time.perf_counter() - start)


def _outcome(server: Server, row: Row) -> tuple[Outcome, str]:
    try:
        row.ask(server)
    except NotAsked as reason:
        return "not asked", _short(str(reason))
    except Fails as failure:
        return "fails", _short(str(failure))
    # What an odd server does to the libraries cannot be foreseen, and the next row shall be asked all the same.
    except Exception as error:
        return "fails", _short(_described(error))
    return "holds", ""


def _described(error: Exception) -> str:
    if isinstance(error, openai.APIStatusError):
        return f"status {error.status_code}: {error.message}"
    if isinstance(error, openai.APIConnectionError | httpx.TransportError):
        return f"no answer came: {type(error).__name__} {error}"
    return f"{type(error).__name__}: {error}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_WHY else f"{line[: _LONGEST_WHY - 3]}..."


def _title(ask: Callable[..., Any]) -> str:
    assert ask.__doc__, f"{ask.__name__} needs a docstring: it is the title of the row"
    return ask.__doc__.strip().splitlines()[0]


def _with(ask: Callable[[Server, _T], None], case: _T) -> Callable[[Server], None]:
    return lambda server: ask(server, case)
