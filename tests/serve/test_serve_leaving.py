"""Clients that leave, and requests that are sent again, through Serve's proxy and two replicas of the driver.

The painter is held in a step while a client leaves, so that what comes after it can be counted in steps.
"""

import asyncio
import concurrent.futures
import os
import socket
import sys
import time
import uuid
from pathlib import Path

import httpx
import pytest
from ray import cloudpickle
from starlette.middleware.base import BaseHTTPMiddleware

import graph
from deployments.clip.server import ClipServer
from deployments.config import GraphArgs, InpaintArgs
from deployments.inpaint.server import InpaintServer
from deployments.ledger.server import LedgerServer

APP = "leaving"
EDITS = f"/{APP}/v1/images/edits"
SHORT, SHARED, LONG = 10, 60, 150  # steps; SHARED are enough to be seen while they are taken, on a busy machine too
FIRST, AGAIN = {"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}


class HeldPainter(InpaintServer):
    """Notes its jobs and the rows of its steps in a file, and takes no further step while another file is there."""

    folder: Path

    def __init__(self, args):
        super().__init__(args)
        submit, on_step = self._engine.submit, self._engine._on_step

        def noted(request, *more):
            job = submit(request, *more)
            self._note("job")
            job.future.add_done_callback(lambda _: self._note("end"))
            return job

        def held(step):
            on_step(step)
            self._note(str(step.rows))
            while (self.folder / "hold").exists():
                time.sleep(0.005)

        self._engine.submit, self._engine._on_step = noted, held

    def _note(self, word):
        with (self.folder / "notes").open("a") as notes:
            notes.write(f"{word}\n")


class HeldClip(ClipServer):
    """Searches when it is allowed to; counts what it scores."""

    def __init__(self, args):
        super().__init__(args)
        self._free = asyncio.Event()
        self._free.set()
        self._begun = self._cancelled = self._scored = 0

    async def locate(self, request):
        self._begun += 1
        try:
            await self._free.wait()
        except asyncio.CancelledError:
            self._cancelled += 1
            raise
        return await super().locate(request)

    async def score_views(self, request):
        self._scored += 1
        return await super().score_views(request)

    async def counts(self):
        return self._begun, self._cancelled, self._scored

    async def hold(self, held):
        if held:
            self._free.clear()
        else:
            self._free.set()


class NamedDriver(graph.HttpDriver):
    """Says in each answer which replica it comes from."""

    def __serve_build_asgi_app__(self):
        async def named(request, call_next):
            response = await call_next(request)
            response.headers["x-replica"] = str(os.getpid())
            return response

        app = super().__serve_build_asgi_app__()
        app.add_middleware(BaseHTTPMiddleware, dispatch=named)
        return app


@pytest.fixture(scope="module")
def app(ray_cluster, tmp_path_factory):
    from ray import serve

    HeldPainter.folder = tmp_path_factory.mktemp("painter")
    (HeldPainter.folder / "notes").touch()
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "InpaintServer", HeldPainter)
        patch.setattr(graph, "ClipServer", HeldClip)
        patch.setattr(graph, "HttpDriver", NamedDriver)
        patch.setitem(graph.DEFAULTS, "driver", {**graph.DEFAULTS["driver"], "num_replicas": 2})
        patch.setitem(graph.DEFAULTS, "inpaint", {**graph.DEFAULTS["inpaint"], "max_ongoing_requests": 2})
        # A single bucket of rows: a picture has the same bits whatever is painted beside it.
        painter = InpaintArgs(execution="eager", row_buckets=(8,), row_threads=1)
        ledger = graph._deployment(LedgerServer, "ledger", {"lease_s": 2.0}).bind()
        app = graph.build(GraphArgs(inpaint=painter), ledger=ledger)
    serve.run(app, name=APP, route_prefix=f"/{APP}")
    yield
    serve.delete(APP)


class Painter:
    """What the painter's replica has noted."""

    @property
    def jobs(self):
        return self._notes().count("job")

    @property
    def unfinished(self):
        notes = self._notes()
        return notes.count("job") - notes.count("end")

    @property
    def rows(self):
        return [int(word) for word in self._notes() if word.isdigit()]

    def hold(self):
        (HeldPainter.folder / "hold").touch()

    def let_go(self):
        (HeldPainter.folder / "hold").unlink(missing_ok=True)

    def _notes(self):
        return (HeldPainter.folder / "notes").read_text().split()


@pytest.fixture
def painter(app):
    """Held until the test lets it go."""
    painter = Painter()
    painter.hold()
    yield painter
    painter.let_go()
    wait_for(lambda: painter.unfinished == 0)


@pytest.fixture(scope="module")
def clip(app):
    from ray import serve

    return serve.get_deployment_handle("clip", APP)


@pytest.fixture
def form(scene):
    """The fields and files of an edit; the words of no other test's request."""
    from deployments.pixels.files import encode

    picture = encode(scene.image)

    def make(seed=1, steps=SHORT, stream=False):
        fields = {"prompt": "a lemon", "target": "the cactus", "seed": str(seed), "num_inference_steps": str(steps)}
        fields |= {"stream": "true", "partial_images": "2"} if stream else {}
        return {"data": fields, "files": {"image": ("scene.png", picture)}}

    return make


@pytest.fixture
def edit(app, http_port):
    """Edits, and returns the answer."""

    def send(form, **headers):
        return httpx.post(f"http://127.0.0.1:{http_port}{EDITS}", headers=headers, timeout=120, **form)

    return send


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def leaver(app, http_port):
    """Sends an edit over a connection of its own and does not wait for the answer; returns the connection."""
    connections = []

    def send(form, **headers):
        with httpx.Client() as client:
            request = client.build_request("POST", f"http://127.0.0.1:{http_port}{EDITS}", headers=headers, **form)
        body = request.read()
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        connection = socket.create_connection(("127.0.0.1", http_port), timeout=30)
        connections.append(connection)
        connection.sendall(f"POST {EDITS} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return connection

    yield send
    for connection in connections:
        connection.close()


def wait_for(condition, timeout_s=60):
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.02)


# Leaving


@pytest.mark.parametrize(
    ("headers", "stream"),
    [({}, False), (FIRST, False), (AGAIN, False), ({}, True), (FIRST, True)],
    ids=["plain", "first", "retry", "stream", "first-stream"],
)
def test_who_leaves_is_gone_within_two_steps_and_the_neighbour_is_painted_as_if_alone(
    painter, form, edit, leaver, pool, headers, stream
):
    painter.let_go()
    alone = edit(form(seed=1, steps=SHARED))
    painter.hold()
    neighbour = pool.submit(edit, form(seed=1, steps=SHARED))
    wait_for(lambda: painter.unfinished == 1)
    leaving = leaver(form(seed=2, steps=LONG, stream=stream), **headers)
    wait_for(lambda: painter.unfinished == 2)
    painter.let_go()
    wait_for(lambda: painter.rows[-1] == 4)
    painter.hold()
    time.sleep(0.2)  # a step that had begun already ends
    before = len(painter.rows)
    assert painter.rows[-1] == 4
    leaving.close()
    wait_for(lambda: painter.unfinished == 1)
    assert len(painter.rows) - before <= 1
    painter.let_go()
    picture = neighbour.result().json()
    assert painter.rows[before:].count(4) <= 2
    assert picture["data"][0]["b64_json"] == alone.json()["data"][0]["b64_json"]


def test_a_request_that_leaves_while_it_waits_for_the_painter_is_never_painted(painter, clip, form, edit, leaver, pool):
    before = painter.jobs
    painted = [pool.submit(edit, form(seed=seed)) for seed in (1, 2)]
    wait_for(lambda: painter.unfinished == 2)
    scored = clip.counts.remote().result(timeout_s=30)[2]
    leaving = leaver(form(seed=3))
    # Its picture is scored as it was while the painter is called, which has no place for it.
    wait_for(lambda: clip.counts.remote().result(timeout_s=30)[2] > scored)
    leaving.close()
    last = pool.submit(edit, form(seed=4))
    wait_for(lambda: clip.counts.remote().result(timeout_s=30)[2] > scored + 1)
    painter.let_go()
    assert [answer.result().status_code for answer in (*painted, last)] == [200] * 3
    assert painter.jobs == before + 3


def test_the_stages_after_the_one_in_which_a_request_leaves_never_start(painter, clip, form, edit, leaver):
    jobs = painter.jobs
    begun, cancelled, scored = clip.counts.remote().result(timeout_s=30)
    clip.hold.remote(True).result(timeout_s=30)
    leaving = leaver(form())
    wait_for(lambda: clip.counts.remote().result(timeout_s=30)[0] > begun)
    leaving.close()
    wait_for(lambda: clip.counts.remote().result(timeout_s=30)[1] > cancelled)
    clip.hold.remote(False).result(timeout_s=30)
    painter.let_go()
    assert edit(form()).status_code == 200
    assert painter.jobs == jobs + 1
    assert clip.counts.remote().result(timeout_s=30)[2] == scored + 2


# With a key


@pytest.fixture
def key():
    return {"idempotency-key": uuid.uuid4().hex}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_with_a_key_the_work_goes_on_and_every_replica_gives_its_answer(painter, form, edit, leaver, key, stream):
    before = painter.jobs
    leaving = leaver(form(seed=5, stream=stream), **key)
    wait_for(lambda: painter.jobs > before)
    leaving.close()
    time.sleep(1.0)  # in which everything would have been cancelled
    painter.let_go()
    joined = edit(form(seed=5, stream=stream), **key)
    assert joined.status_code == 200
    assert joined.headers["x-retouch-replayed"] == "true"
    assert joined.text.startswith("event: image_edit.completed\n") == stream
    answers = []
    wait_for(
        lambda: (
            answers.append(edit(form(seed=5, stream=stream), **key))
            or len({a.headers["x-replica"] for a in answers}) == 2
        )
    )
    assert {answer.content for answer in answers} == {joined.content}
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    assert painter.jobs == before + 1
    refused = edit(form(seed=6, stream=stream), **key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "idempotency_key_reused")


def test_requests_with_one_key_at_once_are_painted_once(painter, form, edit, pool, key):
    before = painter.jobs
    painter.let_go()
    answers = [each.result() for each in [pool.submit(edit, form(seed=7), **key) for _ in range(8)]]
    assert len({answer.headers["x-replica"] for answer in answers}) == 2
    assert len({answer.content for answer in answers}) == 1
    assert sum("x-retouch-replayed" in answer.headers for answer in answers) == 7
    assert painter.jobs == before + 1


def kill(deployment):
    """Kill the replicas of a deployment; return how many those were."""
    import ray

    prefix = f"SERVE_REPLICA::{APP}#{deployment}#"
    named = [entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True)]
    names = [name for name in named if name.startswith(prefix)]
    for name in names:
        ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)
    return len(names)


def test_a_ledger_that_is_killed_fails_no_request_and_is_of_use_again(painter, form, edit, leaver, pool, key):
    before = painter.jobs
    leaving = leaver(form(seed=8), **key)
    wait_for(lambda: painter.jobs > before)
    leaving.close()
    assert kill("ledger") == 1
    other = pool.submit(edit, form(seed=9), **{"idempotency-key": uuid.uuid4().hex})
    wait_for(lambda: painter.jobs == before + 2)
    painter.let_go()
    assert other.result().status_code == 200
    wait_for(lambda: edit(form(seed=8), **key).headers.get("x-retouch-replayed") == "true")


def test_work_of_a_driver_that_is_killed_is_done_by_the_next(painter, form, edit, leaver, pool, key):
    before = painter.jobs
    leaver(form(seed=10), **key)
    wait_for(lambda: painter.jobs > before)
    assert kill("driver") == 2
    again = pool.submit(edit, form(seed=10), **key)
    wait_for(lambda: painter.jobs == before + 2)
    painter.let_go()
    assert again.result().status_code == 200
    assert "x-retouch-replayed" not in again.result().headers


# The SDK's own retries


def test_work_goes_on_for_a_retry_when_the_first_has_left_and_stops_when_that_leaves_too(
    painter, form, edit, leaver, pool
):
    before = painter.jobs
    first = leaver(form(seed=11), **FIRST)
    wait_for(lambda: painter.jobs > before)
    retry = pool.submit(edit, form(seed=11), **AGAIN)
    time.sleep(1.0)
    first.close()
    time.sleep(1.0)
    assert painter.unfinished == 1
    painter.let_go()
    assert retry.result().headers["x-retouch-replayed"] == "true"
    assert painter.jobs == before + 1

    painter.hold()
    first = leaver(form(seed=12), **FIRST)
    wait_for(lambda: painter.jobs == before + 2)
    retry = leaver(form(seed=12), **AGAIN)
    time.sleep(1.0)
    for connection in (first, retry):
        assert painter.unfinished == 1
        connection.close()
        time.sleep(1.0)
    wait_for(lambda: painter.unfinished == 0)
    assert painter.jobs == before + 2
