"""The events of a streamed edit, as server-sent events (WHATWG HTML, section 9.2).

An event is a line with its type, a line with one JSON that has the same type, and a blank line. OpenAI's SDK reads the
type in the JSON, others the line. The JSON is plain ASCII, because some readers end a line at any separator of Unicode.
No event has an id or a time to reconnect: after those the SDK takes a blank line for an event of its own.
"""

from __future__ import annotations

import json
import time
from typing import Any, Literal

from pydantic import BaseModel

from deployments.driver.rules import size_of
from deployments.http import answers
from deployments.http.answers import Sent
from deployments.http.fields import EditFields, Quality
from deployments.messages import EditResult, PartialImage, Progress, Stage
from deployments.pixels.files import Format

ABOUT = (
    "With `stream`: server-sent events, each with its `type` in the JSON too. `image_edit.partial_image` has a preview "
    "of the whole picture (`b64_json`, `partial_image_index`); `image_edit.progress` (with `progress`) has `stage`, "
    "and the UNet's steps `done` of `total`; `image_edit.completed` has one picture, `index` of `count`, and every "
    "field of the JSON answer. `error` ends a stream that has failed; what fails before the painting begins has its "
    "own status."
)
COMPLETED, ERROR = "image_edit.completed", "error"  # the events that end a stream
PING = b": ping\n\n"  # a comment: it keeps the connection open and is no event


class ProgressEvent(BaseModel):
    """What the edit is doing, and how many of the UNet's steps are `done` of the `total` of all its pictures."""

    type: Literal["image_edit.progress"] = "image_edit.progress"
    stage: Stage
    done: int
    total: int


class PartialImageEvent(BaseModel):
    """The whole picture with a preview of what is being painted."""

    type: Literal["image_edit.partial_image"] = "image_edit.partial_image"
    b64_json: str
    partial_image_index: int
    created_at: int
    size: str
    quality: Quality
    background: Literal["opaque"] = "opaque"
    output_format: Format


def progress_event(progress: Progress) -> bytes:
    """Return the event that tells of some progress."""
    return written(ProgressEvent(stage=progress.stage, done=progress.done, total=progress.total))


def partial_event(partial: PartialImage, fields: EditFields) -> bytes:
    """Return the event with a preview. Its picture is encoded here, which takes too long for the event loop."""
    return written(
        PartialImageEvent(
            b64_json=answers.picture_base64(partial.image, fields),
            partial_image_index=partial.index,
            created_at=int(time.time()),
            size=size_of(partial.image),
            quality=answers.quality_of(fields, paints=True),
            output_format=fields.output_format,
        )
    )


def completed_events(result: EditResult, sent: Sent) -> list[bytes]:
    """Return an event for each picture, best first, with all that the JSON answer says: of it, and of all of them.

    Like there, the pictures are encoded here.
    """
    answer: dict[str, Any] = json.loads(answers.edit_json(result, sent))
    pictures = answer.pop("data")
    shared = {"type": COMPLETED, "created_at": answer["created"], "count": len(pictures)} | answer
    return [_lines(COMPLETED, json.dumps(shared | {"index": index} | each)) for index, each in enumerate(pictures)]


def written(event: BaseModel) -> bytes:
    """Return an event, which says its own `type`, as it is sent."""
    kind: str = getattr(event, "type")  # noqa: B009 - mypy knows no type of a BaseModel
    return _lines(kind, json.dumps(event.model_dump(mode="json")))


def first_line(kind: str) -> bytes:
    """Return the line with which an event of this type begins."""
    return f"event: {kind}\n".encode()


def _lines(kind: str, data: str) -> bytes:
    return first_line(kind) + f"data: {data}\n\n".encode()
