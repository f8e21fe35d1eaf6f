"""The DAG and its promises, with stages that are small real objects behind handles without Ray."""

import asyncio

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError, RequestCancelledError

from deployments.calls import RETRY_PAUSE_S
from deployments.driver import Driver
from deployments.errors import DeadlineExceeded, InvalidInput, ModelFailed, Overloaded, TargetNotFound
from deployments.messages import EditRequest, Embedding, LocateRequest, Location, Masks, Painted, ScoreRequest

IMAGE = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
POINT = (40, 30)


class Response:
    """Stands for Serve's DeploymentResponse: runs at once, can be awaited, passed on and cancelled.

    As in Serve, giving up waiting does not stop it; only `cancel` does.
    """

    def __init__(self, call, args):
        self.cancelled = False
        self.task = asyncio.ensure_future(self._run(call, args))

    async def _result(self):
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if self.cancelled:  # what Serve raises to those who wait for a response that was cancelled
                raise RequestCancelledError("x") from None
            raise

    async def _run(self, call, args):
        return await call(*[await arg.task if isinstance(arg, Response) else arg for arg in args])

    def __await__(self):
        return self._result().__await__()

    def cancel(self):
        self.cancelled = not self.task.done()
        self.task.cancel()


class Handle:
    """Calls the methods of `stage`; keeps every response it gave out."""

    def __init__(self, stage):
        self.stage = stage
        self.responses = []

    def __getattr__(self, name):
        method = getattr(self.stage, name)

        class Method:
            @staticmethod
            def remote(*args):
                self.responses.append(Response(method, args))
                return self.responses[-1]

        return Method


class Clip:
    found = True

    def __init__(self):
        self.started = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def locate(self, request):
        self.started.set()
        await self.may_answer.wait()
        return Location(request.target, POINT, 0.9 if self.found else 0.1, self.found, np.zeros((2, 2), np.float32))

    async def score(self, request):
        return float(request.image.mean()) / 255

    async def check_health(self):
        return None


class Sam:
    def __init__(self):
        self.encoded = asyncio.Event()
        self.failures = []

    async def encode(self, image):
        self.encoded.set()
        return Embedding(np.zeros((1, 2, 2), np.float32), image.shape[:2], image.shape[:2])

    async def segment(self, embedding, request):
        if self.failures:
            raise self.failures.pop(0)
        mask = np.zeros(embedding.source_size, bool)
        x, y = request.points_xy[0]
        mask[y - 10 : y + 10, x - 10 : x + 10] = True
        mask[:3, :3] = True  # a speck that has nothing to do with the point
        return Masks(np.stack([np.zeros_like(mask), mask]), np.array([0.9, 0.8], np.float32))

    async def check_health(self):
        raise RuntimeError("ill")


class Inpaint:
    def __init__(self):
        self.started = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def inpaint(self, request):
        self.started.set()
        await self.may_answer.wait()
        return Painted(np.stack([np.full(request.image.shape, seed, np.uint8) for seed in request.seeds]))

    async def check_health(self):
        return None


class Graph:
    def __init__(self):
        self.clip, self.sam, self.inpaint = Handle(Clip()), Handle(Sam()), Handle(Inpaint())
        self.driver = Driver(self.clip, self.sam, self.inpaint)

    def edit(self, **fields):
        return self.driver.edit(
            EditRequest(**{"image": IMAGE, "prompt": "a lemon", "target": "x", "seed": 200} | fields)
        )

    @property
    def responses(self):
        return self.clip.responses + self.sam.responses + self.inpaint.responses


@pytest.fixture
async def graph():
    return Graph()


async def test_an_edit_goes_through_all_stages(graph):
    result = await graph.edit(n=3)
    assert [edit.seed for edit in result.edits] == [202, 201, 200]  # brightest first, as this CLIP scores
    best = result.edits[0]
    assert (best.image[30, 40] == 202).all()
    assert (best.image[~result.mask] == IMAGE[~result.mask]).all()
    assert not result.mask[:3, :3].any()
    assert best.score.region_after > best.score.after > 0
    assert best.score.before == pytest.approx(IMAGE.mean() / 255)
    assert result.changed_outside_px == 0
    assert not any(response.cancelled for response in graph.responses)


async def test_sam_encodes_while_clip_looks(graph):
    clip, sam = graph.clip.stage, graph.sam.stage
    clip.may_answer.clear()
    edit = asyncio.create_task(graph.edit())
    await asyncio.wait_for(asyncio.gather(clip.started.wait(), sam.encoded.wait()), 1)
    assert not edit.done()
    clip.may_answer.set()
    await edit


async def test_nothing_found_paints_nothing(graph):
    graph.clip.stage.found = False
    with pytest.raises(TargetNotFound):
        await graph.edit()
    assert not graph.inpaint.responses


async def test_an_empty_mask_is_nothing_found(graph):
    async def nothing(embedding, request):
        return Masks(np.zeros((1, 80, 100), bool), np.ones(1, np.float32))

    graph.sam.stage.segment = nothing
    with pytest.raises(TargetNotFound):
        await graph.edit()


async def test_bad_input_reaches_no_stage(graph):
    with pytest.raises(InvalidInput):
        await graph.edit(prompt="")
    with pytest.raises(InvalidInput):
        await graph.driver.locate(LocateRequest(IMAGE, ""))
    with pytest.raises(InvalidInput):
        await graph.driver.score(ScoreRequest(IMAGE[:2], "x"))
    assert not graph.responses


async def test_the_deadline_stops_what_still_runs(graph):
    graph.driver.reconfigure({"deadline_s": 0.1})
    graph.inpaint.stage.may_answer.clear()
    with pytest.raises(DeadlineExceeded):
        await graph.edit()
    assert graph.inpaint.responses[0].cancelled


async def test_a_cancelled_request_cancels_its_calls(graph):
    graph.inpaint.stage.may_answer.clear()
    edit = asyncio.create_task(graph.edit())
    await asyncio.wait_for(graph.inpaint.stage.started.wait(), 1)
    edit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await edit
    assert graph.inpaint.responses[0].cancelled


async def test_a_failed_score_stops_the_painting_for_good(graph):
    """The painting is cancelled with the request, and not taken for a lost replica and begun anew."""
    graph.inpaint.stage.may_answer.clear()

    async def score(request):
        await graph.inpaint.stage.started.wait()
        raise Overloaded

    graph.clip.stage.score = score
    with pytest.raises(Overloaded):
        await graph.edit()
    await asyncio.sleep(2 * RETRY_PAUSE_S)
    assert len(graph.inpaint.responses) == 1
    assert graph.inpaint.responses[0].cancelled


async def test_a_lost_replica_is_tried_again_with_a_new_embedding(graph):
    graph.sam.stage.failures = [ActorDiedError(), ActorDiedError()]
    result = await graph.edit()
    assert result.changed_outside_px == 0
    assert len(graph.sam.responses) == 6  # encode and segment, three times


async def test_a_replica_that_is_lost_every_time_is_a_failure(graph):
    graph.sam.stage.failures = [ActorDiedError()] * 3
    with pytest.raises(ModelFailed, match="segment"):
        await graph.edit()


async def test_a_full_queue_is_overload(graph):
    graph.sam.stage.failures = [BackPressureError(5, 4, 429, 2.5)]
    with pytest.raises(Overloaded) as caught:
        await graph.edit()
    assert caught.value.retry_after_s == 2.5


async def test_what_a_stage_raises_stays_inside(graph):
    graph.sam.stage.failures = [RayTaskError("segment", "Traceback ... /secret/path", ValueError("secret"))]
    with pytest.raises(ModelFailed) as caught:
        await graph.edit()
    assert "secret" not in caught.value.message


async def test_a_stages_own_error_arrives_clean(graph):
    remote = RayTaskError("segment", "Traceback ...", InvalidInput("too many points", "points")).as_instanceof_cause()
    graph.sam.stage.failures = [remote]
    with pytest.raises(InvalidInput) as caught:
        await graph.edit()
    assert type(caught.value) is InvalidInput
    assert caught.value.message == "too many points"


async def test_readiness_names_the_stage_that_is_not(graph):
    assert await graph.driver.ready() == {"clip": True, "sam": False, "inpaint": True}
