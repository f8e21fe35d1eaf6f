"""What happens to a picture before and after the steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deployments.errors import InvalidInput, ModelFailed
from deployments.inpaint.model import InpaintModel


def test_a_crop_of_another_size_comes_back_in_its_own_size(pipeline):
    model = InpaintModel(pipeline)
    picture = model.decode(torch.zeros(1, 4, 16, 16), 90)
    assert picture.shape == (90, 90, 3)
    assert picture.dtype == np.uint8


def test_numbers_that_no_picture_has_are_an_error_and_no_black_picture(pipeline):
    with pytest.raises(ModelFailed):
        InpaintModel(pipeline).decode(torch.full((1, 4, 16, 16), float("nan")), 32)


def test_the_same_text_is_encoded_once(pipeline, request_, monkeypatch):
    model = InpaintModel(pipeline)
    asked = []
    encode = model._encode_text
    monkeypatch.setattr(model, "_encode_text", lambda text: asked.append(text) or encode(text))
    first, again = model.prepare(request_), model.prepare(replace(request_, seeds=(8, 9)))
    assert sorted(asked) == ["a lemon", "blurry"]
    assert torch.equal(first[0].text, again[1].text)
    model.prepare(replace(request_, prompt="a pear"))
    assert sorted(asked) == ["a lemon", "a pear", "blurry"]


@pytest.mark.parametrize("param", ["prompt", "negative_prompt"])
def test_a_text_is_read_to_its_end_or_refused(pipeline, request_, param):
    """The tokenizer reads 32 tokens, two of which mark start and end."""
    model = InpaintModel(pipeline)

    def prepare(text):
        is_prompt = param == "prompt"
        model.prepare(replace(request_, prompt=text) if is_prompt else request_.with_options(negative_prompt=text))

    prepare("lemon " * 30)
    with pytest.raises(InvalidInput) as refused:
        prepare("lemon " * 31)
    assert refused.value.param == param
    assert refused.value.message == (
        f"`{param}` must have at most 30 tokens, as the painter reads no more at once: there are 31."
    )


@pytest.mark.parametrize(
    ("options", "model_px", "param"),
    [
        ({"scheduler": "magic"}, None, "scheduler"),
        ({"strength": 0.1}, None, "strength"),
        ({"scheduler": "lcm", "num_inference_steps": 60}, None, "num_inference_steps"),
        ({"num_inference_steps": None}, None, "num_inference_steps"),
        ({}, 33, "model_px"),
        ({}, 32 * 64, "model_px"),
        ({}, -4, "model_px"),
    ],
)
def test_what_cannot_be_painted_is_refused_by_its_field(pipeline, request_, options, model_px, param):
    with pytest.raises(InvalidInput) as refused:
        InpaintModel(pipeline).prepare(replace(request_, model_px=model_px).with_options(**options))
    assert refused.value.param == param
