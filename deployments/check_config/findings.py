"""The findings of the check: each says in one sentence what was found, where in the file, and how grave it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from reprlib import repr as short
from typing import Any, Literal

FindingKind = Literal["problem", "note", "fact"]


@dataclass(frozen=True)
class Finding:
    """A sentence about `place`, a key written as "applications[0].args"; "" is the whole file.

    A problem makes the check fail. A note may be intended, or cannot be decided on this machine. A fact is what the
    reader wants to know of any file.
    """

    place: str
    sentence: str
    kind: FindingKind = "problem"


def child(place: str, key: Any) -> str:
    """Return the place of a key of the mapping at `place`."""
    return f"{place}.{key}" if place else str(key)


def members(value: Any, place: str) -> list[tuple[str, Any]]:
    """Return the items of a list, each with its place; deployments go by their names. Anything else is its own item."""
    if not isinstance(value, list):
        return [(place, value)]
    return [(_item(place, number, item), item) for number, item in enumerate(value)]


def _item(place: str, number: int, item: Any) -> str:
    name = item.get("name") if isinstance(item, dict) and place.endswith("deployments") else None
    return f"{place}.{name}" if isinstance(name, str) and name else f"{place}[{number}]"


def near(word: Any, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return "; did you mean ...?" when one of the known words is like this one, else nothing."""
    matches = get_close_matches(str(word), sorted(known), 1, likeness)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def one_line(error: BaseException) -> str:
    """Return the type and the message of an exception as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def quoted(value: Any) -> str:
    """Return a value as the operator may recognise it, shortened if it is long."""
    return short(value)
