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
    model.prepare(replace(request_, **{param: "lemon " * 30}))
    with pytest.raises(InvalidInput) as refused:
        model.prepare(replace(request_, **{param: "lemon " * 31}))
    assert refused.value.param == param
    assert refused.value.message == (
        f"{param} must have at most 30 tokens, as the painter reads no more at once: there are 31."
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"scheduler": "magic"}, "scheduler"),
        ({"strength": 0.1}, "strength"),
        ({"scheduler": "lcm", "num_inference_steps": 60}, "num_inference_steps"),
        ({"model_px": 33}, "model_px"),
        ({"model_px": 32 * 64}, "model_px"),
        ({"model_px": -4}, "model_px"),
    ],
)
def test_what_cannot_be_painted_is_refused_by_its_field(pipeline, request_, fields, param):
    with pytest.raises(InvalidInput) as refused:
        InpaintModel(pipeline).prepare(replace(request_, **fields))
    assert refused.value.param == param
