"""The DAG and its promises, with stages that are small real objects behind handles without Ray (conftest.py)."""

import asyncio

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError

from deployments.driver.calls import RETRY_PAUSE_S
from deployments.driver.server import Driver
from deployments.errors import DeadlineExceeded, InvalidInput, ModelFailed, OtherWeights, Overloaded, TargetNotFound
from deployments.messages import LocateRequest, Readiness, ScoreRequest
from deployments.serving import health
from deployments.serving.status import StageStatus


async def test_an_edit_goes_through_all_stages(graph):
    graph.driver.reconfigure({"painting": {"fit_colours": False}})  # this painter knows nothing of surroundings
    result = await graph.edit(n=3)
    assert [edit.seed for edit in result.edits] == [202, 201, 200]  # brightest first, as this CLIP scores
    best = result.edits[0]
    assert (best.image[30, 40] == 202).all()
    assert (best.image[~result.mask] == graph.image[~result.mask]).all()
    assert not result.mask[:3, :3].any()
    assert best.score.region_after > best.score.after > 0
    assert best.score.before == pytest.approx(graph.image.mean() / 255)
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


async def test_a_picture_always_asks_for_the_same_replica_of_sam(graph):
    await graph.edit()
    await graph.edit(prompt="another")
    await graph.edit(image=255 - graph.image)
    first, second, other = graph.sam.sessions
    assert first == second != other


async def test_who_would_wait_too_long_is_refused_before_anything_is_spent(graph):
    graph.inpaint.stage.may_answer.clear()
    edits = []
    for seed in range(5):
        graph.inpaint.stage.started.clear()
        edits.append(asyncio.create_task(graph.edit(seed=seed)))
        await graph.inpaint.stage.started.wait()
    spent = len(graph.sam.responses) + len(graph.inpaint.responses)  # of CLIP's some come with the painting
    with pytest.raises(Overloaded) as caught:
        await graph.edit(seed=5)
    assert caught.value.retry_after_s > 0
    assert len(graph.sam.responses) + len(graph.inpaint.responses) == spent
    with pytest.raises(Overloaded):
        await graph.driver.locate(LocateRequest(graph.image, "x"))
    graph.driver.reconfigure({"max_backlog_s": None})
    one_more = asyncio.create_task(graph.edit(seed=6))
    graph.inpaint.stage.may_answer.set()
    await asyncio.gather(*edits, one_more)
    graph.driver.reconfigure({})
    await graph.edit(seed=7)


async def test_nothing_found_paints_nothing(graph):
    graph.clip.stage.found = False
    with pytest.raises(TargetNotFound) as caught:
        await graph.edit()
    assert caught.value.size == graph.image.shape[1::-1]
    assert not graph.inpaint.responses


async def test_where_sam_finds_nothing_the_heat_map_is_the_mask(graph):
    def nothing(size, prompt):
        return np.zeros(size, bool), np.zeros(size, bool)

    graph.sam.stage._masks = nothing
    result = await graph.edit()
    assert result.location.low_confidence
    assert result.location.candidates[0].source == "heat"
    assert result.mask[30, 40]
    graph.driver.reconfigure({"grounding": {"use_heat": False}})
    with pytest.raises(TargetNotFound):
        await graph.edit()


async def test_bad_input_reaches_no_stage(graph):
    with pytest.raises(InvalidInput):
        await graph.edit(prompt="")
    with pytest.raises(InvalidInput):
        await graph.driver.locate(LocateRequest(graph.image, ""))
    with pytest.raises(InvalidInput):
        await graph.driver.score(ScoreRequest(graph.image[:2], "x"))
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
    assert len(graph.sam.responses) == 5  # encode and segment, both in one call twice, and once more from nearby


async def test_an_embedding_of_weights_that_were_replaced_meanwhile_is_made_anew(graph):
    failure = RayTaskError("segment", "Traceback ...", OtherWeights()).as_instanceof_cause()
    graph.sam.stage.failures = [failure]
    await graph.edit()
    assert len(graph.sam.stage.images) == 3  # at first, anew, and from nearby


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
    """Serve's word counts, and no stage is called: that would wake one that is scaled to zero."""
    known = {
        "clip": StageStatus(True, 0, None),
        "sam": StageStatus(False, 0, "sam.model: there is no file '/secret/path'"),
        "driver": StageStatus(True, 1, None),
    }
    driver = Driver(graph.clip, graph.sam, graph.inpaint, lambda: known)
    assert await driver.ready() == {
        "clip": Readiness(True),
        "sam": Readiness(False, "sam.model"),
        "inpaint": Readiness(False),
    }
    assert not graph.responses


async def test_a_replica_that_was_never_asked_repeats_what_serve_said_while_it_still_knew(monkeypatch):
    monkeypatch.setattr(health, "FRESH_S", 0.0)
    answers = [{stage: StageStatus(True, 1) for stage in ("clip", "sam", "inpaint")}, {}]
    driver = Driver(None, None, None, read_stages=lambda: answers.pop(0))
    await driver.check_health()  # Serve asks for this every ten seconds
    assert {stage.ready for stage in (await driver.ready()).values()} == {True}
    assert answers == []
