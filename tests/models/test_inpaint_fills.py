"""What the first latents show in the mask: as diffusers' own parts give it, and where its pipeline gets from there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image

from deployments.inpaint.canvas import smeared
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.schedulers import CLASSES, named
from deployments.messages import Square

SCHEDULERS = sorted(CLASSES)
SIDE = 32


@pytest.fixture(params=["epsilon", "v_prediction"])
def any_pipeline(new_pipeline, request):
    pipeline = new_pipeline()
    if request.param == "v_prediction":
        pipeline.scheduler = DDIMScheduler.from_config(
            pipeline.scheduler.config, prediction_type="v_prediction", clip_sample=False
        )
    return pipeline


@torch.no_grad()
def first_latents(pipeline, request, picture):
    """The stock pipeline's parts: the encoded picture, what noises it for the first step, the generator after that."""
    generator = torch.Generator().manual_seed(request.seeds[0])
    pixels = pipeline.image_processor.preprocess(Image.fromarray(picture), height=SIDE, width=SIDE)
    encoded = pipeline._encode_vae_image(pixels.to(pipeline.device), generator).cpu()
    noise = torch.randn(encoded.shape, generator=generator)
    scheduler = named(pipeline.scheduler, request.options.scheduler)
    scheduler.set_timesteps(request.options.num_inference_steps)
    first = request.options.num_inference_steps - int(request.options.num_inference_steps * request.options.strength)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first * scheduler.order)
    timestep = scheduler.timesteps[first * scheduler.order][None]
    return encoded, (lambda latents: scheduler.add_noise(latents, noise, timestep)), generator


def stock_from(pipeline, request, latents, generator):
    """The stock pipeline's final latents, started from these."""
    pipeline.scheduler = named(pipeline.scheduler, request.options.scheduler)
    pipeline.scheduler.set_timesteps(request.options.num_inference_steps)
    return pipeline(
        prompt=request.prompt,
        negative_prompt=request.options.negative_prompt,
        image=Image.fromarray(request.squares[0].image),
        mask_image=Image.fromarray(request.squares[0].mask.astype(np.uint8) * 255),
        height=SIDE,
        width=SIDE,
        num_inference_steps=request.options.num_inference_steps,
        guidance_scale=request.options.guidance_scale,
        latents=latents / pipeline.scheduler.init_noise_sigma,
        generator=generator,
        output_type="latent",
    ).images


@pytest.mark.parametrize("fill", ["original", "blur"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_at_full_strength_a_picture_is_noised_as_far_as_the_first_step(
    any_pipeline, close, request_, latents_of, scheduler, fill
):
    request = request_.with_options(scheduler=scheduler, fill=fill, num_inference_steps=5)
    model = InpaintModel(any_pipeline)
    picture = smeared(request.squares[0].image, request.squares[0].mask) if fill == "blur" else request.squares[0].image
    encoded, noised, generator = first_latents(any_pipeline, request, picture)
    start = noised(encoded)
    assert close(model.prepare(request)[0].latents.cpu(), start)
    assert close(latents_of(model, request), stock_from(any_pipeline, request, start, generator))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_below_it_a_smeared_picture_is_a_picture_like_any_other(
    any_pipeline, stock, close, request_, latents_of, scheduler
):
    request = request_.with_options(scheduler=scheduler, fill="blur", num_inference_steps=6, strength=0.6)
    ours = latents_of(InpaintModel(any_pipeline), request)
    any_pipeline.scheduler = named(any_pipeline.scheduler, scheduler)
    (square,) = request.squares
    drawn = Square(smeared(square.image, square.mask), square.mask)
    as_drawn = replace(request, squares=(drawn,)).with_options(fill=None)
    assert close(ours, stock(any_pipeline, as_drawn))
    assert not close(ours, stock(any_pipeline, request.with_options(fill=None)), 1e-2)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_below_it_noise_stands_for_what_was_in_the_mask(any_pipeline, close, request_, scheduler):
    request = request_.with_options(scheduler=scheduler, fill="noise", num_inference_steps=6, strength=0.6)
    (painting,) = InpaintModel(any_pipeline).prepare(request)
    encoded, noised, generator = first_latents(any_pipeline, request, request.squares[0].image)
    masked = Image.fromarray(np.where(request.squares[0].mask[..., None], np.uint8(0), request.squares[0].image))
    pixels = any_pipeline.image_processor.preprocess(masked, height=SIDE, width=SIDE)
    pixels[..., torch.from_numpy(request.squares[0].mask)] = 0  # mid-grey, as the UNet was trained
    with torch.no_grad():
        masked_latents = any_pipeline._encode_vae_image(pixels.to(any_pipeline.device), generator)
    assert close(painting.masked_latents, masked_latents)
    hole = torch.randn(encoded.shape, generator=generator)
    inside = torch.from_numpy(request.squares[0].mask[::2, ::2])
    assert close(painting.latents.cpu(), noised(torch.where(inside, hole, encoded)))


@pytest.mark.parametrize(("strength", "fill"), [(1.0, "noise"), (0.6, "original")])
def test_nothing_said_is_what_the_stock_pipeline_does(pipeline, request_, strength, fill):
    request = request_.with_options(strength=strength, scheduler="ddim")
    model = InpaintModel(pipeline)
    unsaid, said = model.prepare(request)[0], model.prepare(request.with_options(fill=fill))[0]
    assert torch.equal(unsaid.latents, said.latents)
    assert torch.equal(unsaid.masked_latents, said.masked_latents)
    others = {"noise", "original", "blur"} - {fill}
    for other in others:
        assert not torch.equal(unsaid.latents, model.prepare(request.with_options(fill=other))[0].latents)


@pytest.mark.parametrize(("fill", "matters"), [("original", True), ("blur", False)])
@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_a_blur_hides_what_was_there(pipeline, request_, strength, fill, matters):
    request = request_.with_options(strength=strength, fill=fill, scheduler="ddim", num_inference_steps=6)
    (square,) = request.squares
    other = square.image.copy()
    other[square.mask] = 255 - other[square.mask]
    model = InpaintModel(pipeline)
    before, after = (
        model.prepare(request)[0].latents,
        model.prepare(replace(request, squares=(Square(other, square.mask),)))[0].latents,
    )
    assert torch.equal(before, after) != matters


def test_each_seed_is_noised_for_itself(pipeline, request_):
    model = InpaintModel(pipeline)
    for fill in ("noise", "original", "blur"):
        request = replace(request_, seeds=(7, 8)).with_options(
            fill=fill, strength=0.8, num_inference_steps=5, scheduler="euler"
        )
        first, second = model.prepare(request)
        assert not torch.equal(first.latents, second.latents)
        assert torch.equal(second.latents, model.prepare(replace(request, seeds=(8,)))[0].latents)


def test_with_nothing_around_it_a_mask_is_smeared_with_one_colour():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    flat = smeared(image, np.ones((16, 16), bool))
    assert (flat == np.round(image.mean(axis=(0, 1)))).all()
