"""Requests that are sent again: through several apps that share a ledger, as the replicas of the driver do.

A client that leaves cancels the app's own task, as Serve does.
"""

import asyncio
import json
import re
from contextlib import asynccontextmanager

import httpx2 as httpx
import pytest
from starlette.requests import Request

from deployments.errors import Overloaded
from deployments.http import answers, idempotency
from deployments.http.api import build_api
from deployments.http.forms import Form
from deployments.http.idempotency import Idempotency
from deployments.http.streaming import EditStream
from deployments.ledger.ledger import Ledger
from deployments.ledger.remote import LedgerUnreachable

EDITS = "/v1/images/edits"
KEY = {"idempotency-key": "order-66"}
FIRST, AGAIN = {"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}


class Apart:
    """A ledger as it is reached in another process: its answers take a while to come back, if they ever do."""

    def __init__(self, ledger):
        self._ledger = ledger
        self.calls = []
        self.is_cut_off = False

    def __getattr__(self, name):
        async def called(*arguments):
            self.calls.append(name)
            if self.is_cut_off:
                raise LedgerUnreachable(name)
            await asyncio.sleep(0)
            answer = await getattr(self._ledger, name)(*arguments)
            await asyncio.sleep(0)
            return answer

        return called


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def apart(ledger):
    return Apart(ledger)


@asynccontextmanager
async def serving(driver, ledger):
    """An app in front of the driver, and a client of it; at the end of the block the app ends."""
    app = build_api(driver, ledger=ledger)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.fixture
async def replicas(driver, apart):
    """Two clients, each of an app of its own."""
    async with serving(driver, apart) as first, serving(driver, apart) as second:
        yield first, second


@pytest.fixture
def waiting(ledger):
    """Waits until so many requests wait for the answer of another one."""

    async def wait(count):
        await until(lambda: sum(len(running.waiting) for running in ledger._running.values()) == count)

    return wait


@pytest.fixture
def edit(picture):
    """Sends an edit; httpx chooses another multipart boundary each time."""

    def send(client, headers, **fields):
        form = {"prompt": "a lemon", "seed": "3"} | fields
        return asyncio.create_task(client.post(EDITS, data=form, files={"image": picture}, headers=headers))

    return send


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def leave(request):
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


@asynccontextmanager
async def holding(driver):
    """The driver holds what it is asked for until the end of the block."""
    driver.hold = asyncio.Event()
    driver.holding = asyncio.Event()
    try:
        yield
    finally:
        driver.hold.set()


# With a key


async def test_the_same_key_gets_the_same_answer_through_any_replica(replicas, driver, edit):
    first = await edit(replicas[0], KEY)
    for client in replicas:
        again = await edit(client, KEY)
        assert again.status_code == 200
        assert again.content == first.content
        assert again.headers["content-type"] == "application/json"
        assert again.headers["x-retouch-replayed"] == "true"
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert "x-retouch-replayed" not in first.headers
    assert len(driver.requests) == 1


async def test_a_picture_is_given_again_with_its_headers(replicas, driver, edit):
    first, again = [await edit(client, KEY | {"accept": "image/png"}) for client in replicas]
    assert again.content == first.content
    own = {"x-request-id", "x-retouch-replayed"}
    assert {n: v for n, v in again.headers.items() if n not in own} == {
        n: v for n, v in first.headers.items() if n not in own
    }
    assert len(driver.requests) == 1


async def test_the_same_key_joins_what_still_runs(replicas, driver, edit, waiting):
    async with holding(driver):
        requests = [edit(client, KEY) for client in replicas * 3]
        await driver.holding.wait()
        await waiting(5)
    answers = [await request for request in requests]
    assert len({answer.content for answer in answers}) == len(driver.requests) == 1
    assert sum("x-retouch-replayed" in answer.headers for answer in answers) == 5


async def test_with_a_key_the_work_goes_on_when_the_client_leaves(replicas, driver, edit, waiting):
    async with holding(driver):
        request = edit(replicas[0], KEY)
        await driver.holding.wait()
        await leave(request)
        joined = edit(replicas[1], KEY)
        await waiting(1)
    assert (await joined).headers["x-retouch-replayed"] == "true"
    assert (len(driver.requests), driver.cancelled) == (1, 0)


async def test_no_more_than_so_many_go_on_for_clients_who_have_left(replicas, driver, edit, monkeypatch):
    monkeypatch.setattr(idempotency, "MOST_LEFT", 1)
    async with holding(driver):
        for number in range(3):
            driver.holding.clear()
            request = edit(replicas[0], {"idempotency-key": f"order-{number}"})
            await driver.holding.wait()
            await leave(request)
        await until(lambda: driver.cancelled == 2)
    assert (await edit(replicas[0], {"idempotency-key": "order-0"})).headers["x-retouch-replayed"] == "true"
    assert len(driver.requests) == 3


async def test_who_cannot_be_told_what_failed_does_not_wait_for_ever(driver, edit, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("CANARY")

    monkeypatch.setattr(answers, "locate_answer", broken)
    async with serving(driver, Ledger()) as client:
        answer = await edit(client, KEY, prompt="a unicorn")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "CANARY" not in answer.text


async def test_an_app_ends_after_the_work_of_those_who_have_left(driver, ledger, edit):
    async with serving(driver, ledger) as client, holding(driver):
        request = edit(client, KEY)
        await driver.holding.wait()
        await leave(request)
    assert len(ledger._kept) == 1


@pytest.mark.parametrize(
    ("fields", "headers"),
    [({"prompt": "a pear"}, {}), ({"seed": "33"}, {}), ({"n": "1"}, {}), ({}, {"accept": "image/png"})],
    ids=str,
)
async def test_a_key_that_came_with_another_request_is_refused(replicas, driver, edit, fields, headers):
    assert (await edit(replicas[0], KEY)).status_code == 200
    refused = await edit(replicas[1], KEY | headers, **fields)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("idempotency_key_reused", "Idempotency-Key")
    assert refused.headers["x-should-retry"] == "false"
    assert len(driver.requests) == 1


async def test_a_key_belongs_to_who_sent_it(replicas, driver, edit):
    mine, yours = ({"authorization": f"Bearer {name}"} for name in ("mine", "yours"))
    assert (await edit(replicas[0], KEY | mine)).status_code == 200
    other = await edit(replicas[0], KEY | yours, prompt="a pear")
    assert other.status_code == 200
    assert "x-retouch-replayed" not in other.headers
    assert len(driver.requests) == 2


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é", "tab\t"], ids=repr)
async def test_a_key_that_cannot_be_used_is_named(replicas, driver, edit, key):
    refused = await edit(replicas[0], {"idempotency-key": key.encode()})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert driver.requests == []
    longest = await edit(replicas[0], {"idempotency-key": "!" + "~" * 254})
    assert longest.status_code == 200


async def test_the_documentation_names_the_key(replicas):
    document = (await replicas[0].get("/openapi.json")).json()
    (parameter,) = document["paths"][EDITS]["post"]["parameters"]
    assert (parameter["name"], parameter["in"]) == ("Idempotency-Key", "header")
    assert re.fullmatch(parameter["schema"]["pattern"], KEY["idempotency-key"])
    assert not re.fullmatch(parameter["schema"]["pattern"], "a b")


async def test_a_failure_goes_to_all_who_joined_and_is_then_forgotten(replicas, driver, edit, waiting):
    async def busy(request):
        started.set()
        await go_on.wait()
        raise Overloaded("All places are taken.", 2.5)

    started, go_on, edits = asyncio.Event(), asyncio.Event(), driver.edit
    driver.edit = busy
    requests = [edit(client, KEY) for client in replicas * 2]
    await started.wait()
    await waiting(3)
    driver.edit = edits
    go_on.set()
    for answer in [await request for request in requests]:
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
        assert answer.json()["error"]["code"] == "overloaded"
    assert (await edit(replicas[0], KEY)).status_code == 200


async def test_an_unforeseen_error_is_answered_and_logged_once(replicas, driver, edit, caplog):
    driver.failures = [RuntimeError("/secret/path")]
    failed = await edit(replicas[0], KEY)
    assert failed.status_code == 500
    assert "secret" not in failed.text
    assert sum(record.exc_info is not None for record in caplog.records) == 1


async def test_work_of_a_replica_that_is_not_heard_of_any_more_is_done_by_who_waits(driver, edit, ledger):
    ledger.reconfigure({"lease_s": 0.2})
    lost = Apart(ledger)
    async with serving(driver, lost) as first, serving(driver, ledger) as second:
        async with holding(driver):
            request = edit(first, KEY)
            await driver.holding.wait()
            lost.is_cut_off = True
            waiting = edit(second, KEY)
            await until(lambda: len(driver.requests) == 2)
        answers = [await each for each in (waiting, request)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert not any("x-retouch-replayed" in answer.headers for answer in answers)


# The SDK's own retries


async def test_a_retry_of_the_sdk_joins_what_still_runs(replicas, driver, edit, waiting):
    async with holding(driver):
        first = edit(replicas[0], FIRST)
        await driver.holding.wait()
        again = edit(replicas[1], AGAIN)
        await waiting(1)
    assert (await again).content == (await first).content
    assert (await again).headers["x-retouch-replayed"] == "true"
    assert len(driver.requests) == 1


async def test_a_retry_of_the_sdk_after_the_end_is_worked_on_anew(replicas, driver, edit):
    await edit(replicas[0], FIRST)
    again = await edit(replicas[1], AGAIN)
    assert "x-retouch-replayed" not in again.headers
    assert len(driver.requests) == 2


@pytest.mark.parametrize("difference", [{"headers": FIRST}, {"seed": "4"}, {"headers": AGAIN | {"authorization": "x"}}])
async def test_what_is_no_retry_joins_nobody(replicas, driver, edit, difference):
    async with holding(driver):
        first = edit(replicas[0], FIRST)
        await driver.holding.wait()
        other = edit(replicas[1], **({"headers": AGAIN} | difference))
        await until(lambda: len(driver.requests) == 2)
    assert [(await request).status_code for request in (first, other)] == [200, 200]


async def test_work_goes_on_for_a_retry_that_waits_and_stops_when_nobody_is_left(
    replicas, driver, edit, waiting, apart
):
    async with holding(driver):
        first = edit(replicas[0], FIRST)
        await driver.holding.wait()
        retries = [edit(replicas[1], AGAIN) for _ in range(2)]
        await waiting(2)
        await leave(first)
        await until(lambda: "end_if_deserted" in apart.calls)
        await leave(retries[0])
        await waiting(1)
        assert driver.cancelled == 0
        await leave(retries[1])
        await until(lambda: driver.cancelled == 1)
    assert len(driver.requests) == 1


async def test_without_a_key_leaving_stops_the_work(replicas, driver, edit):
    for headers in ({}, FIRST, AGAIN):
        driver.cancelled = 0
        async with holding(driver):
            request = edit(replicas[0], headers)
            await driver.holding.wait()
            await leave(request)
            await until(lambda: driver.cancelled == 1)


# The ledger


async def test_other_requests_cost_the_ledger_nothing(replicas, edit, apart):
    assert (await edit(replicas[0], {})).status_code == 200
    assert apart.calls == []


async def test_a_request_goes_on_without_a_ledger(driver, edit, monkeypatch):
    monkeypatch.setattr("deployments.http.idempotency.RENEW_S", 0.001)
    ledger = Apart(Ledger())
    ledger.is_cut_off = True
    async with serving(driver, ledger) as client:
        for headers in (KEY, FIRST, AGAIN, KEY):
            assert (await edit(client, headers)).status_code == 200
        async with holding(driver):
            request = edit(client, FIRST)
            await driver.holding.wait()
            await leave(request)
            await until(lambda: driver.cancelled == 1)
    assert len(driver.requests) == 5


async def test_an_answer_waits_until_the_ledger_can_be_reached_again(driver, edit, ledger, monkeypatch):
    monkeypatch.setattr("deployments.http.idempotency.RENEW_S", 0.001)
    monkeypatch.setattr("deployments.http.idempotency.ATTEMPTS", 10**6)
    restarted = Apart(ledger)
    restarted.is_cut_off = True
    async with serving(driver, restarted) as client:
        assert (await edit(client, KEY)).status_code == 200
        await until(lambda: restarted.calls.count("settle") > 2)
        restarted.is_cut_off = False
        await until(lambda: ledger._kept)
        assert (await edit(client, KEY)).headers["x-retouch-replayed"] == "true"


# Streams


def event(kind, **fields):
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields)}\n\n"


PARTIAL, DONE = event("image_edit.partial_image", b64_json="p"), event("image_edit.completed", b64_json="c")
FAILED = event("error", error={"message": "no"})


class Streamed:
    """Work that streams events, each of them when the test says so."""

    def __init__(self):
        self.gates = {}
        self.starts = 0
        self.ends = []
        self.closings = 0

    async def __call__(self, events):
        self.starts += 1
        return EditStream(self._events(events), self.closed)

    async def closed(self):
        self.closings += 1

    async def _events(self, events):
        try:
            for each in events:
                await self.gates.setdefault(each, asyncio.Event()).wait()
                yield each.encode()
        except BaseException as error:
            self.ends.append(type(error))
            raise

    def let(self, *events):
        for each in events:
            self.gates.setdefault(each, asyncio.Event()).set()


@pytest.fixture
async def stream(apart):
    """Sends a request for a stream, of these events; returns the source, and a function that reads the answer."""
    source = Streamed()

    async def failure(error, request_id):
        raise AssertionError(error)

    shared = Idempotency(apart, failure)

    async def read(headers, *events, into):
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": EDITS, "headers": raw, "query_string": b""}

        async def receive():
            await asyncio.Event().wait()

        async def send(message):
            into.append(message)

        answer = await shared.answer(Request(scope), Form({"stream": "true"}, {}), lambda: source(events))
        await answer(scope, receive, send)

    return source, read


def body(messages):
    return b"".join(message.get("body", b"") for message in messages).decode()


async def test_a_stream_reaches_its_client_event_by_event_and_later_requests_by_its_end(stream):
    source, read = stream
    first, again = [], []
    reading = asyncio.create_task(read(KEY, PARTIAL, ": ping\n\n", DONE, into=first))
    source.let(PARTIAL)
    await until(lambda: body(first) == PARTIAL)
    source.let(": ping\n\n", DONE)
    await reading
    assert body(first) == PARTIAL + ": ping\n\n" + DONE
    await read(KEY, PARTIAL, into=again)
    assert body(again) == DONE
    headers = dict(again[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert (headers[b"cache-control"], headers[b"x-retouch-replayed"]) == (b"no-store", b"true")
    assert source.starts == 1


async def test_a_stream_with_a_key_is_read_to_its_end_although_the_client_leaves(stream, waiting):
    source, read = stream
    first, again = [], []
    reading = asyncio.create_task(read(KEY, PARTIAL, DONE, into=first))
    source.let(PARTIAL)
    await until(lambda: body(first) == PARTIAL)
    await leave(reading)
    joined = asyncio.create_task(read(KEY, into=again))
    await waiting(1)
    source.let(DONE)
    await joined
    assert body(again) == DONE
    assert (source.starts, source.ends) == (1, [])


async def test_a_stream_of_the_sdk_ends_with_its_client(stream):
    source, read = stream
    first = []
    reading = asyncio.create_task(read(FIRST, PARTIAL, DONE, into=first))
    source.let(PARTIAL)
    await until(lambda: body(first) == PARTIAL)
    await leave(reading)
    await until(lambda: source.ends == [asyncio.CancelledError])
    await until(lambda: source.closings)


async def test_a_stream_that_ends_in_an_error_is_not_kept(stream, waiting):
    source, read = stream
    first, joined, later = [], [], []
    reading = asyncio.create_task(read(KEY, PARTIAL, FAILED, into=first))
    source.let(PARTIAL)
    await until(lambda: body(first) == PARTIAL)
    joining = asyncio.create_task(read(KEY, into=joined))
    await waiting(1)
    source.let(FAILED)
    await reading
    await joining
    assert body(joined) == FAILED
    source.let(DONE)
    await read(KEY, DONE, into=later)
    assert body(later) == DONE
    assert source.starts == 2
