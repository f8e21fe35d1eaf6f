"""The inpaint deployment without Ray: the same picture whether the steps are watched or not."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from deployments.config import InpaintArgs
from deployments.errors import InvalidInput
from deployments.inpaint.server import InpaintServer
from deployments.messages import Painted, Progress

LONG = 900  # steps; left long before they are taken


@pytest.fixture
def server(new_pipeline, tmp_path):
    new_pipeline().save_pretrained(tmp_path)
    server = InpaintServer(InpaintArgs(model=str(tmp_path), execution="eager", row_threads=1))
    server.reconfigure({"max_rows": 16})
    yield server
    server._engine.close()


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
