"""Loading a checkpoint, and what happens to a picture before and after the steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deployments.config import InpaintArgs
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


def test_loading_what_was_saved(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    model = InpaintModel.load(InpaintArgs(model=str(tmp_path)))
    assert model.native_px == 32
    for ours, theirs in zip(model.unet.parameters(), pipeline.unet.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_missing_model_is_named_by_its_setting(tmp_path):
    with pytest.raises(ValueError, match=r"inpaint\.model: cannot load .*nowhere"):
        InpaintModel.load(InpaintArgs(model=str(tmp_path / "nowhere")))


def test_a_text_to_image_checkpoint_is_refused(new_pipeline, tmp_path):
    new_pipeline(unet_channels=4).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"inpaint\.model: the UNet .* takes 4 channels"):
        InpaintModel.load(InpaintArgs(model=str(tmp_path)))


def test_weights_that_are_no_safetensors_are_not_even_opened(new_pipeline, tmp_path):
    new_pipeline().save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ValueError, match="safetensors"):
        InpaintModel.load(InpaintArgs(model=str(tmp_path)))


def test_a_lora_is_fused_into_the_weights(new_pipeline, stock, close, request_, tmp_path, latents_of):
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline = new_pipeline()
    pipeline.save_pretrained(tmp_path / "model")
    torch.manual_seed(1)
    pipeline.unet.add_adapter(
        LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v", "conv1"])
    )
    pipeline.save_lora_weights(tmp_path / "lora", get_peft_model_state_dict(pipeline.unet))
    expected = stock(pipeline, request_)
    args = InpaintArgs(model=str(tmp_path / "model"), lora=str(tmp_path / "lora"))
    assert close(latents_of(InpaintModel.load(args), request_), expected)
    plain = InpaintModel.load(InpaintArgs(model=str(tmp_path / "model")))
    assert not close(latents_of(plain, request_), expected, 1e-2)


def test_a_lora_that_is_none_is_named_by_its_setting(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"inpaint\.lora: cannot load .*nowhere"):
        InpaintModel.load(InpaintArgs(model=str(tmp_path), lora=str(tmp_path / "nowhere")))
