"""The step engine on the device: what it paints is the stock pipeline's, bit by bit the same in any company."""

import gc
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

from deployments.config import InpaintArgs
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.schedulers import CLASSES, named

pytestmark = pytest.mark.gpu

MIB = 2**20
BUCKET = 16
LONG = 900  # steps; cancelled long before they are taken


@pytest.fixture
def stock(model):
    """What diffusers' own pipeline gives for a request: latents."""

    def run(request, scheduler):
        pipeline = StableDiffusionInpaintPipeline(
            vae=model.vae,
            text_encoder=model.text_encoder,
            tokenizer=model.tokenizer,
            unet=model.unet,
            scheduler=named(model.scheduler, scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        (square,) = request.squares
        return pipeline(
            prompt=request.prompt,
            negative_prompt=request.options.negative_prompt,
            image=Image.fromarray(square.image),
            mask_image=Image.fromarray(square.mask.astype(np.uint8) * 255),
            height=model.native_px,
            width=model.native_px,
            num_inference_steps=request.options.num_inference_steps,
            guidance_scale=request.options.guidance_scale,
            strength=request.options.strength,
            generator=torch.Generator().manual_seed(request.seeds[0]),
            output_type="latent",
        ).images

    return run


def company(request):
    """Seven requests of other lengths, seeds, schedulers and guidance."""
    names = sorted(CLASSES)
    return [
        replace(request, seeds=(number,)).with_options(
            num_inference_steps=3 + number, guidance_scale=1.5 + number, scheduler=names[number % len(names)]
        )
        for number in range(7)
    ]


@pytest.mark.parametrize("scheduler", sorted(CLASSES))
def test_latents_equal_the_stock_pipelines(stock, request_, new_engine, latents_of, scheduler):
    request = request_.with_options(scheduler=scheduler)
    (ours,) = latents_of(new_engine(), request)
    expected = stock(request, scheduler)
    # On a GPU the stock pipeline runs two rows and the engine its bucket, with kernels chosen for each.
    assert float((ours - expected).abs().max()) <= 2e-3 * float(expected.std())
    (other,) = latents_of(new_engine(), replace(request, seeds=(8,)))
    assert float((other - expected).abs().max()) > 0.1 * float(expected.std())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_latents_are_bit_equal_whoever_shares_the_steps(device, request_, new_engine, latents_of, dtype):
    model = InpaintModel.load(InpaintArgs(device=device, dtype=dtype))
    engine = new_engine(model, row_buckets=(BUCKET,))
    (alone,) = latents_of(engine, request_)
    together = latents_of(engine, *company(request_)[:3], request_, *company(request_)[3:])[3]
    assert torch.equal(alone, together), int((alone != together).sum())
    assert alone.isfinite().all()


def test_compiled_latents_are_bit_equal_whoever_shares_the_steps(device, request_, new_engine, latents_of):
    if device != "cuda":
        pytest.skip("compiling for a CPU takes minutes, and tests/models does without it too")
    engine = new_engine(execution="compiled", row_buckets=(BUCKET,))
    (alone,) = latents_of(engine, request_)
    together = latents_of(engine, *company(request_)[:3], request_, *company(request_)[3:])[3]
    assert torch.equal(alone, together), int((alone != together).sum())
    (eager,) = latents_of(new_engine(), request_)
    assert float((alone - eager).abs().max()) <= 1e-2 * float(eager.std())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_graphed_latents_equal_eager_ones_to_the_bit(on_gpu, device, request_, new_engine, latents_of, caplog, dtype):
    model = InpaintModel.load(InpaintArgs(device=device, dtype=dtype))
    eager, graphed = (
        new_engine(model, execution=execution, row_buckets=(2, BUCKET)) for execution in ("eager", "graphed")
    )
    other = replace(request_, model_px=2 * model.native_px)
    (alone,), (larger,) = (latents_of(eager, request) for request in (request_, other))
    for request, expected in ((request_, alone), (other, larger), (request_, alone)):  # the third is not recorded anew
        (made,) = latents_of(graphed, request)
        assert torch.equal(made, expected), int((made != expected).sum())
    crowded = new_engine(model, execution="graphed", row_buckets=(BUCKET,))
    (solo,) = latents_of(new_engine(model, row_buckets=(BUCKET,)), request_)
    together = latents_of(crowded, *company(request_)[:3], request_, *company(request_)[3:])[3]
    assert torch.equal(together, solo), int((together != solo).sum())
    assert latents_of(graphed, *company(request_), request_)[0].isfinite().all()
    assert "cannot be recorded" not in caplog.text


def test_a_picture_equals_the_one_that_a_cpu_paints(device, request_, new_engine):
    painted = new_engine().submit(request_).future.result(300).images[0][0]
    on_cpu = new_engine(InpaintModel.load(InpaintArgs(device="cpu"))).submit(request_).future.result(300).images[0][0]
    apart = np.abs(painted.astype(int) - on_cpu.astype(int))
    assert apart.max() <= 2, f"{apart.max()} on {device}"


def test_cancelled_jobs_leave_nothing_in_memory(device, request_, new_engine, latents_of):
    stepping = threading.Event()
    engine = new_engine(on_step=lambda record: stepping.set() if record.rows == BUCKET else None)
    latents_of(engine, request_)
    gc.collect()
    before = torch.cuda.memory_allocated() if device == "cuda" else 0
    endless = request_.with_options(num_inference_steps=LONG, scheduler="ddim")
    jobs = [engine.submit(replace(endless, seeds=(seed,))) for seed in range(20)]
    assert stepping.wait(120)
    paintings = [weakref.ref(painting) for job in jobs for painting in job.paintings]
    for job in jobs:
        engine.cancel(job)
    latents_of(engine, request_)  # what comes next finds the engine free
    del jobs, job
    gc.collect()
    assert paintings
    assert [painting for painting in paintings if painting() is not None] == []
    if device == "cuda":
        torch.cuda.synchronize()
        assert torch.cuda.memory_allocated() - before <= 4 * MIB
