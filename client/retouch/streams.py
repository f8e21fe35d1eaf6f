"""How an edit arrives as a stream: server-sent events become progress, unfinished pictures, and the result at the end.

Nothing here sends or waits, so both clients share it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import ServerSentEvent

from retouch.answers import edit_in, error_in_stream, read_object, request_id_of
from retouch.errors import InvalidResponse
from retouch.results import EditResult, PartialImage, Progress, StreamEvent
from retouch.retries import Outcome

MEDIA_TYPE = "text/event-stream"


@dataclass(frozen=True)
class Rank:
    """Which one of the pictures of an edit an event brings. The best has the `index` 0."""

    index: int
    count: int


class Attempt:
    """One try of a streamed edit, and what has come of it so far.

    `outcome` is the answer or the reason why there is none, as for any other call. `has_begun` says that the caller got
    something from this try, so that no other one may follow it. `is_complete` says that the caller got the result.
    """

    def __init__(self) -> None:
        self.outcome: Outcome = httpx.RemoteProtocolError("the stream ended before the edit did")
        self.has_begun = False
        self.is_complete = False
        self._request_id: str | None = None
        self._finished: dict[int, dict[str, Any]] = {}

    def starts_stream(self, response: httpx.Response) -> bool:
        """Return whether `response` is a stream of events. Otherwise it is the outcome, and has to be read as usual."""
        if response.is_success and response.headers.get("content-type", "").partition(";")[0].strip() == MEDIA_TYPE:
            self._request_id = request_id_of(response)
            return True
        self.outcome = response
        return False

    def read(self, event: ServerSentEvent) -> StreamEvent | None:
        """Return what `event` brings to the caller, or None for an event that brings nothing.

        Raises the error that it states. Events of a type that is unknown here are left alone.
        """
        if self.is_complete or not event.data:  # the latter is no event by the standard, but the parser hands it over
            return None
        content = self._object(event.data)
        kind = content.get("type", event.event)
        if kind == "error" or content.get("error"):
            raise error_in_stream(content, self._request_id)
        brought = self._brought(kind, content)
        self.has_begun |= brought is not None
        return brought

    def _brought(self, kind: Any, content: dict[str, Any]) -> StreamEvent | None:
        if kind == "image_edit.progress":
            return read_object(Progress, content, self._request_id)
        if kind == "image_edit.partial_image":
            return read_object(PartialImage, content, self._request_id)
        return self._result(content) if kind == "image_edit.completed" else None

    def _result(self, content: dict[str, Any]) -> EditResult | None:
        """Keep a finished picture. Return the result when the last of them is there."""
        rank = read_object(Rank, content, self._request_id)
        self._finished[rank.index] = content
        if len(self._finished) < rank.count:
            return None
        self.is_complete = True
        pictures = [picture for _, picture in sorted(self._finished.items())]
        return edit_in(content | {"data": pictures}, self._request_id)

    def _object(self, data: str) -> dict[str, Any]:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise InvalidResponse("An event of the stream is not a JSON object.", self._request_id)
        return content
