"""The engine's manners: who joins when, who is let in, what is told, and what a failure costs the others."""

import gc
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch

from deployments.config import InpaintArgs, InpaintSettings
from deployments.errors import InvalidInput, Overloaded
from deployments.inpaint.engine import InpaintEngine
from deployments.inpaint.job import Job
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.painting import Painting
from deployments.inpaint.rows import Rows
from deployments.inpaint.steps import StepLoop
from deployments.messages import Square

WAIT_S = 60
LONG = 900  # steps; cancelled long before they are taken
SIDE = 32  # the model's own, in pixels


class Steps:
    """Keeps the records of a loop; `wait_for` blocks until one of them satisfies the condition."""

    def __init__(self):
        self.records = []
        self._changed = threading.Condition()

    def __call__(self, record):
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def wait_for(self, condition):
        seen = len(self.records)
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(condition, self.records[seen:])), WAIT_S)


def test_pictures_equal_the_stock_pipelines(pipeline, stock, request_, new_engine):
    expected = (stock(pipeline, request_, output_type="np") * 255).round()
    painted = new_engine().submit(request_).future.result(WAIT_S)
    assert painted.images[0].dtype == np.uint8
    assert np.abs(painted.images[0].astype(int) - expected).max() <= 1


def test_each_seed_gives_its_picture_in_order(request_, new_engine):
    engine = new_engine(row_buckets=(8,))
    together = engine.submit(replace(request_, seeds=(7, 8, 9))).future.result(WAIT_S).images[0]
    for picture, seed in zip(together, (7, 8, 9), strict=True):
        alone = engine.submit(replace(request_, seeds=(seed,))).future.result(WAIT_S).images[0][0]
        assert np.array_equal(picture, alone)


def test_a_newcomer_shares_the_next_step_and_a_finished_job_leaves(request_, new_engine):
    steps = Steps()
    engine = new_engine(on_step=steps)
    long = engine.submit(request_.with_options(num_inference_steps=LONG, scheduler="ddim"))
    steps.wait_for(lambda record: record.rows == 2)
    short = engine.submit(request_)
    short.future.result(WAIT_S)
    steps.wait_for(lambda record: record.rows == 2)
    shared = [record for record in steps.records if record.rows == 4]
    assert len(shared) == 5  # PNDM takes one more than the 4 asked for
    assert not long.future.done()


def test_unguided_pictures_take_one_row(request_, new_engine):
    steps = Steps()
    new_engine(on_step=steps).submit(request_.with_options(negative_prompt="", guidance_scale=1.0)).future.result(
        WAIT_S
    )
    assert {record.rows for record in steps.records} == {1}


def test_beyond_the_cap_pictures_wait_their_turn(request_, new_engine):
    steps = Steps()
    engine = new_engine({"max_rows": 4}, on_step=steps)
    jobs = [engine.submit(replace(request_, seeds=(seed,))) for seed in range(5)]
    for job in jobs:
        job.future.result(WAIT_S)
    assert max(record.rows for record in steps.records) == 4
    assert max(record.waiting for record in steps.records) >= 1


def test_pictures_of_all_sizes_are_counted_among_those_who_wait(request_, new_engine):
    steps = Steps()
    engine = new_engine({"max_rows": 2}, on_step=steps)
    long = request_.with_options(num_inference_steps=LONG, scheduler="ddim")
    jobs = [engine.submit(replace(long, model_px=side)) for side in (SIDE, SIDE, 2 * SIDE, 2 * SIDE)]
    steps.wait_for(lambda record: record.waiting == 2)
    for job in jobs:
        engine.cancel(job)


def test_the_cap_changes_live(request_, new_engine):
    steps = Steps()
    engine = new_engine({"max_rows": 2}, on_step=steps)
    jobs = [
        engine.submit(replace(request_, seeds=(seed,)).with_options(num_inference_steps=LONG, scheduler="ddim"))
        for seed in range(4)
    ]
    steps.wait_for(lambda record: record.waiting == 3)
    engine.reconfigure(InpaintSettings(max_rows=6))
    steps.wait_for(lambda record: record.rows == 6)
    engine.reconfigure(InpaintSettings())  # no profile was made; what was set stays
    assert engine.max_rows == 6
    for job in jobs:
        engine.cancel(job)


def test_without_a_cap_a_profile_finds_one(pipeline, request_):
    engine = InpaintEngine(InpaintModel(pipeline), InpaintArgs(execution="eager", row_threads=1))
    try:
        assert engine.max_rows > 2  # tiny models are all overhead, which company shares
        assert engine.submit(request_).future.result(WAIT_S).images[0].shape == (1, 32, 32, 3)
        engine.reconfigure(InpaintSettings(max_rows=5))
        assert engine.max_rows == 5
        engine.reconfigure(InpaintSettings(max_step_s=1e-6))
        assert engine.max_rows >= 2
    finally:
        engine.close()


def test_a_cancelled_job_leaves_and_makes_room(request_, new_engine):
    steps = Steps()
    engine = new_engine({"max_pictures": 2}, on_step=steps)
    endless = request_.with_options(num_inference_steps=LONG, scheduler="ddim")
    first, second = engine.submit(endless), engine.submit(endless)
    steps.wait_for(lambda record: record.rows == 4)
    engine.cancel(first)
    steps.wait_for(lambda record: record.rows == 2)
    with pytest.raises(CancelledError):
        first.future.result(0)
    engine.submit(request_).future.result(WAIT_S)
    assert not second.future.done()


def test_a_job_cancelled_before_it_began_takes_no_step(request_, new_engine):
    steps = Steps()
    engine = new_engine(on_step=steps)
    blocker = threading.Event()
    engine._preparing.submit(blocker.wait)
    job = engine.submit(request_)
    engine.cancel(job)
    blocker.set()
    engine.submit(request_.with_options(negative_prompt="", guidance_scale=0.0)).future.result(WAIT_S)
    assert {record.rows for record in steps.records} == {1}


def test_no_room_is_said_at_once_and_with_a_time(request_, new_engine):
    engine = new_engine({"max_pictures": 3})
    endless = replace(request_, seeds=(1, 2)).with_options(num_inference_steps=LONG, scheduler="ddim")
    job = engine.submit(endless)
    with pytest.raises(Overloaded) as full:
        engine.submit(replace(request_, seeds=(1, 2)))
    assert full.value.retry_after_s >= 1
    engine.submit(request_).future.result(WAIT_S)
    engine.cancel(job)
    engine.submit(replace(request_, seeds=(1, 2, 3, 4))).future.result(WAIT_S)  # alone, even too many are let in


def test_no_memory_is_no_room(request_, new_engine):
    engine = new_engine({"max_held_mb": 1})
    image = np.zeros((500, 500, 3), np.uint8)
    large = replace(request_, squares=(Square(image, image[..., 0] == 0),)).with_options(
        num_inference_steps=LONG, scheduler="ddim"
    )
    engine.submit(large)
    with pytest.raises(Overloaded):
        engine.submit(large)


def test_a_bad_request_fails_alone(request_, new_engine):
    engine = new_engine()
    bad = engine.submit(request_.with_options(strength=0.01))
    good = engine.submit(request_)
    with pytest.raises(InvalidInput, match="strength"):
        bad.future.result(WAIT_S)
    assert good.future.result(WAIT_S).images[0].shape == (1, 32, 32, 3)


def test_a_poisoned_picture_costs_its_neighbours_nothing(request_, new_engine, monkeypatch):
    predict = Rows.predict

    def fail(self):
        if any(painting.guidance_scale == 6.66 for painting in self.paintings):
            raise RuntimeError("poison")
        return predict(self)

    monkeypatch.setattr(Rows, "predict", fail)
    engine = new_engine(row_buckets=(8,))
    jobs = [engine.submit(request_.with_options(guidance_scale=scale)) for scale in (5.0, 6.66, 5.0)]
    with pytest.raises(RuntimeError, match="poison"):
        jobs[1].future.result(WAIT_S)
    first, last = (jobs[index].future.result(WAIT_S).images[0] for index in (0, 2))
    assert np.array_equal(first, last)


def test_out_of_memory_halves_the_cap_and_loses_nobody(request_, new_engine, monkeypatch):
    predict = Rows.predict

    def too_small(self):
        if len(self._channels) > 4:
            raise torch.OutOfMemoryError
        return predict(self)

    monkeypatch.setattr(Rows, "predict", too_small)
    engine = new_engine({"max_rows": 8})
    engine.submit(replace(request_, seeds=(1, 2, 3, 4))).future.result(WAIT_S)
    assert engine.max_rows in (3, 4)  # the first step that is too large has three pictures, or four


def test_progress_leaves_at_each_step_and_with_it_previews_of_the_first_seed(request_, new_engine):
    told = []
    request = replace(request_, seeds=(1, 2)).with_options(num_inference_steps=8, scheduler="euler", strength=1.0)
    engine = new_engine()
    painted = engine.submit(request, told.append, previews=3).future.result(WAIT_S)
    for picture in (0, 1):
        mine = [progress for progress in told if progress.painting == picture]
        assert sorted(progress.step for progress in mine) == list(range(1, 9))
        assert {progress.steps for progress in mine} == {8}
    previews = [progress for progress in told if progress.preview is not None]
    assert [(progress.painting, progress.step) for progress in previews] == [(0, 2), (0, 4), (0, 6)]
    off = [np.abs(progress.preview.astype(int) - painted.images[0][0]).mean() for progress in previews]
    assert off == sorted(off, reverse=True)


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp_2m"])
def test_the_last_estimate_is_the_picture(pipeline, request_, new_loop, new_collector, scheduler):
    """Before the last step nearly all noise is gone, whatever frame a scheduler keeps its latents in."""
    model = InpaintModel(pipeline)
    request = request_.with_options(scheduler=scheduler, negative_prompt="", num_inference_steps=30, guidance_scale=1.0)
    (painting,) = model.prepare(request)
    painting.previews = frozenset({30})
    loop, collector = new_loop(model), new_collector()
    loop.add([painting], collector)
    (latents,) = collector.wait([painting])
    estimate = collector.estimates[painting][30]
    assert (estimate - latents).abs().mean() < 0.05 * latents.abs().mean()


def test_a_decode_does_not_hold_up_the_steps(request_, new_engine, monkeypatch):
    steps = Steps()
    engine = new_engine(on_step=steps)
    release = threading.Event()
    finish = engine.model.finish
    monkeypatch.setattr(engine.model, "finish", lambda *args: release.wait(WAIT_S) and finish(*args))
    other = engine.submit(request_.with_options(num_inference_steps=LONG, scheduler="ddim"))
    steps.wait_for(lambda record: record.rows == 2)
    job = engine.submit(request_)
    steps.wait_for(lambda record: record.rows == 4)
    steps.wait_for(lambda record: record.rows == 2)
    assert not job.future.done()
    release.set()
    job.future.result(WAIT_S)
    engine.cancel(other)


def test_a_picture_is_decoded_before_the_rest_of_a_larger_request(request_, new_engine, monkeypatch):
    engine = new_engine()
    release, order = threading.Event(), []
    finish = engine.model.finish

    def slow(*args):
        release.wait(WAIT_S)
        return finish(*args)

    monkeypatch.setattr(engine.model, "finish", slow)
    many = engine.submit(replace(request_, seeds=tuple(range(6))))
    many.future.add_done_callback(lambda _: order.append("many"))
    until = time.monotonic() + WAIT_S
    while not (many.paintings and all(painting.finished for painting in many.paintings)):
        assert time.monotonic() < until
        time.sleep(0.01)
    one = engine.submit(request_)
    one.future.add_done_callback(lambda _: order.append("one"))
    while not (one.paintings and one.paintings[0].finished):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.1)  # the loop hands it on after its last step
    release.set()
    for job in (many, one):
        job.future.result(WAIT_S)
    assert order == ["one", "many"]


def paint_until(loop, paintings, done):
    until = time.monotonic() + WAIT_S
    while not done() and time.monotonic() < until:
        time.sleep(0.005)
    for painting in paintings:
        loop.cancel(painting)


@pytest.mark.parametrize("asked", ["alone", "together"])
def test_lanes_of_other_sizes_get_the_same_time_a_request(pipeline, request_, new_loop, new_collector, asked):
    """One large picture among three small ones gets a quarter of the time, and half of it if they are one request."""
    model, seconds = InpaintModel(pipeline), {2: 0.0, 6: 0.0}

    def count(record):
        seconds[record.rows] = seconds.get(record.rows, 0.0) + record.seconds

    loop, collector = new_loop(model, on_step=count), new_collector()
    endless = request_.with_options(num_inference_steps=LONG, scheduler="ddim")
    small = model.prepare(replace(endless, seeds=(1, 2, 3)))
    large = model.prepare(replace(endless, model_px=64))
    for paintings in [*([each] for each in small), large] if asked == "alone" else [small, large]:
        loop.add(paintings, collector)
    paintings = [*small, *large]
    paint_until(loop, paintings, lambda: paintings[3].taken >= 25)
    collector.wait(paintings)
    assert seconds[6] / seconds[2] == pytest.approx(3 if asked == "alone" else 1, rel=0.35)


def test_a_lane_that_was_long_alone_does_not_starve(pipeline, request_, new_loop, new_collector):
    model = InpaintModel(pipeline)
    loop, collector = new_loop(model), new_collector()
    (first,) = model.prepare(request_.with_options(num_inference_steps=200, scheduler="ddim"))
    loop.add([first], collector)
    collector.wait([first])
    (large,) = model.prepare(replace(request_, model_px=64).with_options(num_inference_steps=LONG, scheduler="ddim"))
    (small,) = model.prepare(request_.with_options(num_inference_steps=20, scheduler="ddim"))
    loop.add([large], collector)
    loop.add([small], collector)
    paint_until(loop, [large], lambda: small.finished)
    collector.wait([large, small])
    assert small.finished
    assert large.taken < 40


def test_a_loop_that_has_ended_says_so(pipeline, request_, monkeypatch, new_engine):
    engine = new_engine()
    engine.check_health()

    def crash(self, *_):
        raise MemoryError

    monkeypatch.setattr(StepLoop, "_limit_queue", crash)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with pytest.raises(RuntimeError, match="step loop has ended"):
        engine.submit(request_).future.result(WAIT_S)
    engine._loop._thread.join(WAIT_S)
    with pytest.raises(RuntimeError, match="step loop has ended"):
        engine.check_health()
    with pytest.raises(RuntimeError, match="step loop has ended"):
        engine.submit(request_).future.result(WAIT_S)


@pytest.mark.parametrize("stuck", ["prepare", "finish", "step"])
def test_work_that_does_not_move_on_says_so(pipeline, request_, monkeypatch, new_engine, stuck):
    engine = new_engine({"max_stall_s": 0.05})
    begun, may_end = threading.Event(), threading.Event()

    def held(call):
        def wrapped(*args, **kwargs):
            begun.set()
            may_end.wait(WAIT_S)
            return call(*args, **kwargs)

        return wrapped

    if stuck == "step":
        monkeypatch.setattr(StepLoop, "_predict", held(StepLoop._predict))
    else:
        monkeypatch.setattr(engine.model, stuck, held(getattr(engine.model, stuck)))
    job = engine.submit(request_)
    begun.wait(WAIT_S)
    time.sleep(0.1)
    with pytest.raises(RuntimeError, match="not moved on"):
        engine.check_health()
    may_end.set()
    job.future.result(WAIT_S)
    time.sleep(0.1)
    engine.check_health()  # idle for as long, which is no fault


def test_what_is_left_and_how_fast_it_goes(pipeline, request_, new_engine):
    engine = new_engine()
    assert (engine.row_steps_left, engine.row_steps_per_s) == (0, 0)
    seen = []
    job = engine.submit(request_, lambda _: seen.append(engine.row_steps_left))
    job.future.result(WAIT_S)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > seen[-1]
    assert engine.row_steps_left == 0
    assert engine.row_steps_per_s > 0


def test_memory_stays_flat(request_, new_engine):
    """500 edits, each with another text, some of them cancelled; after a hundred, nothing may pile up."""
    engine = new_engine({"max_pictures": 8})
    process = psutil.Process()

    def edits(first, count):
        for number in range(first, first + count, 4):
            jobs = [
                engine.submit(replace(request_, prompt=f"thing {number + index}").with_options(num_inference_steps=2))
                for index in range(4)
            ]
            engine.cancel(jobs[3])
            for job in jobs[:3]:
                job.future.result(WAIT_S)
        return process.memory_info().rss

    before = edits(0, 200)
    after = edits(200, 500)
    assert after - before < 20 * 2**20
    assert len(engine.model._texts) <= 256
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) in (Job, Painting)]
