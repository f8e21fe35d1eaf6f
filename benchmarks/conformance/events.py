"""Read a stream of server-sent events strictly: what a lenient reader forgives is reported here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.conformance.answers import shown
from benchmarks.conformance.rows import Fails, check

PARTIAL, COMPLETED, PROGRESS = "image_edit.partial_image", "image_edit.completed", "image_edit.progress"


@dataclass(frozen=True)
class Event:
    """One event: what stands behind each `event:` and `data:`, and the names of the other fields, of its lines."""

    events: tuple[str, ...]
    data: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def json(self) -> dict[str, Any]:
        """Return the JSON object of the event. Raises Fails where there is not exactly one."""
        check(len(self.data) == 1, f"an event has {len(self.data)} data lines instead of one")
        try:
            content = json.loads(self.data[0])
        except ValueError as broken:
            raise Fails(f"the data of an event is no JSON: {self.data[0][:80]!r}") from broken
        check(isinstance(content, dict), f"the data of an event is no object: {self.data[0][:80]!r}")
        assert isinstance(content, dict)
        return content


def streamed(answer: httpx.Response) -> list[Event]:
    """Return all events of an answer. Comment lines are no events.

    Raises Fails where the answer is no stream, or where its last event is unfinished.
    """
    kind = answer.headers.get("content-type", "")
    check(answer.status_code == 200 and kind.startswith("text/event-stream"), f"no stream came but {shown(answer)}")
    found = list(_events(answer.text))
    check(found, "the stream has no events")
    return found


def of_type(events: list[Event], kind: str) -> list[dict[str, Any]]:
    """Return the JSON of those events that are of this type."""
    return [event.json for event in events if event.json.get("type") == kind]


def _events(text: str) -> Iterator[Event]:
    blocks: list[list[tuple[str, str]]] = [[]]
    # These are the only line ends of such a stream: str.splitlines() would cut the JSON at others, too.
    lines = re.split(r"\r\n|\n|\r", text)
    if lines[-1] == "":  # what follows the last line end is no blank line
        lines.pop()
    for line in lines:
        if line == "":
            blocks.append([])
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            blocks[-1].append((name, value.removeprefix(" ")))
    check(not blocks[-1], "the last event has no blank line after it, so readers drop it")
    for block in blocks:
        if block:
            yield Event(
                tuple(value for name, value in block if name == "event"),
                tuple(value for name, value in block if name == "data"),
                tuple(name for name, _ in block if name not in ("event", "data")),
            )
