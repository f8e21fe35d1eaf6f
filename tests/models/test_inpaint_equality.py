"""The engine's correctness bar: each picture is what it would have been alone, and what diffusers would have made.

Within one row bucket bit by bit, whoever shares the steps; against diffusers' own pipeline within float32 noise.
OpenVINO has no buckets: with it that holds for any number of rows.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.inpaint import rows as rows_module
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.painting import Painting
from deployments.inpaint.rows import Rows
from deployments.inpaint.schedulers import CLASSES, named
from deployments.messages import Square
from deployments.serving.openvino import runtime

SCHEDULERS = sorted(CLASSES)
BUCKET = 16

EAGER = {"buckets": (BUCKET,)}
OPENVINO = {"execution": "openvino", "precision": "float32", "threads": 2}
OPENVINO_BFLOAT16 = {**OPENVINO, "precision": "bfloat16"}
needs_openvino = pytest.mark.skipif(not runtime.installed(), reason="OpenVINO is not installed")
FLOAT32 = [pytest.param(EAGER, id="eager"), pytest.param(OPENVINO, id="openvino", marks=needs_openvino)]
EXACT = [*FLOAT32, pytest.param(OPENVINO_BFLOAT16, id="openvino-bfloat16", marks=needs_openvino)]


@pytest.mark.parametrize("way", FLOAT32)
@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_latents_equal_the_stock_pipelines(new_pipeline, stock, close, request_, latents_of, scheduler, strength, way):
    request = request_.with_options(scheduler=scheduler, num_inference_steps=6, strength=strength)
    pipeline = new_pipeline()
    ours = latents_of(InpaintModel(pipeline), request, **way)
    pipeline.scheduler = named(pipeline.scheduler, scheduler)
    expected = stock(pipeline, request)
    assert close(ours, expected)
    assert not close(latents_of(InpaintModel(pipeline), replace(request, seeds=(8,))), expected, 1e-2)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_predicted_velocity_is_no_predicted_noise(new_pipeline, stock, close, request_, latents_of, scheduler):
    pipeline = new_pipeline()
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, prediction_type="v_prediction", clip_sample=False
    )
    request = request_.with_options(scheduler=scheduler)
    ours = latents_of(InpaintModel(pipeline), request)
    pipeline.scheduler = named(pipeline.scheduler, scheduler)
    assert close(ours, stock(pipeline, request))


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 3.0])
def test_guidance_equals_the_stock_pipelines(pipeline, stock, close, request_, latents_of, guidance_scale):
    request = request_.with_options(guidance_scale=guidance_scale)
    if guidance_scale <= 1:  # where diffusers ignores a negative prompt
        request = request.with_options(negative_prompt="")
    assert close(latents_of(InpaintModel(pipeline), request), stock(pipeline, request))


def test_another_model_size_equals_the_stock_pipelines(pipeline, stock, close, request_, latents_of):
    request = replace(request_, model_px=64)
    ours = latents_of(InpaintModel(pipeline), request)
    assert ours.shape[2:] == (32, 32)
    (square,) = request.squares
    image, mask = (array.repeat(2, axis=0).repeat(2, axis=1) for array in (square.image, square.mask))
    enlarged = replace(request, squares=(Square(image, mask),))
    assert close(latents_of(InpaintModel(pipeline), enlarged), stock(pipeline, enlarged, side=64))


def test_a_crop_of_another_size_is_resized_as_the_stock_pipeline_does(pipeline, stock, close, request_, latents_of):
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:77, :77]
    image = rng.integers(0, 256, (77, 77, 3), dtype=np.uint8)
    request = replace(request_, squares=(Square(image, (x - 30) ** 2 + (y - 41) ** 2 < 500),))
    assert close(latents_of(InpaintModel(pipeline), request), stock(pipeline, request))


def test_a_step_has_at_most_the_largest_bucket(pipeline, request_, new_loop, new_collector):
    model, rows = InpaintModel(pipeline), []
    loop, collector = (
        new_loop(model, on_step=lambda record: rows.append(record.padded_rows), buckets=(4,)),
        new_collector(),
    )
    paintings = model.prepare(replace(request_, seeds=(1, 2, 3, 4, 5)))
    loop.add(paintings, collector)
    collector.wait(paintings)
    assert set(rows) == {4}


def test_each_of_several_seeds_paints_what_it_paints_alone(pipeline, stock, close, request_, latents_of):
    request = replace(request_, seeds=(7, 8, 9)).with_options(scheduler="euler_ancestral")
    together = latents_of(InpaintModel(pipeline), request)
    pipeline.scheduler = named(pipeline.scheduler, "euler_ancestral")
    for row, seed in zip(together, request.seeds, strict=True):
        assert close(row[None], stock(pipeline, request, seed))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("execution", ["eager", "traced", pytest.param("openvino", marks=needs_openvino)])
def test_every_way_to_run_the_unet_gives_the_same(pipeline, close, request_, latents_of, execution, threads):
    model = InpaintModel(pipeline)
    larger = replace(request_, model_px=64).with_options(negative_prompt="", guidance_scale=1.0)
    # OpenVINO has to compile each size for each number of threads: the larger one for one of them is enough.
    requests = [replace(request_, seeds=(7, 8)), *([larger] if threads == 2 or execution != "openvino" else [])]
    for request in requests:
        plain = latents_of(model, request)
        ours = latents_of(model, request, execution=execution, threads=threads, precision="float32")
        assert close(ours, plain)


@needs_openvino
def test_bfloat16_is_near_and_not_the_same(pipeline, close, request_, latents_of):
    model = InpaintModel(pipeline)
    plain, ours = latents_of(model, request_), latents_of(model, request_, **OPENVINO_BFLOAT16)
    assert close(ours, plain, 0.2)
    assert not close(ours, plain)


jobs = st.fixed_dictionaries(
    {
        "arrives": st.integers(0, 12),
        "leaves_after": st.none() | st.integers(0, 8),
        "seed": st.integers(0, 2**62),
        "prompt": st.sampled_from(["a lemon", "a pear", "the moon over the sea"]),
        "num_inference_steps": st.integers(1, 9),
        "guidance_scale": st.sampled_from([0.0, 1.0, 1.5, 4.0, 9.0]),
        "scheduler": st.sampled_from(SCHEDULERS),
        "strength": st.sampled_from([1.0, 1.0, 0.7]),
        "model_px": st.sampled_from([32, 32, 32, 40]),
    }
)


def run_schedule(model, new_loop, collector, request, plan, max_rows, cost=None, way=EAGER):
    """Latents of each job of the plan that was not cancelled, painted with the others coming and going."""
    paintings = [model.prepare(request_of(request, job))[0] for job in plan]
    steps = 0

    def arrivals_and_cancels(record):
        nonlocal steps
        steps += 1
        for painting, job in zip(paintings, plan, strict=True):
            if job["arrives"] == steps:
                loop.add([painting], collector)
            if job["leaves_after"] is not None and job["arrives"] + job["leaves_after"] == steps:
                loop.cancel(painting)

    # Somebody has to be there at all times, or the loop stands still and no step would bring the others in.
    clock = model.prepare(request.with_options(num_inference_steps=25, scheduler="ddim"))[0]
    loop = new_loop(model, max_rows=max_rows, on_step=arrivals_and_cancels, cost=cost, **way)
    for painting, job in zip(paintings, plan, strict=True):
        if job["arrives"] == 0:
            loop.add([painting], collector)
    loop.add([clock], collector)
    collector.wait([*paintings, clock])
    return {index: painting.latents for index, painting in enumerate(paintings) if painting.finished}


def request_of(request, job):
    names = ("num_inference_steps", "guidance_scale", "scheduler", "strength")
    options = {name: job[name] for name in names}
    if int(options["num_inference_steps"] * options["strength"]) < 1:
        options["strength"] = 1.0
    if options["guidance_scale"] <= 1:
        options["negative_prompt"] = ""
    request = replace(request, seeds=(job["seed"],), prompt=job["prompt"], model_px=job["model_px"])
    return request.with_options(**options)


@pytest.mark.parametrize("way", EXACT)
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(
    plan=st.lists(jobs, min_size=1, max_size=7),
    max_rows=st.sampled_from([3, 8, 16]),
    cost=st.sampled_from([None, lambda rows: rows, lambda rows: rows + 4]),
)
def test_neighbours_change_no_bit(pipeline, request_, new_loop, new_collector, latents_of, plan, max_rows, cost, way):
    model = InpaintModel(pipeline)
    painted = run_schedule(model, new_loop, new_collector(), request_, plan, max_rows, cost, way)
    stayed = {index for index, job in enumerate(plan) if job["leaves_after"] is None}
    assert stayed <= painted.keys()
    for index, latents in painted.items():
        alone = latents_of(model, request_of(request_, plan[index]), **way)
        assert torch.equal(latents, alone)


# Four jobs that differ in everything and overlap: one fault in any of it must show.
PLAN = [
    dict(zip(("arrives", "seed", "num_inference_steps", "guidance_scale", "scheduler"), values, strict=True))
    | {"leaves_after": None, "prompt": "a pear", "strength": 1.0, "model_px": 32}
    for values in [
        (0, 1, 5, 4.0, "dpmpp_2m"),
        (0, 2, 7, 9.0, "dpmpp_2m"),
        (1, 3, 4, 1.5, "euler_ancestral"),
        (2, 4, 6, 4.0, "pndm"),
    ]
]


def neighbours_timestep(monkeypatch):
    timesteps = Rows._timesteps
    monkeypatch.setattr(Rows, "_timesteps", lambda self: timesteps(self).roll(1))


def neighbours_guidance(monkeypatch):
    init = Rows.__init__

    def wrong(self, paintings, denoiser):
        init(self, paintings, denoiser)
        self._scales = self._scales.roll(1, 0)

    monkeypatch.setattr(rows_module.Rows, "__init__", wrong)


def neighbours_noise(monkeypatch):
    shared = torch.Generator().manual_seed(0)
    advance = Painting.advance

    def wrong(self, prediction):
        if "generator" in self.schedule.options:
            self.schedule.options["generator"] = shared
        return advance(self, prediction)

    monkeypatch.setattr(Painting, "advance", wrong)


def neighbours_history(monkeypatch):
    advance = Painting.advance
    last = {}

    def wrong(self, prediction):
        scheduler = self.schedule.scheduler
        if getattr(scheduler, "model_outputs", None) and "outputs" in last:
            scheduler.model_outputs = list(last["outputs"])
        estimate = advance(self, prediction)
        if hasattr(scheduler, "model_outputs"):
            last["outputs"] = scheduler.model_outputs
        return estimate

    monkeypatch.setattr(Painting, "advance", wrong)


def neighbours_picture(monkeypatch):
    halves = Rows._halves
    monkeypatch.setattr(Rows, "_halves", lambda self, each: halves(self, each.roll(1, 0)))


@pytest.mark.parametrize("way", FLOAT32)
@pytest.mark.parametrize(
    "fault",
    [None, neighbours_timestep, neighbours_guidance, neighbours_noise, neighbours_history, neighbours_picture],
)
def test_the_comparison_sees_a_row_that_takes_what_is_its_neighbours(
    pipeline, request_, new_loop, new_collector, latents_of, monkeypatch, fault, way
):
    model = InpaintModel(pipeline)
    alone = [latents_of(model, request_of(request_, job), **way) for job in PLAN]
    if fault:
        fault(monkeypatch)
    painted = run_schedule(model, new_loop, new_collector(), request_, PLAN, BUCKET, way=way)
    equal = [torch.equal(painted[index], alone[index]) for index in range(len(PLAN))]
    assert all(equal) == (fault is None), equal
