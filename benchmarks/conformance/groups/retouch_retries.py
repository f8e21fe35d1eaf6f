"""What Retouch does with an Idempotency-Key: the same request again gets the same answer."""

from __future__ import annotations

import uuid

from benchmarks.conformance import pictures
from benchmarks.conformance.answers import edited_json, refused
from benchmarks.conformance.events import COMPLETED, of_type, streamed
from benchmarks.conformance.rows import Group, check
from benchmarks.conformance.server import Server

ROWS = Group("retouch_retries", "Retouch: safe retries", only_retouch=True)
NAME = "Idempotency-Key"
REPLAYED = "x-retouch-replayed"


def _key() -> dict[str, str]:
    return {NAME: f"conformance-{uuid.uuid4().hex}"}


@ROWS.row
def replay(server: Server) -> None:
    """The same key again gets the same answer, which says that it is a replay"""
    key = _key()
    first, again = server.post(headers=key), server.post(headers=key)
    check(edited_json(first) == edited_json(again), "the second answer is another one")
    check(REPLAYED not in first.headers, f"the first answer has {REPLAYED}")
    check(again.headers.get(REPLAYED) == "true", f"the second answer has no {REPLAYED}: true")
    check(first.headers["x-request-id"] != again.headers["x-request-id"], "both have the same x-request-id")


@ROWS.row
def replayed_picture(server: Server) -> None:
    """A picture itself is replayed as well"""
    headers = _key() | {"accept": "image/png"}
    first, again = server.post(headers=headers), server.post(headers=headers)
    check(again.headers.get(REPLAYED) == "true", f"the second answer has no {REPLAYED}: true")
    check(first.content == again.content, "the second picture is another one")


@ROWS.row
def replayed_stream(server: Server) -> None:
    """A stream is replayed by its completed events"""
    key = _key()
    streams = [of_type(streamed(server.post(headers=key, stream="true")), COMPLETED) for _ in range(2)]
    check(all(len(events) == 1 for events in streams), "there is not one completed event each")
    first, again = (pictures.opened(events[0]["b64_json"]).tobytes() for events in streams)
    check(first == again, "the second picture is another one")


@ROWS.row
def another_request(server: Server) -> None:
    """The same key with another request is refused, naming the key"""
    key = _key()
    edited_json(server.post(headers=key))
    refused(server.post(headers=key, prompt="a pear"), NAME, code="idempotency_key_reused")


@ROWS.row
def failures_are_forgotten(server: Server) -> None:
    """A key of a request that was refused can be used again"""
    key = _key()
    refused(server.post(headers=key, n="0"), "n")
    check(REPLAYED not in (answer := server.post(headers=key)).headers, "the refusal was replayed")
    edited_json(answer)


@ROWS.row
def bad_key(server: Server) -> None:
    """A key of more than 255 characters, or with a space, is refused, naming it"""
    for key in ("k" * 256, "two words"):
        refused(server.post(headers={NAME: key}), NAME)
