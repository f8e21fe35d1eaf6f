import numpy as np
import pytest

from deployments.config import DriverSettings
from deployments.driver.jobs import complete_edit, complete_locate, complete_score
from deployments.errors import ImageTooLarge, InvalidImage, InvalidInput
from deployments.limits import Limits
from deployments.messages import EditRequest, LocateRequest, ScoreRequest

IMAGE = np.zeros((64, 48, 3), np.uint8)
MASK = np.zeros((64, 48), bool)
MASK[10:20, 10:20] = True
SETTINGS = DriverSettings(limits=Limits(max_prompt_chars=24, max_images=4, max_side_px=100, max_pixels=8000))


def edit(**fields):
    return complete_edit(EditRequest(**{"image": IMAGE, "prompt": "a lemon", **fields}), SETTINGS)


def test_defaults_are_filled_in():
    request = edit(prompt="  a lemon ")
    assert request.prompt == "a lemon"
    assert request.options.num_inference_steps == SETTINGS.num_inference_steps
    assert request.options.guidance_scale == SETTINGS.guidance_scale
    assert request.where.target == "lemon"  # without a target, the prompt says what to find
    assert request.where.wordings[0].phrase == "lemon"
    assert (request.mode, request.candidate, request.options.fill, request.min_score) == ("replace", 0, None, None)
    assert (request.mask_shape, request.dilation) == (SETTINGS.painting.mask_shape, SETTINGS.painting.dilation)
    assert 0 <= request.seeds[0] < 2**53
    assert (request.options.strength, request.options.scheduler) == (1.0, None)
    assert edit().seeds != edit().seeds


def test_what_is_given_is_kept():
    request = edit(target="x", seed=5, num_inference_steps=3, guidance_scale=1.5, n=2, negative_prompt="blurry")
    assert (request.where.target, request.seeds, request.options.num_inference_steps) == ("x", (5, 6), 3)
    assert (request.options.guidance_scale, request.options.negative_prompt) == (1.5, "blurry")
    assert edit(guidance_scale=0.0).options.guidance_scale == 0.0
    request = edit(strength=0.01, scheduler="euler", fill="blur", mask_shape="box", dilation=0.5, candidate=3)
    assert (request.options.strength, request.options.scheduler, request.options.fill) == (0.01, "euler", "blur")
    assert (request.mask_shape, request.dilation, request.candidate) == ("box", 0.5, 3)


def test_an_instruction_says_what_to_find_and_what_to_paint():
    request = edit(prompt="swap the cat for a dog")
    assert (request.where.target, request.prompt) == ("cat", "a dog")
    # With a target of its own a prompt is what to paint, word by word.
    request = edit(prompt="swap the cat for a dog", target="the bird")
    assert (request.where.target, request.prompt) == ("the bird", "swap the cat for a dog")


def test_a_prompt_that_asks_to_remove_something_is_a_removal():
    request = edit(prompt="remove the dog")
    assert (request.mode, request.prompt, request.where.target) == ("remove", None, "dog")
    assert request.where.wordings[0].phrase == "dog"
    with pytest.raises(InvalidInput, match="seed"):
        edit(prompt="remove the dog", seed=3)


@pytest.mark.parametrize("scale", [0, 0.5, 1])
def test_a_negative_prompt_needs_guidance_to_act(scale):
    refusal = f"`negative_prompt` acts only where `guidance_scale` is above 1, and it is {scale:g}."
    with pytest.raises(InvalidInput) as caught:
        edit(negative_prompt="blurry", guidance_scale=scale)
    assert (caught.value.message, caught.value.param) == (refusal, "negative_prompt")
    with pytest.raises(InvalidInput) as caught:  # also where the service's own setting says it
        complete_edit(EditRequest(IMAGE, "x", negative_prompt="blurry"), DriverSettings(guidance_scale=scale))
    assert caught.value.param == "negative_prompt"
    assert edit(negative_prompt=" ", guidance_scale=scale).options.negative_prompt == ""
    assert edit(negative_prompt="blurry", guidance_scale=None).options.guidance_scale is None  # the model knows its own


def test_what_is_looked_for_comes_from_a_field_that_was_sent():
    assert edit(target="x").where.param == "target"
    assert edit().where.param == "prompt"
    assert edit(prompt="remove the dog").where.param == "prompt"
    assert edit(mode="remove", prompt="", target="x").where.param == "target"


def test_points_and_boxes_take_the_place_of_words():
    request = edit(points=((3, 4), (5, 6)), labels=(1, 0), box=(0, 0, 48, 64)).where
    assert (request.points, request.labels, request.box) == (((3, 4), (5, 6)), (1, 0), (0, 0, 48, 64))
    assert request.wordings == ()
    assert edit(points=((3, 4),)).where.labels == (1,)
    assert complete_locate(LocateRequest(IMAGE, points=((1, 1),)), SETTINGS).wordings == ()
    assert edit(points=((9, 9),), labels=(0,), box=(0, 0, 9, 9)).where.pointed  # what is not on it may be beside it
    # Beside them the target says what has to lie there.
    request = edit(points=((3, 4),), target="the cup").where
    assert (request.pointed, request.target, request.wordings[0].phrase) == (True, "the cup", "cup")
    assert not edit(target="the cup").where.pointed


def test_a_mask_is_meant_as_it_is_unless_said_otherwise():
    request = edit(mask=MASK)
    assert (request.mask_shape, request.dilation) == ("silhouette", 0.0)
    assert edit(mask=MASK, dilation=0.2).dilation == 0.2
    assert edit(mask=MASK, mask_shape="hull").mask_shape == "hull"


def test_several_things_can_be_avoided():
    assert edit(target="x", avoid="the dog, a cat ,").where.avoid == ("the dog", "a cat")


def test_a_removal_needs_no_prompt_and_takes_nothing_that_only_a_painter_heeds():
    request = edit(mode="remove", prompt="", target="x")
    assert (request.prompt, request.seeds, request.scored) == (None, (), "x")
    assert edit(mode="remove", prompt="", mask=MASK).scored is None
    painters = {
        **{"prompt": "a lemon", "negative_prompt": "x", "n": 2, "seed": 1, "num_inference_steps": 3},
        **{"guidance_scale": 2.0, "strength": 0.5, "fill": "blur", "scheduler": "euler", "min_score": 0.1},
    }
    for field, value in painters.items():
        with pytest.raises(InvalidInput) as caught:
            edit(**{"mode": "remove", "prompt": "", "target": "x", field: value})
        assert caught.value.param == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", " \n"),
        ("prompt", None),
        ("prompt", "x" * 25),
        ("target", ""),
        ("target", 7),
        ("negative_prompt", "x" * 25),
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
        ("mode", "erase"),
        ("avoid", None),
        ("avoid", "x" * 25),
        ("points", ((48, 0),)),
        ("points", ((0, -1),)),
        ("points", ((0, 1, 2),)),
        ("points", ((0.5, 1),)),
        ("points", ((1, 1),) * 65),
        ("box", (0, 0, 0, 10)),
        ("box", (0, 0, 49, 10)),
        ("box", (0, 0, 10)),
        ("mask", np.zeros((64, 48), bool)),
        ("mask", np.ones((64, 47), bool)),
        ("mask", np.ones((64, 48))),
        ("candidate", -1),
        ("candidate", 32),
        ("mask_shape", "star"),
        ("dilation", 1.5),
        ("dilation", -0.1),
        ("fill", "green"),
        ("min_score", 1.5),
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


@pytest.mark.parametrize("param", ["prompt", "negative_prompt", "target", "avoid"])
def test_weights_and_loras_in_a_text_are_refused(param):
    with pytest.raises(InvalidInput) as caught:
        edit(**{param: "a cat, (lemon:1.6)"})
    assert caught.value.param == param
    assert caught.value.message == (
        f"`{param}` must be plain words: weights and LoRAs in a text, as in '(lemon:1.6)', are not understood. "
        "Put words that the picture is to show in quotation marks."
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"points": ((1, 1),), "labels": (1, 0)}, "labels"),
        ({"points": ((1, 1),), "labels": (2,)}, "labels"),
        ({"points": ((1, 1),), "labels": (0,)}, "labels"),
        ({"labels": (1,)}, "labels"),
        ({"points": ((1, 1), (2, 2), (1, 1)), "labels": (1, 1, 0)}, "labels"),
        ({"points": ((1, 1), (9, 4)), "box": (0, 0, 9, 9)}, "points"),
        ({"points": ((4, 9),), "box": (0, 0, 9, 9)}, "points"),
        ({"points": ((1, 1),), "target": "the left cup"}, "target"),
        ({"box": (0, 0, 9, 9), "target": "the largest cup"}, "target"),
        ({"mask": MASK, "target": "the cup next to the dog"}, "target"),
        ({"points": ((1, 1),), "avoid": "x"}, "avoid"),
        ({"mask": MASK, "points": ((1, 1),)}, "points"),
        ({"mask": MASK, "box": (0, 0, 9, 9)}, "box"),
        ({"mask": MASK, "candidate": 0}, "candidate"),
        ({"mode": "remove", "prompt": ""}, "target"),
    ],
)
def test_what_does_not_go_together_is_refused(fields, param):
    with pytest.raises(InvalidInput) as caught:
        edit(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("shape", [(101, 20, 3), (99, 99, 3)])
def test_a_large_picture_is_too_large(shape):
    with pytest.raises(ImageTooLarge):
        edit(image=np.zeros(shape, np.uint8))


def test_locate_and_score_check_theirs():
    assert complete_locate(LocateRequest(IMAGE, " cat "), SETTINGS).target == "cat"
    assert complete_score(ScoreRequest(IMAGE, " cat "), SETTINGS).text == "cat"
    with pytest.raises(InvalidInput, match="target"):
        complete_locate(LocateRequest(IMAGE, ""), SETTINGS)
    with pytest.raises(InvalidInput, match="target"):
        complete_locate(LocateRequest(IMAGE), SETTINGS)
    for text in ("", "[lemon:0.5]"):
        with pytest.raises(InvalidInput, match="text"):
            complete_score(ScoreRequest(IMAGE, text), SETTINGS)
    with pytest.raises(InvalidImage):
        complete_score(ScoreRequest(IMAGE[:, :2], "cat"), SETTINGS)
