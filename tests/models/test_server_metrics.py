"""What the servers of the three models record, with a recorder that keeps everything in Ray's place."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from deployments.clip.server import ClipServer
from deployments.config import InpaintArgs
from deployments.errors import InvalidInput, Overloaded
from deployments.inpaint.server import InpaintServer
from deployments.inpaint.steps import StepRecord
from deployments.messages import Prompt, ScoreRequest, SearchRequest, SegmentRequest
from deployments.sam.server import SamServer
from deployments.serving.metrics import (
    BATCH_RUN,
    BATCH_SIZE,
    BATCH_WAIT,
    CACHE_HITS,
    CACHE_MISSES,
    PICTURES,
    PICTURES_WAITING,
    RESULTS,
    ROWS,
    STEP_ROWS,
    STEP_TIME,
)

LONG = 900  # steps; cancelled long before they are taken


def pictures(count, size_hw=(64, 64)):
    return np.random.default_rng(0).integers(0, 256, (count, *size_hw, 3), dtype=np.uint8)


# CLIP


@pytest.fixture
def clip(metrics):
    server = ClipServer({}, metrics)
    server.reconfigure({"max_batch_size": 3, "max_wait_s": 0.5, "squares": []})
    return server


async def test_three_searches_together_are_a_batch_of_three(clip, metrics):
    await asyncio.gather(*(clip.locate(SearchRequest(image, ("dog",))) for image in pictures(3)))
    where = {"stage": "clip", "operation": "locate"}
    assert metrics.values(BATCH_SIZE, **where) == [3]
    assert all(seconds > 0 for one in (BATCH_WAIT, BATCH_RUN) for seconds in metrics.values(one, **where))
    assert metrics.values(RESULTS, **where, outcome="ok") == [1, 1, 1]
    assert not metrics.values(BATCH_SIZE, operation="score")


async def test_scores_are_batches_of_their_own_and_a_text_too_long_is_counted_as_refused(clip, metrics):
    asked = map(ScoreRequest, pictures(3), ("a dog", "a cat", "dog " * 99))
    await asyncio.gather(*map(clip.score, asked), return_exceptions=True)
    where = {"stage": "clip", "operation": "score"}
    assert metrics.values(BATCH_SIZE, **where) == [3]
    assert metrics.values(RESULTS, **where, outcome="ok") == [1, 1]
    assert metrics.values(RESULTS, **where, outcome="invalid_value") == [1]


async def test_a_second_phrase_in_the_same_picture_is_a_hit_of_pictures_and_a_miss_of_texts(clip, metrics):
    (image,) = pictures(1)
    await clip.locate(SearchRequest(image, ("dog",)))
    seen = {"stage": "clip", "cache": "pictures"}
    read = {"stage": "clip", "cache": "texts"}
    assert [metrics.values(one, **seen) for one in (CACHE_HITS, CACHE_MISSES)] == [[], [1]]
    assert [metrics.values(one, **read) for one in (CACHE_HITS, CACHE_MISSES)] == [[], [1]]
    await clip.locate(SearchRequest(image, ("cat", "dog")))
    assert [metrics.values(one, **seen) for one in (CACHE_HITS, CACHE_MISSES)] == [[1], [1]]
    assert [metrics.values(one, **read) for one in (CACHE_HITS, CACHE_MISSES)] == [[1], [1, 1]]


# SAM


async def test_the_encoder_and_the_decoder_record_their_batches_and_the_cache_its_hits(metrics):
    server = SamServer({}, metrics=metrics)
    server.reconfigure({"max_batch_size": 3, "max_wait_s": 0.5})
    images = pictures(3)
    embeddings = await asyncio.gather(*map(server.encode, images))
    request = SegmentRequest((Prompt(((20, 20),), (1,)),))
    outside = SegmentRequest((Prompt(((99, 20),), (1,)),))
    asked = zip(embeddings, (request, outside, request), strict=True)
    answers = await asyncio.gather(*(server.segment(*one) for one in asked), return_exceptions=True)
    await server.encode(images[1].copy())
    assert metrics.values(BATCH_SIZE, stage="sam", operation="encode") == [3]
    assert metrics.values(BATCH_SIZE, stage="sam", operation="segment") == [3]
    cache = {"stage": "sam", "cache": "embeddings"}
    assert [len(metrics.values(one, **cache)) for one in (CACHE_HITS, CACHE_MISSES)] == [1, 3]
    assert isinstance(answers[1], InvalidInput)
    assert metrics.values(RESULTS, stage="sam", operation="segment", outcome="ok") == [1, 1]
    assert metrics.values(RESULTS, stage="sam", operation="segment", outcome="invalid_value") == [1]
    assert metrics.values(RESULTS, stage="sam", operation="encode", outcome="ok") == [1] * 4


# The painter


@pytest.fixture
def new_painter(new_pipeline, tmp_path, metrics):
    servers = []
    new_pipeline().save_pretrained(tmp_path)

    def start(**settings):
        args = InpaintArgs(model=str(tmp_path), execution="eager", row_threads=1, row_buckets=(4, 16))
        servers.append(InpaintServer(args, metrics))
        servers[-1].reconfigure({"max_rows": 16, **settings})
        return servers[-1]

    yield start
    for server in servers:
        server._engine.close()


async def test_every_step_records_its_rows_its_padding_and_its_time(new_painter, metrics, request_):
    painter = new_painter()
    await painter.inpaint(replace(request_, seeds=(1, 2, 3)).with_options(num_inference_steps=3, scheduler="ddim"))
    rows = metrics.values(STEP_ROWS, stage="inpaint")
    padding = metrics.values(ROWS, content="padding")
    assert sum(rows) == sum(metrics.values(ROWS, content="picture")) == 3 * 3 * 2  # pictures, steps, with guidance
    assert sum(rows) + sum(padding) == sum(4 if step <= 4 else 16 for step in rows)
    assert len(metrics.values(STEP_TIME)) == len(rows)
    assert all(seconds > 0 for seconds in metrics.values(STEP_TIME))
    assert metrics.values(RESULTS, stage="inpaint", operation="inpaint", outcome="ok") == [1]


async def test_a_text_that_is_known_is_a_hit(new_painter, metrics, request_):
    painter = new_painter()
    texts = {"stage": "inpaint", "cache": "texts"}
    at_start = len(metrics.values(CACHE_HITS, **texts))
    await painter.inpaint(replace(request_, prompt="a kiwi").with_options(negative_prompt="grey"))
    await painter.inpaint(replace(request_, prompt="a kiwi").with_options(negative_prompt="grey"))
    assert len(metrics.values(CACHE_HITS, **texts)) == at_start + 2


async def test_pictures_are_counted_from_their_acceptance_to_their_end(new_painter, metrics, request_):
    painter = new_painter(max_rows=2, max_pictures=2)
    long = request_.with_options(num_inference_steps=LONG, scheduler="ddim")
    first = asyncio.create_task(painter.inpaint(replace(long, seeds=(1, 2))))
    until = time.monotonic() + 60
    while not any(metrics.values(PICTURES_WAITING)):
        assert time.monotonic() < until
        await asyncio.to_thread(time.sleep, 0.01)
    with pytest.raises(Overloaded):
        await painter.inpaint(replace(long, seeds=(1, 2)))
    assert metrics.values(PICTURES) == [0, 2]
    assert max(metrics.values(PICTURES_WAITING)) == 1
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert metrics.values(PICTURES) == [0, 2, 0]
    outcomes = {"stage": "inpaint", "operation": "inpaint"}
    assert metrics.values(RESULTS, **outcomes, outcome="cancelled") == [1]
    assert metrics.values(RESULTS, **outcomes, outcome="overloaded") == [1]


async def test_who_leaves_a_stream_is_counted_once_as_cancelled(new_painter, metrics, request_):
    painter = new_painter()
    stream = painter.inpaint_stream(request_.with_options(num_inference_steps=LONG, scheduler="ddim"))
    async for _ in stream:
        break
    await stream.aclose()
    assert metrics.values(RESULTS, stage="inpaint", outcome="cancelled") == [1]
    assert metrics.values(PICTURES) == [0, 1, 0]


async def test_nobody_waits_once_the_last_picture_has_gone(new_painter, metrics, request_):
    """Whoever waited may have been cancelled after the last step, which reported that they do."""
    painter = new_painter()
    job = painter._submit(request_.with_options(num_inference_steps=LONG, scheduler="ddim"))
    painter._engine._loop.close()  # no step is taken from here on
    painter._engine._on_step(StepRecord(rows=2, padded_rows=4, waiting=3, seconds=0.1))
    assert metrics.values(PICTURES_WAITING)[-1] == 3
    painter._engine.cancel(job)
    assert metrics.values(PICTURES_WAITING)[-1] == 0
