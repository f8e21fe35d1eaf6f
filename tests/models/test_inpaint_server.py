"""The inpaint deployment without Ray: the same picture whether the steps are watched or not."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from deployments.config import InpaintArgs
from deployments.errors import InvalidInput
from deployments.inpaint.job import StepTaken
from deployments.inpaint.server import InpaintServer, _counter
from deployments.messages import Painted, Preview, Progress

LONG = 900  # steps; left long before they are taken


@pytest.fixture
def new_server(new_pipeline, tmp_path):
    """Starts servers, and ends them with the test."""
    new_pipeline().save_pretrained(tmp_path)
    servers = []

    def start(**args):
        servers.append(InpaintServer(InpaintArgs(model=str(tmp_path), execution="eager", row_threads=1, **args)))
        servers[-1].reconfigure({"max_rows": 16})
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(new_server):
    return new_server()


async def test_a_stream_counts_the_steps_of_all_pictures_and_ends_in_the_same_pictures(server, request_):
    request = replace(request_, seeds=(7, 8, 9)).with_options(num_inference_steps=12, scheduler="ddim")
    *news, last = [item async for item in server.inpaint_stream(request)]
    assert isinstance(last, Painted)
    assert np.array_equal(last.images[0], (await server.inpaint(request)).images[0])
    assert news
    assert all(isinstance(one, Progress) and (one.stage, one.total) == ("inpaint", 36) for one in news)
    assert [one.done for one in news] == sorted(one.done for one in news)
    assert 0 < news[0].done <= 36


async def test_the_steps_of_all_squares_are_counted(server, request_):
    request = replace(request_, squares=request_.squares * 3, seeds=(7, 8)).with_options(
        num_inference_steps=5, scheduler="ddim"
    )
    *news, last = [item async for item in server.inpaint_stream(request)]
    assert {one.total for one in news} == {5 * 3 * 2}
    assert len(last.images) == 3


async def everything(server, request, previews):
    """Return the previews and the answer of a stream whose count of steps never falls."""
    items = [item async for item in server.inpaint_stream(request, previews)]
    done = [item.done for item in items if isinstance(item, Progress)]
    assert done == sorted(done)
    return [item for item in items if isinstance(item, Preview)], items[-1]


async def test_previews_come_in_order_nearer_and_nearer_to_the_same_picture(server, request_):
    request = replace(request_, seeds=(7, 8)).with_options(num_inference_steps=12, scheduler="ddim")
    previews, painted = await everything(server, request, 3)
    assert [(preview.square, preview.step) for preview in previews] == [(0, 3), (0, 6), (0, 9)]
    off = [np.abs(preview.image.astype(int) - painted.images[0][0]).mean() for preview in previews]
    assert all(later < earlier for earlier, later in pairwise(off))
    assert np.array_equal(painted.images[0], (await server.inpaint(request)).images[0])


def test_a_step_that_is_told_late_does_not_turn_the_count_back():
    """That of a preview is told once the preview has been decoded."""
    count = _counter(paintings=2)
    reports = [count(StepTaken(painting, step, 8)).done for painting, step in ((0, 3), (1, 4), (0, 5), (0, 4), (1, 5))]
    assert reports == [3, 7, 9, 9, 10]


async def test_each_square_has_its_previews_in_order(server, request_):
    request = replace(request_, squares=request_.squares * 3, seeds=(7, 8)).with_options(num_inference_steps=9)
    previews, _ = await everything(server, request, 2)
    for square in range(3):
        assert [preview.step for preview in previews if preview.square == square] == [3, 7]


async def test_a_slow_reader_misses_no_preview(server, request_):
    stream = server.inpaint_stream(request_.with_options(num_inference_steps=12, scheduler="ddim"), 3)
    items = [await anext(stream)]
    async for item in stream:
        await asyncio.sleep(0.05)
        items.append(item)
    assert [item.step for item in items if isinstance(item, Preview)] == [3, 6, 9]


async def test_somebodys_previews_leave_the_neighbours_picture_as_it_is(new_server, request_):
    server = new_server(row_buckets=(4,))
    request = request_.with_options(num_inference_steps=30, scheduler="ddim")
    other = replace(request, seeds=(50,))
    alone = await server.inpaint(replace(request, seeds=(7,)))
    (previews, _), beside = await asyncio.gather(everything(server, other, 3), server.inpaint(request))
    assert len(previews) == 3
    assert np.array_equal(alone.images[0], beside.images[0])


async def test_where_there_are_fewer_steps_there_are_fewer_previews(server, request_):
    for steps, most in ((1, 0), (2, 1)):
        previews, _ = await everything(server, request_.with_options(num_inference_steps=steps, scheduler="ddim"), 3)
        assert len(previews) == most


async def test_no_preview_comes_after_one_that_may_not_be_shown(server, request_, monkeypatch):
    finish = server._engine.model.finish
    looks = iter((False, True, False, False))
    monkeypatch.setattr(server._engine.model, "finish", lambda *args: (finish(*args)[0], next(looks)))
    previews, painted = await everything(server, request_.with_options(num_inference_steps=12, scheduler="ddim"), 3)
    assert [preview.step for preview in previews] == [3]
    assert painted.flagged == (False,)


async def test_who_leaves_the_stream_frees_the_place(server, request_):
    async for _ in (stream := server.inpaint_stream(request_.with_options(num_inference_steps=LONG, scheduler="ddim"))):
        break
    await stream.aclose()
    assert not server._engine._jobs


async def test_a_cancelled_stream_frees_the_place(server, request_):
    async def watch():
        async for _ in server.inpaint_stream(request_.with_options(num_inference_steps=LONG, scheduler="ddim")):
            started.set()

    started = asyncio.Event()
    watcher = asyncio.create_task(watch())
    await asyncio.wait_for(started.wait(), 60)
    watcher.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watcher
    assert not server._engine._jobs


async def test_a_stream_fails_with_the_requests_own_error(server, request_):
    with pytest.raises(InvalidInput, match="model_px"):
        async for _ in server.inpaint_stream(replace(request_, model_px=33)):
            pass
