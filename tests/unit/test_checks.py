import numpy as np
import pytest

from deployments.checks import complete_edit, complete_locate, complete_score
from deployments.config import DriverSettings, Limits
from deployments.errors import ImageTooLarge, InvalidImage, InvalidInput
from deployments.messages import EditRequest, LocateRequest, ScoreRequest

IMAGE = np.zeros((64, 48, 3), np.uint8)
SETTINGS = DriverSettings(limits=Limits(max_prompt_chars=20, max_images=4, max_side_px=100, max_pixels=8000))


def edit(**fields):
    return complete_edit(EditRequest(**{"image": IMAGE, "prompt": "a lemon", **fields}), SETTINGS)


def test_defaults_are_filled_in():
    request = edit(prompt="  a lemon ")
    assert request.prompt == "a lemon"
    assert request.num_inference_steps == SETTINGS.num_inference_steps
    assert request.guidance_scale == SETTINGS.guidance_scale
    assert request.target == "a lemon"  # without a target, the prompt says what to find
    assert 0 <= request.seeds[0] < 2**53
    assert (request.strength, request.scheduler) == (1.0, None)
    assert edit().seeds != edit().seeds


def test_what_is_given_is_kept():
    request = edit(target="x", seed=5, num_inference_steps=3, guidance_scale=0.0, n=2, negative_prompt="blurry")
    assert (request.target, request.seeds, request.num_inference_steps) == ("x", (5, 6), 3)
    assert (request.guidance_scale, request.negative_prompt) == (0.0, "blurry")
    request = edit(strength=0.01, scheduler="euler")
    assert (request.strength, request.scheduler) == (0.01, "euler")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", " \n"),
        ("prompt", None),
        ("prompt", "x" * 21),
        ("target", ""),
        ("target", 7),
        ("negative_prompt", "x" * 21),
        ("negative_prompt", None),
        ("n", 0),
        ("n", 5),
        ("n", True),
        ("n", 1.0),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", "7"),
        ("num_inference_steps", 0),
        ("num_inference_steps", 10**9),
        ("guidance_scale", float("nan")),
        ("guidance_scale", float("inf")),
        ("guidance_scale", -0.1),
        ("guidance_scale", "7"),
        ("strength", 0),
        ("strength", 1.5),
        ("strength", float("nan")),
        ("strength", "x"),
        ("scheduler", "magic"),
        ("image", IMAGE[..., 0]),
        ("image", IMAGE.astype(np.float32)),
        ("image", "photo.png"),
        ("image", IMAGE[:1]),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field, value):
    with pytest.raises(InvalidInput) as caught:
        edit(**{field: value})
    assert caught.value.param == field
    assert field in caught.value.message


@pytest.mark.parametrize("shape", [(101, 20, 3), (99, 99, 3)])
def test_a_large_picture_is_too_large(shape):
    with pytest.raises(ImageTooLarge):
        edit(image=np.zeros(shape, np.uint8))


def test_locate_and_score_check_theirs():
    assert complete_locate(LocateRequest(IMAGE, " cat "), SETTINGS).target == "cat"
    assert complete_score(ScoreRequest(IMAGE, " cat "), SETTINGS).text == "cat"
    with pytest.raises(InvalidInput, match="target"):
        complete_locate(LocateRequest(IMAGE, ""), SETTINGS)
    with pytest.raises(InvalidInput, match="text"):
        complete_score(ScoreRequest(IMAGE, ""), SETTINGS)
    with pytest.raises(InvalidImage):
        complete_score(ScoreRequest(IMAGE[:, :2], "cat"), SETTINGS)
