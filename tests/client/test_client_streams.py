"""An edit as a stream: what is yielded, what is raised, and when the connection is closed."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
import retouch
from PIL import Image
from retouch import EditResult, PartialImage, Progress

BOTH = pytest.mark.parametrize("kind", ["client", "async_client"])


def stream(service: Any, kind: str, *args: Any, **options: Any) -> list[Any]:
    """What a client yields, with the error that it raises at the end, if it does."""
    yielded: list[Any] = []

    async def awaited() -> None:
        async with service.async_client() as client:
            async for event in client.edit_stream(*args, **options):
                yielded.append(event)

    try:
        if kind == "async_client":
            asyncio.run(awaited())
        else:
            with service.client() as client:
                yielded.extend(event for event in client.edit_stream(*args, **options))
    except retouch.RetouchError as error:
        yielded.append(error)
    return yielded


@BOTH
def test_progress_previews_and_the_result_come_in_order(service: Any, photo: Path, kind: str) -> None:
    events = stream(service, kind, photo, "a lemon", target="the apple", partial_images=2)
    assert [type(event) for event in events] == [Progress] * 3 + [PartialImage] * 2 + [Progress] * 2 + [EditResult]
    assert events[0] == Progress("locate", 0, 0)
    assert events[2] == Progress("inpaint", 0, 20)
    assert events[5] == Progress("inpaint", 20, 20)
    assert [(event.index, event.image.getpixel((0, 0))) for event in events[3:5]] == [(0, (50, 0, 0)), (1, (51, 0, 0))]
    assert events[3].image.size == (48, 32)
    assert events[-1].target == "the apple"
    assert "PIL" not in repr(events[3])


@BOTH
@pytest.mark.parametrize("n", [1, 3])
def test_the_result_is_the_one_that_an_edit_gives(service: Any, photo: Path, kind: str, n: int) -> None:
    service.changes = {"filtered": [{"seed": 3, "code": "moderation_blocked"}], "safety_identifier": "user 7"}
    *_, result = stream(service, kind, photo, "a lemon", target="the apple", n=n, seed=7)
    assert result == service.client().edit(photo, "a lemon", target="the apple", n=n, seed=7)
    assert ([edit.seed for edit in result.edits], result.request_id) == (list(range(7, 7 + n)), "req-1")
    assert (result.safety_identifier, result.usage.total_tokens) == ("user 7", 20 * n + 6)


def test_the_pictures_stand_by_their_rank_whatever_the_order_they_come_in(
    service: Any, photo: Path, good_edit: dict[str, Any], stream_of: Callable[..., list[str]]
) -> None:
    good_edit["data"] = [good_edit["data"][0] | {"seed": seed} for seed in range(12)]
    *others, last = stream_of(good_edit)[-12:]
    service.events = [last, *others]
    assert [edit.seed for edit in next(service.client().edit_stream(photo, "a lemon")).edits] == list(range(12))


def test_a_removal_is_an_edit_as_a_stream_too(service: Any, photo: Path) -> None:
    *_, result = service.client().edit_stream(photo, mode="remove", target="the apple")
    assert result == service.client().remove(photo, "the apple")


def pieces(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text), length)]


@BOTH
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("length", [1, 7, 1000, 10**9])
def test_the_pieces_of_the_network_and_the_line_ends_do_not_matter(
    service: Any,
    photo: Path,
    good_edit: dict[str, Any],
    stream_of: Callable[..., list[str]],
    kind: str,
    line_end: str,
    length: int,
) -> None:
    service.events = stream_of(good_edit)
    wanted = stream(service, kind, photo, "a lemon")
    text = "".join(stream_of(good_edit)).replace("\n", line_end)
    service.events = pieces(text, length)
    assert stream(service, kind, photo, "a lemon") == wanted


def test_what_else_a_stream_may_hold_by_its_standard(service: Any, photo: Path, stream_event: Any) -> None:
    """Comments, lines without an event, data on several lines, fields that nobody knows, a line end inside a text."""
    progress = '{"type": "image_edit.progress",\ndata:"stage": "loc\\u2028ate",\ndata: "done": 0, "total": 0}'
    service.events = [
        ": ping\n\n:\n\n",
        "event: ping\n\n",
        "id: 7\nretry: 3000\n\n",
        f"colour: red\nevent:image_edit.progress\ndata: {progress}\n\n",
        "data: [1]\n",  # never finished, so it is no event
    ]
    first, error = stream(service, "client", photo, "a lemon")
    assert first == Progress("loc\u2028ate", 0, 0)
    assert isinstance(error, retouch.APIConnectionError)


@BOTH
def test_events_of_an_unknown_type_and_unknown_keys_are_left_alone(
    service: Any,
    photo: Path,
    good_edit: dict[str, Any],
    stream_of: Callable[..., list[str]],
    stream_event: Any,
    kind: str,
) -> None:
    service.events = stream_of(good_edit)
    wanted = stream(service, kind, photo, "a lemon")
    service.events.insert(3, stream_event("image_edit.heat", heat=[[1]]))
    service.events.insert(1, stream_event("image_edit.progress", stage="score", done=0, total=0, seconds=3))
    service.events.append(stream_event("image_edit.progress", stage="late", done=0, total=0))
    assert stream(service, kind, photo, "a lemon")[1:] == wanted


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("[1, 2]", "An event of the stream is not a JSON object."),
        ("{", "An event of the stream is not a JSON object."),
        ("[DONE]", "An event of the stream is not a JSON object."),
        (f"{'[' * 100_000}", "An event of the stream is not a JSON object."),
        ('{"type": "image_edit.progress", "stage": "locate", "done": 0}', "The answer has no 'total'."),
        ('{"type": "image_edit.partial_image", "b64_json": "", "partial_image_index": 0}', "'b64_json' in"),
        ('{"type": "image_edit.completed", "b64_json": "", "count": 1}', "The answer has no 'index'."),
        ('{"type": "image_edit.completed", "index": 0, "count": 1}', r"no 'data\[0\].b64_json'"),
    ],
)
@BOTH
def test_an_event_that_cannot_be_read_is_refused(service: Any, photo: Path, data: str, message: str, kind: str) -> None:
    service.events = [f"data: {data}\n\n"]
    (error,) = stream(service, kind, photo, "a lemon")
    assert isinstance(error, retouch.InvalidResponse)
    assert error.request_id == "req-1"
    with pytest.raises(retouch.InvalidResponse, match=message):
        raise error
    assert (len(service.seen), service.connections[0].is_closed) == (1, True)


@BOTH
def test_a_plain_answer_is_a_stream_of_the_result(
    service: Any, photo: Path, good_edit: dict[str, Any], kind: str
) -> None:
    service.instead = [httpx.Response(200, json=good_edit)]
    (result,) = stream(service, kind, photo, "a lemon")
    assert isinstance(result, EditResult)
    service.instead = [httpx.Response(200, text="<h1>Hello</h1>", headers={"content-type": "text/html"})]
    (error,) = stream(service, kind, photo, "a lemon")
    assert isinstance(error, retouch.InvalidResponse)


PROGRESS = 'data: {"type": "image_edit.progress", "stage": "locate", "done": 0, "total": 0}\n\n'


@BOTH
@pytest.mark.parametrize("n", [1, 3])
def test_a_stream_that_ends_before_the_result_is_a_broken_connection(
    service: Any,
    photo: Path,
    good_edit: dict[str, Any],
    stream_of: Callable[..., list[str]],
    kind: str,
    n: int,
) -> None:
    good_edit["data"] *= n
    service.events = stream_of(good_edit)[:-1]
    *_, error = stream(service, kind, photo, "a lemon")
    assert type(error) is retouch.APIConnectionError
    assert str(error) == "The connection to http://127.0.0.1:8000 broke: the stream ended before the edit did."
    assert (len(service.seen), service.sleeps) == (1, [])


@BOTH
@pytest.mark.parametrize(
    ("cause", "raised"),
    [
        (httpx.ReadError("reset"), retouch.APIConnectionError),
        (httpx.RemoteProtocolError("incomplete chunked read"), retouch.APIConnectionError),
        (httpx.ReadTimeout("silence"), retouch.APITimeoutError),
    ],
)
def test_what_breaks_after_the_first_event_is_raised_at_once(
    service: Any, photo: Path, kind: str, cause: httpx.RequestError, raised: type[Exception]
) -> None:
    service.events = [PROGRESS, cause]
    progress, error = stream(service, kind, photo, "a lemon")
    assert (progress, type(error)) == (Progress("locate", 0, 0), raised)
    assert (len(service.seen), service.sleeps, service.connections[0].is_closed) == (1, [], True)


@BOTH
def test_what_fails_before_the_first_event_is_tried_again(
    service: Any, service_error: Callable[..., httpx.Response], photo: Path, kind: str
) -> None:
    service.instead = [httpx.ConnectError("refused"), service_error(429, retry_after="3")]
    *_, result = stream(service, kind, photo, "a lemon")
    assert isinstance(result, EditResult)
    assert (len(service.seen), service.sleeps[1]) == (3, 3)
    assert [seen.texts for seen in service.seen] == [service.seen[0].texts] * 3

    service.events = [": ping\n\n", httpx.ReadError("reset")]
    (error,) = stream(service, kind, photo, "a lemon")
    assert type(error) is retouch.APIConnectionError
    assert (len(service.seen), len(service.sleeps)) == (6, 4)
    assert all(connection.is_closed for connection in service.connections)


@BOTH
@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (422, "target_not_found", retouch.TargetNotFound),
        (400, "invalid_value", retouch.BadRequestError),
        (401, "invalid_api_key", retouch.AuthenticationError),
    ],
)
def test_a_status_before_the_stream_raises_what_an_edit_raises(
    service: Any,
    service_error: Callable[..., httpx.Response],
    photo: Path,
    kind: str,
    status: int,
    code: str,
    raised: type[Exception],
) -> None:
    service.instead = [service_error(status, "It says why.", code, "target")]
    (error,) = stream(service, kind, photo, "a lemon")
    assert (type(error), error.message, error.param) == (raised, "It says why.", "target")
    assert (error.status_code, error.code, error.request_id) == (status, code, "req-9")
    assert len(service.seen) == 1


IN_STREAM = [
    ("moderation_blocked", "invalid_request_error", 400, retouch.ContentFiltered),
    ("target_not_found", "invalid_request_error", 422, retouch.TargetNotFound),
    ("overloaded", "rate_limit_error", 429, retouch.RateLimitError),
    ("deadline_exceeded", "server_error", 504, retouch.InternalServerError),
    ("a_new_code", "server_error", 500, retouch.InternalServerError),
    ("a_new_code", "invalid_request_error", 400, retouch.BadRequestError),
    ("a_new_code", "a_new_type", 200, retouch.APIStatusError),
    (None, None, 200, retouch.APIStatusError),
]


@BOTH
@pytest.mark.parametrize(("code", "type_name", "status", "raised"), IN_STREAM)
def test_an_error_in_the_stream_has_the_class_of_its_code_or_type(
    service: Any,
    photo: Path,
    stream_event: Any,
    good_location: dict[str, Any],
    kind: str,
    code: str | None,
    type_name: str | None,
    status: int,
    raised: type[Exception],
) -> None:
    stated = {"message": "It says why.", "type": type_name, "param": "prompt", "code": code}
    service.events = [PROGRESS, stream_event("error", error=stated, location=good_location), PROGRESS]
    progress, error = stream(service, kind, photo, "a lemon")
    assert (progress, type(error)) == (Progress("locate", 0, 0), raised)
    assert (error.message, error.param) == ("It says why.", "prompt")
    assert (error.status_code, error.code, error.request_id) == (status, code, "req-1")
    assert error.body["error"] == stated
    assert raised is not retouch.TargetNotFound or error.location.point_xy == (20, 10)
    assert (len(service.seen), service.connections[0].is_closed) == (1, True)


def test_an_error_that_says_nothing(service: Any, photo: Path, stream_event: Any) -> None:
    service.events = [stream_event("error")]
    (error,) = stream(service, "client", photo, "a lemon")
    assert (type(error), error.message) == (
        retouch.APIStatusError,
        "The service broke the edit off without saying why.",
    )


def test_an_error_is_known_by_its_key_as_the_openai_sdk_knows_it(service: Any, photo: Path) -> None:
    service.events = ['data: {"error": {"message": "Busy.", "code": "overloaded", "type": "rate_limit_error"}}\n\n']
    (error,) = stream(service, "client", photo, "a lemon")
    assert (type(error), error.message) == (retouch.RateLimitError, "Busy.")


def test_leaving_closes_the_connection(service: Any, photo: Path) -> None:
    events = service.client().edit_stream(photo, "a lemon")
    assert service.seen == []  # nothing is sent before somebody wants something
    next(events)
    (connection,) = service.connections
    assert not connection.is_closed
    events.close()
    assert connection.is_closed
    assert connection.brought < len(connection.pieces)


def test_leaving_a_loop_closes_the_connection(service: Any, photo: Path) -> None:
    for _ in service.client().edit_stream(photo, "a lemon"):
        break
    gc.collect()
    assert service.connections[0].is_closed


def test_an_exception_in_the_loop_closes_the_connection(service: Any, photo: Path) -> None:
    def interrupted() -> None:
        for _ in service.client().edit_stream(photo, "a lemon"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    gc.collect()
    assert service.connections[0].is_closed


@pytest.mark.parametrize("is_closing", [True, False])
def test_leaving_an_awaited_loop_closes_the_connection(service: Any, photo: Path, is_closing: bool) -> None:
    async def left() -> None:
        events = service.async_client().edit_stream(photo, "a lemon")
        if is_closing:
            async with aclosing(events):
                await first_of(events)
            assert service.connections[0].is_closed
        else:
            await first_of(events)

    asyncio.run(left())
    assert service.connections[0].is_closed
    assert service.connections[0].brought < len(service.connections[0].pieces)


async def first_of(events: AsyncIterator[Any]) -> None:
    async for _ in events:
        return


def test_cancelling_closes_the_connection(service: Any, photo: Path) -> None:
    class Silent:
        """Says one thing and then nothing any more."""

        is_closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield PROGRESS.encode()
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            self.is_closed = True

    class SilentStream(Silent, httpx.AsyncByteStream):
        pass

    silent = SilentStream()
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, stream=silent, headers={"content-type": "text/event-stream"})
    )

    async def cancelled() -> list[Any]:
        seen: list[Any] = []
        started = asyncio.Event()

        async def follow() -> None:
            async for event in retouch.AsyncRetouch(transport=transport).edit_stream(photo, "a lemon"):
                seen.append(event)
                started.set()

        task = asyncio.create_task(follow())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    assert asyncio.run(cancelled()) == [Progress("locate", 0, 0)]
    assert silent.is_closed


def test_the_connection_is_read_to_its_end_so_that_it_can_be_used_again(
    service: Any, photo: Path, good_edit: dict[str, Any], stream_of: Callable[..., list[str]]
) -> None:
    service.events = [*stream_of(good_edit), ": ping\n\n"]
    *_, result = stream(service, "client", photo, "a lemon")
    assert isinstance(result, EditResult)
    assert service.connections[0].brought == len(service.events)


def test_a_connection_that_breaks_after_the_result_harms_nobody(
    service: Any, photo: Path, good_edit: dict[str, Any], stream_of: Callable[..., list[str]]
) -> None:
    service.events = [*stream_of(good_edit), httpx.ReadError("reset")]
    *_, result = stream(service, "client", photo, "a lemon")
    assert isinstance(result, EditResult)


def test_a_picture_that_cannot_be_read_is_refused_before_anything_is_sent(service: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        service.client().edit_stream(tmp_path / "none.png", "a lemon")
    with pytest.raises(FileNotFoundError):
        stream(service, "async_client", tmp_path / "none.png", "a lemon")
    assert service.seen == []


def test_previews_are_those_of_any_format(service: Any, photo: Path, stream_event: Any) -> None:
    file = io.BytesIO()
    Image.new("RGB", (48, 32), "red").save(file, format="JPEG")
    packed = base64.b64encode(file.getvalue()).decode()
    service.events = [stream_event("image_edit.partial_image", b64_json=packed, partial_image_index=0)]
    first, _ = stream(service, "client", photo, "a lemon")
    assert (first.image.format, first.image.size) == ("JPEG", (48, 32))
