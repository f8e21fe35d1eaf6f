"""The OpenAI SDK, unchanged, against a real server."""

import base64
import io

import numpy as np
import openai
import pytest
from PIL import Image

from deployments.errors import ModelFailed, Overloaded


@pytest.fixture
def sdk(server):
    with openai.OpenAI(api_key="any", base_url=f"{server}/v1", max_retries=0, timeout=60) as client:
        yield client


def test_edit(sdk, driver, picture, opened):
    result = sdk.images.edit(
        model="retouch",
        image=picture,
        prompt="a lemon",
        n=2,
        size="auto",
        quality="low",
        background="opaque",
        input_fidelity="high",
        response_format="b64_json",
        user="team-7",
        extra_body={"target": "the apple", "seed": 40, "guidance_scale": 3.5, "negative_prompt": "blur"},
    )
    assert len(result.data) == 2
    assert result.data[0].seed == 41
    assert result.data[0].score["after"] == 0.25
    assert tuple(opened(base64.b64decode(result.data[0].b64_json))[20, 30]) == (41, 0, 7)
    assert (result.size, result.quality, result.output_format, result.background) == ("96x64", "low", "png", "opaque")
    assert (result.target, result.point, result.changed_outside_px) == ("the apple", [32, 21], 0)
    assert result._request_id
    request = driver.requests[0]
    assert (request.guidance_scale, request.negative_prompt, request.num_inference_steps) == (3.5, "blur", 10)


@pytest.mark.parametrize("shape", ["bytes", "list", "file", "tuple"])
def test_ways_to_send_a_picture(sdk, picture, shape):
    image = {
        "bytes": picture,
        "list": [picture],
        "file": io.BytesIO(picture),
        "tuple": ("photo.txt", picture, "text/plain"),
    }[shape]
    assert sdk.images.edit(image=image, prompt="a lemon").data[0].b64_json


def test_output_format(sdk, picture):
    result = sdk.images.edit(image=picture, prompt="x", output_format="webp", output_compression=40)
    assert base64.b64decode(result.data[0].b64_json)[8:12] == b"WEBP"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"extra_body": {"steps": 5}}, "steps"),
        ({"extra_body": {"point": [3, 4]}}, "point[]"),
        ({"extra_body": {"look": {"name": "x"}}}, "look[name]"),
        ({"partial_images": 2}, "partial_images"),
        ({"size": "1024x1024"}, "size"),
        ({"n": 11}, "n"),
        ({"extra_body": {"points": [[3, 4, 5]]}}, "points"),
        ({"extra_body": {"points": [{"x": 3, "y": 4}]}}, "points[][x]"),
        ({"extra_body": {"points": "nan,4"}}, "points"),
        ({"extra_body": {"points": [[96, 4]]}}, "points"),
        ({"extra_body": {"mode": "remove"}}, "prompt"),
        ({"extra_body": {"dilation": 2}}, "dilation"),
        ({"image": [b"a", b"b"]}, "image"),
    ],
    ids=str,
)
def test_refusals_name_the_field(sdk, picture, options, param):
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.images.edit(**({"image": picture, "prompt": "a lemon"} | options))
    assert refused.value.param == param
    assert refused.value.code in ("invalid_value", "unknown_parameter")
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id


def test_mask_and_points(sdk, driver, picture, opened, tmp_path):
    clear = np.full((64, 96, 4), 255, np.uint8)
    clear[8:24, 10:50, 3] = 0
    path = tmp_path / "mask.png"
    Image.fromarray(clear).save(path)
    with path.open("rb") as mask:
        result = sdk.images.edit(image=picture, mask=mask, prompt="a lemon", extra_body={"dilation": 0.0})
    np.testing.assert_array_equal(driver.requests[0].mask, clear[..., 3] == 0)
    assert opened(base64.b64decode(result.mask_b64))[8:24, 10:50].all()
    assert result.candidates[0]["source"] == "mask"
    assert driver.requests[0].dilation == 0


@pytest.mark.parametrize(
    "pointers",
    [
        {"points": "30,20; 5,6", "labels": "1,0", "box": "24,16,48,32"},
        {"points": [(30, 20), (5, 6)], "labels": [1, 0], "box": [24, 16, 48, 32]},
        {"points": ["30,20", "5,6"], "labels": (1, 0), "box": (24, 16, 48, 32)},
        {"points": [30, 20, 5, 6], "labels": [True, False], "box": ["24,16", "48,32"]},
        {"points": np.array([[30, 20], [5, 6]]).tolist(), "labels": [1.0, 0.0], "box": [24.0, 16.0, 48.0, 32.0]},
        {"points": "[[30, 20], [5, 6]]", "labels": "[1, 0]", "box": "[24, 16, 48, 32]"},
    ],
    ids=["texts", "lists", "tuples", "row", "floats", "json"],
)
def test_points_and_boxes(sdk, driver, picture, pointers):
    extra = {"fill": "blur", "mask_shape": "box", "min_score": 0.2} | pointers
    result = sdk.images.edit(image=picture, prompt="a lemon", extra_body=extra)
    request = driver.requests[0]
    assert (request.points, request.labels) == (((30, 20), (5, 6)), (1, 0))
    assert request.box == (24, 16, 48, 32)
    assert (request.fill, request.mask_shape, request.min_score) == ("blur", "box", 0.2)
    assert (result.point, result.improved, result.chosen, result.method) == ([30, 20], True, 0, "diffusion")


def test_removal(sdk, driver, picture):
    result = sdk.images.edit(image=picture, prompt="", extra_body={"mode": "remove", "target": "the apple"})
    assert driver.requests[0].mode == "remove"
    assert (result.method, result.data[0].seed) == ("classical fill", None)


def test_errors_carry_the_best_guess(sdk, picture):
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        sdk.images.edit(image=picture, prompt="a unicorn")
    assert (refused.value.code, refused.value.param) == ("target_not_found", "target")
    location = refused.value.response.json()["location"]
    assert (location["found"], location["point"], len(location["candidates"])) == (False, [32, 21], 2)


def test_held_back_pictures_are_not_asked_for_again(sdk, driver, picture):
    driver.unsafe_seeds = (40,)
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.with_options(max_retries=2).images.edit(image=picture, prompt="x", extra_body={"seed": 40})
    assert (refused.value.code, refused.value.param) == ("moderation_blocked", "prompt")
    assert refused.value.body["moderation_details"] == {"moderation_stage": "output", "categories": []}
    assert len(driver.requests) == 1


def test_unknown_model(sdk, picture):
    with pytest.raises(openai.NotFoundError) as refused:
        sdk.images.edit(model="dall-e-2", image=picture, prompt="x")
    assert refused.value.code == "model_not_found"


def test_picture_far_over_the_limit(sdk, picture):
    with pytest.raises(openai.APIStatusError) as refused:
        sdk.images.edit(image=picture + bytes(5_000_000), prompt="x")
    assert (refused.value.status_code, refused.value.code) == (413, "image_too_large")
    assert sdk.images.edit(image=picture, prompt="x").data


def test_overload_is_retried_as_told(sdk, driver, picture):
    driver.failures = [Overloaded(retry_after_s=0.01), Overloaded(retry_after_s=0.01)]
    assert sdk.with_options(max_retries=2).images.edit(image=picture, prompt="x").data
    assert len(driver.requests) == 3
    driver.failures = [Overloaded()]
    with pytest.raises(openai.RateLimitError) as refused:
        sdk.images.edit(image=picture, prompt="x")
    assert refused.value.response.headers["retry-after"] == "1"


def test_failed_model_is_not_retried(sdk, driver, picture):
    driver.failures = [ModelFailed("The stage `inpaint` failed.")] * 3
    with pytest.raises(openai.InternalServerError) as refused:
        sdk.with_options(max_retries=2).images.edit(image=picture, prompt="x")
    assert refused.value.code == "model_failed"
    assert len(driver.requests) == 1


def test_models(sdk):
    assert [model.id for model in sdk.models.list()] == ["retouch"]
    assert sdk.models.retrieve("retouch").owned_by == "retouch"
    assert sdk.models.retrieve("gpt-image-2.6-flare").id == "gpt-image-2.6-flare"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("dall-e-2")
