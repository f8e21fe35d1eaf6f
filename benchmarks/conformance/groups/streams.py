"""`stream=true`: events that the SDK and stricter readers both understand."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.conformance import pictures
from benchmarks.conformance.answers import check_usage, edited, refused, refused_sdk
from benchmarks.conformance.events import COMPLETED, PARTIAL, Event, of_type, streamed
from benchmarks.conformance.rows import Fails, Group, NotAsked, check
from benchmarks.conformance.server import EDITS, Server

ROWS = Group("streams", "Streams")
PARTIALS = 2
DESCRIBED = ("b64_json", "created_at", "size", "quality", "background", "output_format")


def _events(server: Server) -> list[Event]:
    """Return the events of a stream with partial pictures, which several rows look at."""
    events: list[Event] = server.reused(
        "stream", lambda: streamed(server.post(stream="true", partial_images=str(PARTIALS)))
    )
    return events


def _some(server: Server, kind: str) -> list[dict[str, Any]]:
    """Return the events of that stream that are of this type. A server may send no partial pictures."""
    found = of_type(_events(server), kind)
    if not found and kind == PARTIAL:
        raise NotAsked("no partial pictures came, which the contract allows")
    check(found, f"no {kind} came")
    return found


@ROWS.row
def sync_stream(server: Server) -> None:
    """The synchronous client gets a picture as the last event"""
    with server.sdk.images.edit(**server.fields(partial_images=PARTIALS), stream=True) as stream:
        events = [event.model_dump() for event in stream]
    _check_last(events)


@ROWS.row
def async_stream(server: Server) -> None:
    """The asynchronous client gets a picture as the last event"""

    async def ask() -> list[dict[str, Any]]:
        async with server.async_sdk() as sdk:
            stream = await sdk.images.edit(**server.fields(partial_images=PARTIALS), stream=True)
            return [event.model_dump() async for event in stream]

    _check_last(asyncio.run(ask()))


def _check_last(events: list[dict[str, Any]]) -> None:
    check(events, "the stream has no events")
    check(events[-1]["type"] == COMPLETED, f"the last event is {events[-1]['type']!r}")
    pictures.opened(events[-1]["b64_json"])


@ROWS.row
def media_type(server: Server) -> None:
    """The answer is text/event-stream, although the SDK accepts application/json"""
    kind = server.post(headers={"accept": "application/json"}, stream="true").headers.get("content-type", "")
    check(kind.startswith("text/event-stream"), f"the content type is {kind!r}")


@ROWS.row
def same_type(server: Server) -> None:
    """The line `event:` of each event equals the `type` in its JSON"""
    for event in _events(server):
        check(event.events == (event.json.get("type"),), f"event: {event.events}, type: {event.json.get('type')!r}")


@ROWS.row
def one_json(server: Server) -> None:
    """Each event has one line `data:` with one JSON object"""
    for event in _events(server):
        check(event.json, "an event is empty")


@ROWS.row
def no_other_lines(server: Server) -> None:
    """No event has an `id:` or a `retry:`, after which clients read empty events"""
    others = sorted({name for event in _events(server) for name in event.others})
    check(not others, f"there are lines of {', '.join(others)}")


@ROWS.row
def no_error_key(server: Server) -> None:
    """No event of an edit that succeeds has a key `error`, at which the SDK raises"""
    check(not any("error" in event.json for event in _events(server)), "one has")


@ROWS.row
def known_types(server: Server) -> None:
    """No events come but partial pictures and then the completed one"""
    types = [event.json.get("type") for event in _events(server)]
    check(types == [PARTIAL] * (len(types) - 1) + [COMPLETED], f"the types are {types}")


@ROWS.row
def partial_indices(server: Server) -> None:
    """Partial pictures are counted from 0, and no more come than were asked for"""
    indices = [event.get("partial_image_index") for event in _some(server, PARTIAL)]
    check(indices == list(range(len(indices))), f"the indices are {indices}")
    check(len(indices) <= PARTIALS, f"{len(indices)} came, {PARTIALS} were asked for")


@ROWS.each({PARTIAL: PARTIAL, COMPLETED: COMPLETED})
def described(server: Server, kind: str) -> None:
    """{} has a picture, and says what it is as the answer does"""
    for event in _some(server, kind):
        missing = [name for name in DESCRIBED if event.get(name) is None]
        check(not missing, f"it lacks {', '.join(missing)}")
        image = pictures.opened(event["b64_json"])
        shown = (f"{image.width}x{image.height}", (image.format or "").lower())
        check(shown == (event["size"], event["output_format"]), f"{shown} is not what the event says")


@ROWS.row
def usage(server: Server) -> None:
    """The completed event has a `usage` that adds up"""
    for event in _some(server, COMPLETED):
        check_usage(event.get("usage"))


@ROWS.row
def a_completed_each(server: Server) -> None:
    """`n=2` gives two completed events"""
    found = of_type(streamed(server.post(stream="true", n="2")), COMPLETED)
    check(len(found) == 2, f"{len(found)} came")


@ROWS.row
def no_partials(server: Server) -> None:
    """Without `partial_images` there are none"""
    found = streamed(server.post(stream="true"))
    check(not of_type(found, PARTIAL), f"{len(of_type(found, PARTIAL))} came")
    check(len(of_type(found, COMPLETED)) == 1, "there is not one completed event")


@ROWS.row
def other_format(server: Server) -> None:
    """Pictures come in the `output_format` that was asked for"""
    found = streamed(server.post(stream="true", partial_images="1", output_format="jpeg"))
    kinds = {pictures.opened(event.json["b64_json"]).format for event in found}
    check(kinds == {"JPEG"}, f"the pictures are {kinds}")


@ROWS.row
def from_json(server: Server) -> None:
    """A JSON body with `stream` true is streamed, too"""
    check(of_type(streamed(server.post_json(stream=True, partial_images=1)), COMPLETED), "no completed event came")


@ROWS.row
def false(server: Server) -> None:
    """`stream=false` is a plain answer"""
    edited(server.edit(stream=False))


@ROWS.each(
    {"n=0": ("n", "0"), "partial_images=4": ("partial_images", "4"), "output_format=bmp": ("output_format", "bmp")}
)
def error_before(server: Server, case: tuple[str, Any]) -> None:
    """A refusal before the stream is a status, not an event: {}"""
    name, value = case
    refused(server.post(stream="true", **{name: value}), name)
    refused_sdk(lambda: server.edit(stream=True, extra_body={name: value}), name)


@ROWS.row
def leaving(server: Server) -> None:
    """A caller who leaves in the middle of a stream harms nobody: the next edit is served"""
    with server.http.stream("POST", EDITS, data=server.texts(stream="true"), files=server.files()) as answer:
        if answer.status_code != 200:
            raise Fails(f"status {answer.status_code}")
    edited(server.edit())
