"""Calls that are lost, left and watched (the stages stand in conftest.py)."""

import asyncio

import numpy as np
import pytest
from ray.exceptions import (
    ActorDiedError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RaySystemError,
    WorkerCrashedError,
)
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import DeploymentUnavailableError

from deployments.driver.calls import RETRY_PAUSE_S, Calls
from deployments.errors import DeadlineExceeded, InvalidInput, ModelFailed, Overloaded
from deployments.messages import EditRequest, EditResult, Progress


class Unassigned:
    """A call that reached no replica: cancelling it raises why, as Serve does."""

    def cancel(self):
        raise ActorDiedError()


class Running:
    cancelled = False

    def cancel(self):
        self.cancelled = True


async def test_leaving_neither_raises_nor_hides_the_result(graph):
    """The embedding dies before SAM could be asked: the retry succeeds, and leaving meets the first failure again."""
    graph.sam.stage.lost_encodings = 1
    result = await graph.edit()
    assert result.changed_outside_px == 0
    assert sum(response.unassigned is not None for response in graph.sam.responses) == 1


async def test_leaving_cancels_every_call_also_behind_one_that_raises():
    running = Running()
    async with Calls(1.0, 3) as calls:
        calls.begin(Unassigned())
        calls.begin(running)
    assert running.cancelled


async def test_a_request_that_is_cancelled_just_as_a_stage_answers_goes_no_further():
    class Answered:
        def __await__(self):
            return answer.__await__()

        def cancel(self):
            pass

    async def two_stages():
        async with Calls(1.0, 3) as calls:
            await calls.run("locate", lambda _: Answered())
            went_on.append("segment")

    answer, went_on = asyncio.get_running_loop().create_future(), []
    request = asyncio.create_task(two_stages())
    await asyncio.sleep(0.01)
    answer.set_result("here")
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert went_on == []


async def test_leaving_does_not_hide_why_the_request_failed():
    async def fail():
        async with Calls(1.0, 3) as calls:
            calls.begin(Unassigned())
            raise InvalidInput("bad")

    with pytest.raises(InvalidInput, match="bad"):
        await fail()


@pytest.mark.parametrize(
    "lost",
    [
        *(ActorDiedError(), NodeDiedError("x"), ObjectLostError("x", "y", "z"), WorkerCrashedError()),
        *(LocalRayletDiedError(), OutOfMemoryError("x")),
    ],
    ids=repr,
)
async def test_whatever_dies_the_stage_runs_again(graph, lost):
    graph.sam.stage.failures = [lost]
    assert (await graph.edit()).changed_outside_px == 0


async def test_what_else_ray_may_raise_stays_inside(graph):
    graph.sam.stage.failures = [RaySystemError("secret")]
    with pytest.raises(ModelFailed) as caught:
        await graph.edit()
    assert "secret" not in caught.value.message


async def test_nothing_begins_after_the_request_has_ended(graph):
    """A painting is lost, and while its next attempt waits the request fails: nobody would stop that attempt."""
    lost = asyncio.Event()

    async def inpaint(request):
        lost.set()
        raise ActorDiedError()

    async def score(request):
        await lost.wait()
        await asyncio.sleep(RETRY_PAUSE_S / 2)
        raise Overloaded

    graph.inpaint.stage.inpaint, graph.clip.stage.score = inpaint, score
    with pytest.raises(Overloaded):
        await graph.edit()
    await asyncio.sleep(2 * RETRY_PAUSE_S)
    assert len(graph.inpaint.responses) == 1


async def test_a_stage_that_failed_to_start_is_not_asked_three_times(graph):
    graph.sam.stage.failures = [DeploymentUnavailableError(DeploymentID("sam", "retouch"))] * 2
    with pytest.raises(ModelFailed, match="'segment' could not be started"):
        await graph.edit()
    assert len(graph.sam.stage.failures) == 1


async def test_without_a_deadline_nothing_is_cut_off(graph):
    graph.driver.reconfigure({"deadline_s": None})
    graph.inpaint.stage.may_answer.clear()
    edit = asyncio.create_task(graph.edit())
    await asyncio.wait_for(graph.inpaint.stage.started.wait(), 1)
    graph.inpaint.stage.may_answer.set()
    assert (await edit).changed_outside_px == 0


async def items_of(graph, **fields):
    request = EditRequest(**{"image": graph.image, "prompt": "a lemon", "target": "x", "seed": 200} | fields)
    return [item async for item in graph.driver.edit_stream(request)]


async def test_a_watched_edit_says_stage_and_step_and_gives_the_same_result(graph):
    *news, streamed = await items_of(graph, num_inference_steps=4)
    plain = await graph.edit(num_inference_steps=4)
    assert isinstance(streamed, EditResult)
    assert np.array_equal(streamed.edits[0].image, plain.edits[0].image)
    assert all(isinstance(one, Progress) for one in news)
    stages = list(dict.fromkeys(one.stage for one in news))
    assert stages == [stage for stage in ("locate", "segment", "inpaint", "score") if stage in stages]
    assert {"locate", "inpaint"} <= set(stages)
    steps = [one.done for one in news if one.stage == "inpaint"]
    assert steps == sorted(steps)
    assert all(one.total in (0, 4) for one in news)


async def test_a_watched_removal_says_that_it_fills(graph):
    *news, result = await items_of(graph, prompt="", seed=None, mode="remove")
    assert result.mode == "remove"
    assert "inpaint" not in {one.stage for one in news}


async def test_a_replica_lost_between_two_steps_costs_a_watched_edit_nothing(graph):
    graph.inpaint.stage.failures = [ActorDiedError()]
    *_, result = await items_of(graph)
    assert result.changed_outside_px == 0
    assert len(graph.inpaint.responses) == 2


async def test_a_watched_edit_fails_with_its_own_error(graph):
    with pytest.raises(InvalidInput):
        await items_of(graph, prompt="")
    graph.driver.reconfigure({"deadline_s": 0.05})
    graph.inpaint.stage.may_answer.clear()
    with pytest.raises(DeadlineExceeded):
        await items_of(graph, num_inference_steps=2)


async def test_who_stops_watching_stops_the_edit(graph):
    graph.inpaint.stage.may_answer.clear()
    request = EditRequest(graph.image, "a lemon", target="x", num_inference_steps=1)
    stream = graph.driver.edit_stream(request)
    async for item in stream:
        if item.stage == "inpaint":
            break
    await stream.aclose()
    await asyncio.sleep(0.05)
    assert graph.inpaint.responses[0].cancelled
