"""Several squares in one request: each is painted as if it were alone, and they come, count and leave as one job."""

import threading
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.in_process import InProcessGraph
from deployments.config import GraphArgs
from deployments.errors import Overloaded
from deployments.inpaint.model import noise_seed
from deployments.messages import EditRequest, Square
from pocket import world
from pocket.vocabulary import BY_NAME

WAIT_S = 60
LONG = 900  # steps; cancelled long before they are taken
SIDES = (32, 48, 20)


@pytest.fixture
def three(request_):
    """The same request for three squares of different sizes, two seeds."""
    rng = np.random.default_rng(1)
    squares = []
    for side in SIDES:
        mask = np.zeros((side, side), bool)
        mask[side // 4 : side // 2, side // 5 : side // 2] = True
        squares.append(Square(rng.integers(0, 256, (side, side, 3), dtype=np.uint8), mask))
    return replace(request_, squares=tuple(squares), seeds=(7, 8))


def test_each_square_of_each_seed_is_painted_as_if_it_were_alone(three, new_engine):
    engine = new_engine(row_buckets=(16,))
    together = engine.submit(three).future.result(WAIT_S).images
    assert [pictures.shape for pictures in together] == [(2, side, side, 3) for side in SIDES]
    for number, square in enumerate(three.squares):
        for index, seed in enumerate(three.seeds):
            request = replace(three, squares=(square,), seeds=(noise_seed(seed, number),))
            alone = engine.submit(request).future.result(WAIT_S).images[0][0]
            assert np.array_equal(together[number][index], alone)


def test_the_first_square_of_a_seed_has_its_noise_and_no_two_squares_have_the_same():
    assert [noise_seed(seed, 0) for seed in (0, 7, 2**63 - 1)] == [0, 7, 2**63 - 1]
    seeds = [noise_seed(seed, square) for seed in range(2**32 - 50, 2**32 + 50) for square in range(256)]
    read = {seed % 2**32 for seed in seeds}  # all that torch's generator on the CPU reads
    assert len(read) == len(seeds)
    first, again = (torch.randn(3, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5 + 2**32))
    assert torch.equal(first, again)


def test_the_text_is_read_once_for_all_squares(three, new_engine, monkeypatch):
    engine = new_engine()
    read = []
    check = engine.model._read
    monkeypatch.setattr(engine.model, "_read", lambda text, param: read.append(text) or check(text, param))
    engine.submit(three).future.result(WAIT_S)
    assert sorted(read) == ["a lemon", "blurry"]


def test_the_squares_share_the_steps(three, new_engine):
    records = []
    new_engine(on_step=records.append).submit(three).future.result(WAIT_S)
    assert max(record.rows for record in records) == 2 * len(SIDES) * len(three.seeds)


@pytest.mark.parametrize(("options", "texts"), [({}, 4), ({"guidance_scale": 1.0, "negative_prompt": ""}, 3)])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_the_work_is_what_the_unet_computed(three, new_engine, options, texts, strength):
    records = []
    asked = replace(three, prompt="a red lemon").with_options(**options, strength=strength)
    painted = new_engine(on_step=records.append).submit(asked).future.result(WAIT_S)
    assert painted.row_steps == sum(record.rows for record in records) > 0
    assert painted.text_tokens == texts  # "blurry" is read only where it guides


def test_a_cancelled_job_leaves_with_all_its_squares(three, new_engine):
    seen, full = [], threading.Event()

    def on_step(record):
        seen.append(record.rows)
        if record.rows == 12:
            full.set()

    engine = new_engine(on_step=on_step)
    job = engine.submit(three.with_options(num_inference_steps=LONG, scheduler="ddim"))
    assert full.wait(WAIT_S)
    engine.cancel(job)
    with pytest.raises(CancelledError):
        job.future.result(0)
    assert not engine._jobs
    engine.submit(replace(three, squares=three.squares[:1], seeds=(1,))).future.result(WAIT_S)
    assert seen[-1] == 2


def test_every_square_of_every_seed_takes_a_place(three, new_engine):
    engine = new_engine({"max_pictures": 7})
    job = engine.submit(three.with_options(num_inference_steps=LONG, scheduler="ddim"))  # six of the seven
    with pytest.raises(Overloaded):
        engine.submit(replace(three, seeds=(1, 2), squares=three.squares[:2]))  # four beside it, which count four of it
    engine.submit(replace(three, seeds=(1,), squares=three.squares)).future.result(WAIT_S)
    engine.cancel(job)


def test_large_requests_do_not_lock_out_small_ones(three, new_engine):
    engine = new_engine({"max_pictures": 6})
    endless = three.with_options(num_inference_steps=LONG, scheduler="ddim")
    large = engine.submit(endless)  # all places
    with pytest.raises(Overloaded):
        engine.submit(endless)
    single = replace(endless, seeds=(1,), squares=three.squares[:1])
    singles = [engine.submit(single) for _ in range(5)]
    with pytest.raises(Overloaded):
        engine.submit(single)
    for job in (large, *singles):
        engine.cancel(job)


def test_a_request_that_fills_the_engine_alone_needs_only_one_free_place(three, new_engine):
    engine = new_engine({"max_pictures": 3})
    endless = three.with_options(num_inference_steps=LONG, scheduler="ddim")
    single = replace(endless, seeds=(1,), squares=three.squares[:1])
    singles = [engine.submit(single) for _ in range(3)]
    with pytest.raises(Overloaded):
        engine.submit(endless)
    engine.cancel(singles[0])
    large = engine.submit(endless)  # twice as many as there are places, beside two others
    engine.cancel(singles[1])
    with pytest.raises(Overloaded):
        engine.submit(endless)
    engine.cancel(large)
    engine.cancel(singles[2])


@pytest.mark.parametrize("objectionable", range(6))
def test_a_seed_is_flagged_if_any_of_its_squares_is(three, new_engine, monkeypatch, objectionable):
    engine = new_engine()
    finish = engine.model.finish
    jobs = []

    def look(latents, side):
        picture, _ = finish(latents, side)
        return picture, latents is jobs[0].paintings[objectionable].latents

    monkeypatch.setattr(engine.model, "finish", look)
    blocker = threading.Event()  # nothing is painted before the test knows the job
    engine._preparing.submit(blocker.wait)
    jobs.append(engine.submit(three))
    blocker.set()
    painted = jobs[0].future.result(WAIT_S)
    assert painted.flagged == (objectionable < 3, objectionable >= 3)


def test_progress_tells_of_every_painting_and_each_preview_has_the_size_of_its_square(three, new_engine):
    told = []
    request = three.with_options(num_inference_steps=8, scheduler="euler")
    new_engine().submit(request, told.append, previews=3).future.result(WAIT_S)
    assert {progress.painting for progress in told} == set(range(6))
    previews = [progress for progress in told if progress.preview is not None]
    assert sorted((each.painting, each.step) for each in previews) == [(j, s) for j in range(3) for s in (2, 4, 6)]
    for progress in previews:
        assert progress.preview.shape[0] == SIDES[progress.painting]


def test_after_an_objection_no_more_is_shown_of_any_square_of_that_seed(three, new_engine, monkeypatch):
    told = []
    engine = new_engine()
    finish = engine.model.finish
    monkeypatch.setattr(engine.model, "finish", lambda latents, side: (finish(latents, side)[0], True))
    request = replace(three, seeds=(1,)).with_options(num_inference_steps=8, scheduler="euler")
    looked = []
    hidden = engine.model.finish
    monkeypatch.setattr(engine.model, "finish", lambda *args: looked.append(1) or hidden(*args))
    engine.submit(request, told.append, previews=3).future.result(WAIT_S)
    assert all(progress.preview is None for progress in told)
    assert len(looked) == 1 + 3  # one preview, and the three pictures: the other previews are not even made


# With the pocket models


@pytest.fixture(scope="module")
def far_apart():
    """A wide picture with an apple at its left and a dog far away at its right; and the mask of each."""
    rng = world.evaluation_rng(72, 0)
    parts = [world.compose(rng, (160, 160), [BY_NAME[name]], "graded") for name in ("red apple", "dog")]
    ground = np.broadcast_to(parts[0].image[:, -1:], (160, 300, 3))
    image = np.concatenate([parts[0].image, ground, parts[1].image], axis=1)
    masks = [np.zeros(image.shape[:2], bool) for _ in parts]
    masks[0][:, :160] = parts[0].placed[0].mask
    masks[1][:, 460:] = parts[1].placed[0].mask
    return np.ascontiguousarray(image), masks


async def test_distant_parts_of_one_mask_are_painted_and_scored_as_when_alone(far_apart):
    """In one square each of them would be tiny."""
    image, (first, second) = far_apart
    graph = InProcessGraph(GraphArgs())

    async def edit(mask, seed):
        request = EditRequest(
            image, "a lemon", mask=mask, mask_shape="hull", dilation=0.06, seed=seed, num_inference_steps=12
        )
        return await graph.driver.edit(request)

    larger, smaller = sorted((first, second), key=lambda mask: -mask.sum())
    both = await edit(first | second, 5)
    alone = [await edit(larger, 5), await edit(smaller, noise_seed(5, 1))]
    assert (both.mask == alone[0].mask | alone[1].mask).all()
    for one in alone:
        there = one.mask
        assert np.abs(both.edits[0].image[there].astype(int) - one.edits[0].image[there]).max() <= 2
    expected = np.mean([one.edits[0].score.region_after for one in alone])
    assert both.edits[0].score.region_after == pytest.approx(expected, abs=0.005)
    assert both.edits[0].score.region_after > both.edits[0].score.region_before
