"""Against diffusers' own pipeline: the same seed must paint the same picture."""

import warnings

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel

from deployments.config import ModelArgs
from deployments.inpaint.model import Cancelled, InpaintModel
from deployments.messages import InpaintRequest
from pocket import tokenizer

SIDE = 32
SCHEDULERS = [
    DDIMScheduler,
    PNDMScheduler,
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    DPMSolverMultistepScheduler,
    UniPCMultistepScheduler,
    LCMScheduler,
]


def build_pipeline(unet_channels=9):
    """A Stable Diffusion inpainting pipeline with all its parts, tiny and random."""
    torch.manual_seed(0)
    words = tokenizer.build()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=words.model_max_length,
            eos_token_id=words.eos_token_id,
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.5,
    )
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=unet_channels,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionInpaintPipeline(
            vae=vae.eval(),
            text_encoder=text_encoder.eval(),
            tokenizer=words,
            unet=unet.eval(),
            scheduler=PNDMScheduler(beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def pipeline():
    return build_pipeline()


@pytest.fixture
def request_():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[8:26, 5:20] = True
    return InpaintRequest(image, mask, "a lemon", "blurry", (7,), 4, 5.0)


def stock(pipeline, request, seed, output_type="latent"):
    """What diffusers' own pipeline gives for one seed."""
    result = pipeline(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        image=Image.fromarray(request.image),
        mask_image=Image.fromarray(request.mask.astype(np.uint8) * 255),
        height=SIDE,
        width=SIDE,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(seed),
        output_type=output_type,
    )
    return result.images


def ours(model, request):
    *_, latents = model.denoise(*model.prepare(request), request.num_inference_steps)
    return latents


def close(latents, expected, tolerance=1e-4):
    """Within float32 noise, on the scale of the latents: a random UNet's are far larger than a real one's."""
    return (latents - expected).abs().max() <= tolerance * max(1.0, float(expected.std()))


def changed(request, **fields):
    names = InpaintRequest.__dataclass_fields__
    return InpaintRequest(**{name: getattr(request, name) for name in names} | fields)


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda cls: cls.__name__)
def test_latents_equal_the_stock_pipelines(pipeline, request_, scheduler):
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    model = InpaintModel(pipeline)
    expected = stock(pipeline, request_, 7)
    assert close(ours(model, request_), expected)
    assert not close(ours(model, changed(request_, seeds=(8,))), expected, 1e-2)


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 3.0])
def test_guidance_equals_the_stock_pipelines(pipeline, request_, guidance_scale):
    model = InpaintModel(pipeline)
    request = changed(request_, guidance_scale=guidance_scale)
    assert close(ours(model, request), stock(pipeline, request, 7))


def test_each_of_several_seeds_paints_what_it_paints_alone(pipeline, request_):
    pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(pipeline.scheduler.config)
    model = InpaintModel(pipeline)
    together = ours(model, changed(request_, seeds=(7, 8, 9)))
    for row, seed in zip(together, (7, 8, 9), strict=True):
        assert close(row[None], stock(pipeline, request_, seed))


def test_pictures_equal_the_stock_pipelines(pipeline, request_):
    model = InpaintModel(pipeline)
    expected = (stock(pipeline, request_, 7, "np") * 255).round()
    difference = np.abs(model.inpaint(request_).astype(int) - expected)
    assert difference.max() <= 1


def test_calls_leave_nothing_behind(pipeline, request_):
    pipeline.scheduler = PNDMScheduler.from_config(pipeline.scheduler.config)
    model = InpaintModel(pipeline)
    first = ours(model, request_)
    ours(model, changed(request_, num_inference_steps=7))
    assert torch.equal(ours(model, request_), first)


def test_a_crop_of_another_size_comes_back_in_its_own_size(pipeline, request_):
    image = np.zeros((90, 90, 3), np.uint8)
    image.setflags(write=False)
    mask = np.zeros((90, 90), bool)
    mask[20:60, 20:60] = True
    painted = InpaintModel(pipeline).inpaint(changed(request_, image=image, mask=mask, seeds=(1, 2)))
    assert painted.shape == (2, 90, 90, 3)
    assert painted.dtype == np.uint8


def test_a_cancelled_job_stops_between_two_steps(pipeline, request_):
    model = InpaintModel(pipeline)
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) == 2

    with pytest.raises(Cancelled):
        model.inpaint(changed(request_, num_inference_steps=50), cancelled)
    assert len(asked) == 2


def test_loading_what_was_saved(pipeline, request_, tmp_path):
    pipeline.save_pretrained(tmp_path)
    model = InpaintModel.load(ModelArgs(model=str(tmp_path)))
    assert model.size_px == SIDE
    assert close(ours(model, request_), stock(pipeline, request_, 7))


def test_a_missing_model_is_named_by_its_setting(tmp_path):
    with pytest.raises(ValueError, match=r"inpaint\.model: cannot load .*nowhere"):
        InpaintModel.load(ModelArgs(model=str(tmp_path / "nowhere")))


def test_a_text_to_image_checkpoint_is_refused(tmp_path):
    build_pipeline(unet_channels=4).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"inpaint\.model: the UNet .* takes 4 channels"):
        InpaintModel.load(ModelArgs(model=str(tmp_path)))


def test_weights_that_are_no_safetensors_are_not_even_opened(tmp_path):
    build_pipeline().save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ValueError, match="safetensors"):
        InpaintModel.load(ModelArgs(model=str(tmp_path)))
