"""What suits a model is the model's own word: the file beside its weights."""

import json
from dataclasses import replace

import pytest
import torch

from deployments.config import InpaintArgs
from deployments.errors import InvalidInput, SettingError
from deployments.inpaint import defaults
from deployments.inpaint.defaults import PaintingDefaults
from deployments.inpaint.engine import InpaintEngine
from deployments.inpaint.model import InpaintModel


@pytest.mark.parametrize(("scale", "asked", "is_refused"), [(1.0, None, True), (1.0, 3.0, False), (3.0, 1.0, True)])
def test_a_negative_prompt_needs_guidance_also_if_that_is_the_models_own(pipeline, request_, scale, asked, is_refused):
    model = InpaintModel(pipeline, painting_defaults=PaintingDefaults(guidance_scale=scale))
    request = request_.with_options(negative_prompt="blurry", guidance_scale=asked)
    if is_refused:
        with pytest.raises(InvalidInput, match="`guidance_scale` is above 1, and it is 1") as refused:
            model.prepare(request)
        assert refused.value.param == "negative_prompt"
    else:
        model.prepare(request)
    model.prepare(request.with_options(negative_prompt=""))


def test_the_pocket_painter_states_its_own_guidance(request_):
    model = InpaintModel.load(InpaintArgs())
    (painting,) = model.prepare(replace(request_, seeds=(1,)).with_options(guidance_scale=None))
    assert painting.guidance_scale == 1.5


def test_a_model_without_the_file_takes_what_stable_diffusion_takes(pipeline, request_):
    (painting,) = InpaintModel(pipeline).prepare(replace(request_, seeds=(1,)).with_options(guidance_scale=None))
    assert painting.guidance_scale == 7.5


@pytest.mark.parametrize(("asked", "used", "rows"), [(None, 2.5, 2), (4.0, 4.0, 2), (0.0, 0.0, 1)])
def test_the_request_goes_before_the_model_and_the_answer_says_what_was_used(
    new_pipeline, request_, tmp_path, asked, used, rows
):
    new_pipeline().save_pretrained(tmp_path)
    (tmp_path / defaults.FILE).write_text('{"guidance_scale": 2.5}')
    model = InpaintModel.load(InpaintArgs(model=str(tmp_path)))
    request = replace(request_, seeds=(1,)).with_options(
        negative_prompt="", guidance_scale=asked, num_inference_steps=2
    )
    assert model.prepare(request)[0].rows == rows
    engine = InpaintEngine(model)
    try:
        assert engine.submit(request).future.result(60).guidance_scale == used
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"guidance_scale": -1}', "guidance_scale: Input should be greater"),
        ('{"removal_prompt": null}', "removal_prompt: Input should be a valid string"),
        ('{"guidance": 3}', "guidance: Extra inputs"),
        ("{", "the file: Invalid JSON"),
    ],
)
def test_a_wrong_file_names_the_setting(tmp_path, text, words):
    (tmp_path / defaults.FILE).write_text(text)
    with pytest.raises(SettingError, match=words) as caught:
        defaults.read(tmp_path)
    assert caught.value.setting == "inpaint.model"
    assert str(tmp_path) not in str(caught.value)


def test_a_request_without_a_prompt_is_painted_in_the_models_own_words(pipeline, request_, latents_of):
    removal = replace(request_, prompt=None)
    own, plain = (
        InpaintModel(pipeline, painting_defaults=suits)
        for suits in (PaintingDefaults(removal_prompt="bare ground"), PaintingDefaults())
    )
    assert torch.equal(latents_of(own, removal), latents_of(own, replace(request_, prompt="bare ground")))
    assert torch.equal(latents_of(plain, removal), latents_of(plain, replace(request_, prompt="background")))
    assert not torch.equal(latents_of(own, removal), latents_of(plain, removal))


def test_an_empty_prompt_is_not_the_models_own(pipeline, request_, latents_of):
    model = InpaintModel(pipeline, painting_defaults=PaintingDefaults(removal_prompt="bare ground"))
    empty = latents_of(model, replace(request_, prompt=""))
    assert not torch.equal(empty, latents_of(model, replace(request_, prompt=None)))


def test_a_file_may_have_no_words_for_a_removal_but_none_that_are_not_read(new_pipeline, tmp_path):
    new_pipeline().save_pretrained(tmp_path)
    args = InpaintArgs(model=str(tmp_path))
    (tmp_path / defaults.FILE).write_text('{"removal_prompt": ""}')
    assert InpaintModel.load(args).defaults.removal_prompt == ""
    (tmp_path / defaults.FILE).write_text(json.dumps({"removal_prompt": "bare " * 200}))
    with pytest.raises(
        SettingError,
        match=r"retouch\.json beside the model is wrong: `removal_prompt` must have at most 30 tokens",
    ) as error:
        InpaintModel.load(args)
    assert error.value.setting == "inpaint.model"
