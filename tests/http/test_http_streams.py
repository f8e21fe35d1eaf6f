"""Streamed edits: what is sent and when, what the OpenAI SDK makes of it, what fails, and who leaves."""

import asyncio
import base64
import json
import logging
import socket
import threading
import urllib.parse

import httpx2 as httpx
import numpy as np
import openai
import pytest

from deployments.errors import (
    ContentFiltered,
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    Overloaded,
    TargetNotFound,
)
from deployments.http import events, streaming
from deployments.http.api import build_api
from deployments.messages import Location, Progress

EDITS = "/v1/images/edits"
WAIT_S = 30
NOWHERE = TargetNotFound(Location("the unicorn", "unicorn", (3, 4), 0.1, -2.5, False, None), (96, 64))


@pytest.fixture
def sdk(server):
    with openai.OpenAI(api_key="any", base_url=f"{server}/v1", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def stream(sdk, picture):
    """Begins a streamed edit with the SDK."""

    def begin(partial_images=2, n=1, prompt="a lemon", **extra):
        return sdk.images.edit(
            image=picture,
            prompt=prompt,
            n=n,
            stream=True,
            partial_images=partial_images,
            extra_body={"seed": 40} | extra,
        )

    return begin


@pytest.fixture
def post(client, picture):
    """Sends a streamed edit and returns the whole answer."""

    def send(headers=None, **fields):
        form = {"prompt": "a lemon", "seed": "40", "stream": "true"} | fields
        return client.post(EDITS, data=form, files={"image": picture}, headers=headers)

    return send


def parsed(text):
    """Return (type of the line, JSON) for each event of a stream, and refuse anything else but comments."""
    assert text.endswith("\n\n")
    blocks = [block for block in text.removesuffix("\n\n").split("\n\n") if not block.startswith(":")]
    found = []
    for block in blocks:
        kind, data = block.split("\n")
        assert kind.startswith("event: ")
        assert data.startswith("data: ")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def painted(b64, opened):
    return opened(base64.b64decode(b64))[20, 30].tolist()


# What is sent


def test_the_sdk_gets_previews_and_then_the_picture(stream, opened):
    first, second, last = stream()
    assert {each.type for each in (first, second)} == {"image_edit.partial_image"}
    assert [each.partial_image_index for each in (first, second)] == [0, 1]
    assert [painted(each.b64_json, opened) for each in (first, second)] == [[10] * 3, [20] * 3]
    for preview in (first, second):
        assert (preview.size, preview.quality, preview.background) == ("96x64", "medium", "opaque")
        assert preview.output_format == "png"
        assert preview.created_at > 0
    assert last.type == "image_edit.completed"
    assert painted(last.b64_json, opened) == [40, 0, 7]
    assert (last.index, last.count, last.seed, last.size) == (0, 1, 40, "96x64")


def test_a_preview_is_the_picture_outside_the_mask_and_has_the_format_asked_for(stream, opened, picture):
    preview, last = stream(1, output_format="webp", output_compression=100)
    assert base64.b64decode(preview.b64_json)[8:12] == b"WEBP"
    preview, last = stream(1)
    outside = opened(base64.b64decode(last.mask_b64)) == 0
    assert outside.any()
    np.testing.assert_array_equal(opened(base64.b64decode(preview.b64_json))[outside], opened(picture)[outside])


def test_every_picture_of_several_is_completed_best_first(stream):
    *previews, best, middle, worst = stream(n=3)
    assert len(previews) == 2
    assert [each.seed for each in (best, middle, worst)] == [42, 41, 40]  # as in the JSON answer
    assert [(each.index, each.count) for each in (best, middle, worst)] == [(0, 3), (1, 3), (2, 3)]


def test_completed_events_say_all_that_the_json_answer_says(post):
    answer = post(n="2", stream="false").json()
    completed = [data for kind, data in parsed(post(n="2").text) if kind == "image_edit.completed"]
    pictures = answer.pop("data")
    for index, (event, picture) in enumerate(zip(completed, pictures, strict=True)):
        assert event.pop("type") == "image_edit.completed"
        assert abs(event.pop("created_at") - answer["created"]) < WAIT_S
        assert (event.pop("index"), event.pop("count")) == (index, 2)
        event["created"] = answer["created"]
        assert event == answer | picture


def test_an_event_is_two_lines_of_ascii_and_has_its_type_twice(post):
    odd = "the é\u2028apple\u0085"  # some readers end a line at these
    answer = post(partial_images="3", progress="true", target=odd, n="2")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-request-id"]
    assert answer.text.isascii()
    sent = parsed(answer.text)
    assert all(kind == data["type"] for kind, data in sent)
    assert not any("error" in data for _, data in sent)
    assert {line.partition(":")[0] for line in answer.text.splitlines()} == {"event", "data", ""}
    assert sent[-1][1]["target"] == odd.strip()


def test_progress_comes_only_where_it_was_asked_for(post):
    assert {kind for kind, _ in parsed(post().text)} == {"image_edit.completed"}
    sent = parsed(post(progress="true", partial_images="1").text)
    steps = [(data["stage"], data["done"], data["total"]) for kind, data in sent if kind == "image_edit.progress"]
    painting = [("inpaint", done, 4) for done in (1, 2, 3)]
    assert steps == [("locate", 0, 0), ("segment", 0, 0), ("inpaint", 0, 0), *painting, ("score", 0, 0)]
    kinds = [kind.removeprefix("image_edit.") for kind, _ in sent]
    assert kinds == [*["progress"] * 4, "partial_image", *["progress"] * 3, "completed"]


def test_a_classical_fill_is_streamed_without_previews(post):
    sent = parsed(post(prompt="", mode="remove", target="the apple", seed="", partial_images="3", progress="true").text)
    assert [data.get("stage") for _, data in sent] == ["locate", "segment", "fill", "score", None]
    assert sent[-1][1]["method"] == "classical fill"


def test_the_driver_is_asked_for_as_many_previews_as_the_caller_asks_for(stream):
    assert [len(list(stream(count))) for count in (0, 1, 3)] == [1, 2, 4]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "*/*", ""])
def test_the_field_decides_and_not_the_accept_header(post, accept):
    assert post({"accept": accept}).headers["content-type"].startswith("text/event-stream")


async def test_the_asynchronous_sdk_reads_the_same(driver, picture):
    app = httpx.ASGITransport(app=build_api(driver))
    async with openai.AsyncOpenAI(
        api_key="any", base_url="http://test/v1", http_client=httpx.AsyncClient(transport=app)
    ) as sdk:
        stream = await sdk.images.edit(image=picture, prompt="a lemon", stream=True, partial_images=3)
        assert [event.type.removeprefix("image_edit.") async for event in stream] == ["partial_image"] * 3 + [
            "completed"
        ]


def test_pictures_are_written_off_the_event_loop(post, driver, monkeypatch):
    threads = {}

    def spied(name, function):
        def run(*args):
            threads[name] = threading.get_ident()
            return function(*args)

        return run

    for name in ("partial_event", "completed_events"):
        monkeypatch.setattr(events, name, spied(name, getattr(events, name)))
    assert post(partial_images="1").status_code == 200
    assert set(threads) == {"partial_event", "completed_events"}
    assert driver.thread not in threads.values()


# When it is sent


def test_a_preview_arrives_before_the_edit_ends(stream, driver):
    driver.may_go_on.clear()
    coming = iter(stream(1))
    assert next(coming).type == "image_edit.partial_image"
    assert not driver.closed.is_set()
    driver.may_go_on.set()
    assert next(coming).type == "image_edit.completed"
    assert next(coming, None) is None


def begin(server, picture, **fields):
    """Open a streamed edit, whose headers have arrived, without the SDK."""
    form = {"prompt": "a lemon", "stream": "true"} | fields
    return httpx.stream("POST", f"{server}{EDITS}", data=form, files={"image": picture}, timeout=WAIT_S)


def test_the_answer_begins_when_the_painting_does(server, driver, picture):
    driver.may_go_on.clear()
    with begin(server, picture) as answer:  # no event is due before the edit ends
        assert answer.status_code == 200
        assert not driver.closed.is_set()
        driver.may_go_on.set()
        assert [kind for kind, _ in parsed(answer.read().decode())] == ["image_edit.completed"]


def test_the_sdk_survives_comments_while_nothing_happens(stream, driver, monkeypatch):
    monkeypatch.setattr(streaming, "QUIET_S", 0.01)
    wait, pings = streaming._Source.next, []

    async def counted(source, timeout_s):
        news = await wait(source, timeout_s)
        if news is None:
            pings.append(1)
            if len(pings) == 3:
                driver.may_go_on.set()
        return news

    monkeypatch.setattr(streaming._Source, "next", counted)
    driver.may_go_on.clear()
    kinds = [event.type for event in stream(1, progress=True)]
    assert len(pings) >= 3
    assert kinds.count("image_edit.progress") == 7
    assert kinds[-1] == "image_edit.completed"


def test_steps_that_make_no_events_do_not_keep_the_comments_back(server, driver, picture, monkeypatch):
    monkeypatch.setattr(streaming, "QUIET_S", 0.05)

    async def edit_stream(request, partial_images):
        for done in range(1, 31):
            yield Progress("inpaint", done, 30)
            await asyncio.sleep(0.01)
        raise NOWHERE

    monkeypatch.setattr(driver, "edit_stream", edit_stream)
    with begin(server, picture) as answer:
        assert answer.read().decode().count(": ping\n\n") >= 2


def test_a_long_search_begins_the_answer_too_and_its_failure_is_an_event(server, driver, picture, monkeypatch):
    monkeypatch.setattr(streaming, "QUIET_S", 0.01)

    async def edit_stream(request, partial_images):
        yield Progress("locate")
        await driver.told_to_go_on()
        raise NOWHERE

    monkeypatch.setattr(driver, "edit_stream", edit_stream)
    driver.may_go_on.clear()
    with begin(server, picture, progress="true") as answer:
        assert answer.status_code == 200
        driver.may_go_on.set()
        text = answer.read().decode()
    (first, located), (last, failure) = parsed(text)
    assert (first, located["stage"]) == ("image_edit.progress", "locate")
    assert (last, failure["error"]["code"]) == ("error", "target_not_found")
    assert failure["location"]["point"] == [3, 4]
    assert ": ping\n\n" in text


# What fails


BEFORE = [
    (InvalidInput("`prompt` is bad.", "prompt"), openai.BadRequestError),
    (NOWHERE, openai.UnprocessableEntityError),
    (ContentFiltered((7, 8)), openai.BadRequestError),
    (Overloaded("All places are taken.", 2.3), openai.RateLimitError),
    (DeadlineExceeded("The edit took too long."), openai.InternalServerError),
    (ModelFailed("The stage 'sam' failed."), openai.InternalServerError),
    (RuntimeError("CANARY at 0xdeadbeef"), openai.InternalServerError),
]


@pytest.mark.parametrize(("error", "kind"), BEFORE, ids=lambda each: getattr(each, "__name__", type(each).__name__))
def test_a_failure_before_the_painting_has_its_own_status(stream, driver, error, kind):
    driver.failures = [error]
    with pytest.raises(kind) as caught:
        stream()
    assert caught.value.code == getattr(error, "code", "internal_error")
    assert caught.value.response.headers["content-type"] == "application/json"
    assert "CANARY" not in caught.value.response.text
    assert len(list(stream())) == 3  # the next one is served


@pytest.mark.parametrize("error", [error for error, _ in BEFORE], ids=lambda each: type(each).__name__)
def test_such_a_failure_is_answered_as_without_a_stream(post, driver, error):
    driver.failures = [error, error]
    streamed, plain = post(), post(stream="false")
    assert streamed.status_code == plain.status_code >= 400
    assert streamed.json() == plain.json()
    own = {"x-request-id", "date"}
    assert {name: value for name, value in streamed.headers.items() if name not in own} == {
        name: value for name, value in plain.headers.items() if name not in own
    }


def test_a_painting_that_is_not_let_in_is_answered_429(post, driver, monkeypatch):
    async def edit_stream(request, partial_images):
        for stage in ("locate", "segment", "inpaint"):
            yield Progress(stage)
        raise Overloaded("All places are taken.", 2.3)

    monkeypatch.setattr(driver, "edit_stream", edit_stream)
    answer = post(progress="true")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("error", "code", "param"),
    [
        (InvalidInput("`prompt` is too long.", "prompt"), "invalid_value", "prompt"),
        (ContentFiltered((40,)), "moderation_blocked", "prompt"),
        (Overloaded(), "overloaded", None),
        (DeadlineExceeded("The edit took too long."), "deadline_exceeded", None),
        (ModelFailed("The stage 'inpaint' failed."), "model_failed", None),
        (RuntimeError("CANARY at 0xdeadbeef"), "internal_error", None),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_a_failure_in_mid_stream_raises_in_the_sdk(stream, driver, error, code, param):
    driver.late_failures = [error]
    coming = stream(1)
    assert next(coming).type == "image_edit.partial_image"
    with pytest.raises(openai.APIError) as caught:
        next(coming)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.message == getattr(error, "message", "Something went wrong on our side.")
    assert len(list(stream())) == 3


def test_a_failure_in_mid_stream_says_what_an_answer_of_its_own_would_say(post, driver):
    for error in (error for error, _ in BEFORE):
        driver.failures, driver.late_failures = [error], []
        plain = post(stream="false").json()
        driver.late_failures = [error]
        answer = post()
        assert answer.status_code == 200
        assert parsed(answer.text) == [("error", {"type": "error"} | plain)]
        assert "CANARY" not in answer.text


def test_a_failure_of_ours_in_mid_stream_is_logged_under_the_request_id(post, driver, caplog):
    driver.late_failures = [RuntimeError("CANARY")]
    answer = post()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert answer.headers["x-request-id"] in record.getMessage()
    assert "CANARY" in str(record.exc_info[1])


def test_a_preview_that_cannot_be_written_ends_the_stream_with_an_error(post, driver, monkeypatch):
    def fail(*args):
        raise ValueError("CANARY")

    monkeypatch.setattr(events, "partial_event", fail)
    sent = parsed(post(partial_images="1").text)
    assert [data["error"]["code"] for _, data in sent] == ["internal_error"]
    assert driver.closed.is_set()


def test_refused_steps_name_the_quality_that_set_them(post, driver):
    driver.failures = [InvalidInput("`num_inference_steps` must be less.", "num_inference_steps")]
    answer = post(quality="high")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "quality")


def test_a_picture_and_a_stream_cannot_both_be_the_answer(client, picture, driver):
    form = {"prompt": "x", "stream": "true"}
    answer = client.post(EDITS, data=form, files={"image": picture}, headers={"accept": "image/png"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")
    assert not driver.requests


@pytest.mark.parametrize(("name", "value"), [("partial_images", 2), ("progress", True)])
def test_what_only_a_stream_has_is_refused_without_one(sdk, picture, name, value):
    with pytest.raises(openai.BadRequestError, match="send `stream` as true too") as refused:
        sdk.images.edit(image=picture, prompt="a lemon", extra_body={name: value})
    assert refused.value.param == name


# Who leaves


def test_who_closes_the_stream_ends_the_edit(stream, driver):
    driver.may_go_on.clear()
    coming = stream(1)
    assert next(coming).type == "image_edit.partial_image"
    assert not driver.closed.is_set()
    coming.close()
    assert driver.closed.wait(WAIT_S)
    driver.may_go_on.set()
    assert len(list(stream())) == 3


def test_who_leaves_before_the_painting_ends_the_edit(server, driver, picture, sdk, monkeypatch):
    """This server does not say that the client has left before the answer begins, as Serve does."""
    monkeypatch.setattr(streaming, "QUIET_S", 0.2)
    driver.hold = asyncio.Event()
    body = httpx.Request("POST", server + EDITS, data={"prompt": "x", "stream": "true"}, files={"image": picture})
    address = urllib.parse.urlsplit(server)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in body.headers.items())
        connection.sendall(f"POST {EDITS} HTTP/1.1\r\n{head}\r\n".encode() + body.read())
        while not driver.holding.is_set():
            assert not driver.closed.wait(0.01)
    assert driver.closed.wait(WAIT_S)
    assert driver.cancelled == 1
    driver.hold = None
    assert len(list(sdk.images.edit(image=picture, prompt="x", stream=True))) == 1


@pytest.mark.parametrize("client_is_slow", [False, True])
async def test_nothing_outlives_a_cancelled_stream(driver, picture, client_is_slow):
    """Serve cancels the task of a request whose client has left, wherever it is."""
    driver.may_go_on.clear()
    app = build_api(driver)
    request = httpx.Request(
        "POST", f"http://test{EDITS}", data={"prompt": "x", "stream": "true"}, files={"image": picture}
    )
    sent, began = [{"type": "http.request", "body": request.read(), "more_body": False}], asyncio.Event()

    async def receive():
        return sent.pop() if sent else await asyncio.Event().wait()

    async def send(message):
        began.set()
        if client_is_slow:
            await asyncio.Event().wait()

    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    scope = {"type": "http", "method": "POST", "path": EDITS, "query_string": b"", "headers": headers}
    before = asyncio.all_tasks()
    task = asyncio.create_task(app({**scope, "asgi": {"version": "3.0", "spec_version": "2.3"}}, receive, send))
    await asyncio.wait_for(began.wait(), WAIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert driver.closed.is_set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
