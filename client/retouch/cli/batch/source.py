"""The edits that a batch is to make: those of a folder of pictures, or of a table with a row for each."""

from __future__ import annotations

import argparse
import csv
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from retouch.cli.commands import given_options
from retouch.cli.outputs import UsageError
from retouch.cli.suggestions import did_you_mean
from retouch.cli.words import FLAGS, argument, point, text
from retouch.options import EditOptions, options_of
from retouch.pictures import FORMATS

IMAGE, PROMPT = "image", "prompt"
OPTIONS = {name: option for name, option in options_of(EditOptions).items() if name != "idempotency_key"}
"""What a row may say of its edit. The name that a request has for the service is the row's digest."""

COLUMNS = (IMAGE, PROMPT, *OPTIONS)
OTHER_NAMES = {flag.removeprefix("--"): name for name, flag in FLAGS.items()} | {"file": IMAGE, "path": IMAGE}
"""What a column may be called by mistake, and its name."""

YES, NO = ("true", "yes", "1"), ("false", "no", "0")
WHAT_TO_REMOVE = ("target", "points", "box", "mask", "markup")


@dataclass(frozen=True)
class Row:
    """One edit of a batch: the picture, the prompt unless it is a removal, and the options of the call."""

    image: Path
    prompt: str | None
    options: Mapping[str, Any]


def read_rows(options: argparse.Namespace) -> list[Row]:
    """Return the edits that the command line asks for. Raises `UsageError` where they cannot be read."""
    source: Path = options.source
    if options.remove and options.prompt:
        raise UsageError("with --remove nothing is painted: leave PROMPT out")
    defaults = {name: value for name, value in given_options(options, EditOptions).items() if value not in (None, [])}
    if options.remove:
        defaults["mode"] = "remove"
    if source.is_dir():
        rows = [_row(str(source), {IMAGE: image}, options.prompt, defaults) for image in _pictures(source)]
    elif source.exists():
        rows = [_row(place, cells, options.prompt, defaults) for place, cells in _table(source)]
    else:
        raise UsageError(f"there is no folder and no file {source}")
    if not rows:
        raise UsageError(f"{source} has no pictures" if source.is_dir() else f"{source} has no rows below its header")
    return rows


def _pictures(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMATS)
    return [path for path in files if path.is_file() and not path.name.startswith(".")]


def _row(place: str, cells: Mapping[str, Any], prompt: str | None, defaults: Mapping[str, Any]) -> Row:
    """Return the row whose `cells` go before what the command line says for all rows."""
    if "points" in cells or "labels" in cells:  # the labels of the command line are those of its own points
        defaults = {name: value for name, value in defaults.items() if name not in ("points", "labels")}
    options = {**defaults, **{name: value for name, value in cells.items() if name in OPTIONS}}
    if options.get("mode") == "remove":
        if not any(name in options for name in WHAT_TO_REMOVE):
            raise UsageError(f"{place}: say what to remove, by one of {', '.join(WHAT_TO_REMOVE)}")
        return Row(cells[IMAGE], cells.get(PROMPT), options)
    if not cells.get(PROMPT, prompt):
        raise UsageError(f"{place}: say what to paint, by PROMPT for all, a column `prompt`, or --remove")
    return Row(cells[IMAGE], cells.get(PROMPT, prompt), options)


def _table(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place of each row, such as "rows.csv, line 3", and the values of its cells that are not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames or ())
            for cells in reader:
                place = f"{path}, line {reader.line_num}"
                if None in cells:
                    raise UsageError(f"{place}: it has more cells than the header has columns; quote commas in a cell")
                yield place, _values(place, cells, path.parent)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV file in UTF-8: {error}") from None


def _check_header(path: Path, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name not in COLUMNS:
            suggestion = (
                did_you_mean(name, {known: known for known in COLUMNS} | OTHER_NAMES)
                or f"Columns are {', '.join(COLUMNS)}."
            )
            raise UsageError(f"{path} has an unknown column {name!r}; {suggestion}")
        if name in seen:
            raise UsageError(f"{path} has two columns {name!r}")
        seen.add(name)
    if IMAGE not in seen:
        raise UsageError(f"{path} has no column {IMAGE!r}; the first line names the columns, with commas between them")


def _values(place: str, cells: Mapping[str, str | None], home: Path) -> dict[str, Any]:
    values = {}
    for name, cell in cells.items():
        if cell is None or not cell.strip():
            continue
        try:
            value = _value(name, cell.strip())
        except (ArgumentTypeError, ValueError) as error:
            raise UsageError(f"{place}, column {name}: {error}") from None
        values[name] = home / value if isinstance(value, Path) else value
    if IMAGE not in values:
        raise UsageError(f"{place}, column {IMAGE}: it is empty")
    return values


def _value(name: str, cell: str) -> Any:
    """Return what a cell says, written as on the command line; points and labels as in a form."""
    if name == IMAGE:
        return Path(cell)
    if name == PROMPT:
        return text(cell)
    if name == "points":
        return [point(pair.strip()) for pair in cell.split(";") if pair.strip()]
    if name == "labels":
        return [int(_one_of(label.strip(), ("0", "1"))) for label in cell.split(",")]
    hint, about = OPTIONS[name]
    if get_origin(hint) is Literal:
        return _one_of(cell, get_args(hint))
    if hint is bool:
        return _one_of(cell.lower(), (*YES, *NO)) in YES
    if hint is float:
        return _number(cell)
    return argument(name, hint, about)["type"](cell)


def _one_of(cell: str, choices: Iterable[str]) -> str:
    if cell not in choices:
        raise ArgumentTypeError(f"{cell!r} is none of {', '.join(choices)}")
    return cell


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ArgumentTypeError(f"{cell!r} is not a number") from None
