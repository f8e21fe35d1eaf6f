"""Words that cannot be acted on are refused by their field, and nothing is refused that can."""

import contextlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.config import DriverSettings, GroundingSettings
from deployments.driver.jobs import complete_edit, complete_locate
from deployments.errors import InvalidInput
from deployments.language.target_refusals import NotUnderstood, check_target, is_refused
from deployments.limits import Limits
from deployments.messages import EditRequest, LocateRequest

IMAGE = np.zeros((64, 48, 3), np.uint8)
MASK = np.zeros((64, 48), bool)
MASK[10:20, 10:20] = True
SETTINGS = DriverSettings()


def locate(target, **fields):
    return complete_locate(LocateRequest(IMAGE, target, **fields), SETTINGS)


def edit(prompt, **fields):
    return complete_edit(EditRequest(IMAGE, prompt, **fields), SETTINGS)


TARGETS = {
    "excludes": [
        *(
            "the man without a hat",
            "the woman who isn't wearing glasses",
            "everything but the blue balloon",
            "not the dog",
        ),
        *(
            "all except the dog",
            "anything but the cat",
            "the cup with no handle",
            "no dogs",
            "the mug that's not full of tea",
            "none of the dogs",
        ),
        *(
            "the balloon, not the left one",
            "the wall without text",
            "the sign without a logo",
            "all but one of the cups",
        ),
        *("the fruit that isn't an apple", "the balloon not touching the ground", "the car nobody drives"),
        "the cup next to the balloon that is not red",
    ],
    "compares": [
        *("the balloon bigger than the dog", "larger than the dog", "more red than the apple", "as big as the dog"),
        *("the darker of the two balloons", "the brightest lamp", "the most colourful bird", "the nearest car"),
        *(
            "the dog that is bigger",
            "the bird that is most colourful",
            "the tidier desk",
            "the sweetest apple",
            "the dog that's older",
            "the balloon with the longer string",
            "the closest dog",
        ),
    ],
    "several things in a list": [
        *(
            "the cat and the dog",
            "a cat, a dog and a bird",
            "the cat or the dog",
            "cat & dog",
            "cat/dog",
            "cat, dog, bird",
        ),
        *(
            "dogs and cats",
            "the red and the blue car",
            "the red and blue balloons",
            "the sun and moon",
            "lemon + apple",
        ),
        *(
            "the dog on the left and the cat on the right",
            "the man as well as the woman",
            "the cup, plate and fork",
            "lemon; apple",
            "cherry and plum",
        ),
        *("the man with the hat and the woman with the scarf", "the teddy bear and soccer ball", "every dog and cat"),
        "the cup next to the cat and the dog",
    ],
    "leaves open": [
        *("some balloons", "a few dogs", "several dogs", "most of the apples", "two of the dogs", "the other balloon"),
        *("another car", "the rest of the cars", "a couple of birds", "lots of flowers", "every other fence post"),
    ],
    "rank or size": [
        *("the two largest balloons", "the first two balloons", "every second apple", "the leftmost balloons"),
        *("the largest dogs", "the small balloons", "the dogs closest to the tree"),
    ],
    "by one thing only": [
        *("the balloon left of the dogs", "the cup next to both plates"),
        "the cup left of the lamp next to the dog",
    ],
    "no single thing": [
        *("the background", "everything", "the whole picture", "the image", "the lighting", "anime style", "the rest"),
        *("all of them", "everything red", "everything on the table"),
        "the blurred background of the picture",
    ],
    "does not name": [
        *("both", "every single one", "it", "each other", "the three", "this one", "two", "the ones on the left"),
    ],
}
PROMPTS = {
    "two changes": [
        *("remove the dog and paint the cat blue", "replace the apple with a lemon and remove the dog"),
        *("remove the dog. Make the sky blue.", "remove the dog, then paint the cat blue", "a lemon. Remove the dog."),
        *("replace the dog with a cat and the apple with a lemon", "paint the wall red; delete the lamp"),
        *(
            "make the man smile and the woman laugh",
            "remove the dog\nremove the cat",
            "remove the cup; move the plate",
            "first remove the dog, then the cat",
        ),
    ],
    "only says what must not": [
        *("don't change the dog", "do not remove the cat", "keep the dog", "leave the sky as it is", "no dogs"),
        *(
            "please don't change the sign",
            "no text",
            "I don't want the man",
            "I want no dog",
            "nothing but the dog",
            "preserve the text",
        ),
    ],
    "adjustment": [
        *(
            "improve the lighting",
            "blur the background",
            "enhance",
            "crop",
            "rotate",
            "zoom out",
            "flip it horizontally",
        ),
        *(
            "in the style of Van Gogh",
            "brighter",
            "move the dog to the left",
            "increase the contrast",
            "black and white",
        ),
    ],
    "does not name": [
        "make it brighter",
        "turn it into a cat",
        "change this to a dog",
        "remove it",
        "convert to a cartoon",
    ],
    "no single thing": [
        *("make the image brighter", "change the style to anime", "the background", "remove the background"),
        *("remove everything", "remove all", "replace the background with a beach"),
    ],
    "several things": [
        "remove the dog and the cat",
        "make the dog red and the cat blue",
        "a cat and a dog playing",
        "cats and dogs",
    ],
    "does not say what to paint": [
        *("replace the dog", "make the car not red", "make the sky not cloudy but clear", "give the dogs hats"),
        *("replace anything that isn't red", "make the two dogs one cat", "open the door"),
    ],
    "excludes": ["remove everything except the dog", "make the man without a hat smile"],
}


@pytest.mark.parametrize(("about", "target"), [(about, text) for about, texts in TARGETS.items() for text in texts])
def test_a_target_that_cannot_be_acted_on_is_refused(about, target):
    for call in (lambda: locate(target), lambda: edit("a lemon", target=target)):
        with pytest.raises(InvalidInput, match=about) as caught:
            call()
        assert caught.value.param == "target"
        assert caught.value.message.startswith("`target` ")


@pytest.mark.parametrize(("about", "prompt"), [(about, text) for about, texts in PROMPTS.items() for text in texts])
def test_a_prompt_that_cannot_be_acted_on_is_refused(about, prompt):
    with pytest.raises(InvalidInput, match=about) as caught:
        edit(prompt)
    assert caught.value.param == "prompt"
    assert caught.value.message.startswith("`prompt` ")


@pytest.mark.parametrize("prompt", [text for texts in PROMPTS.values() for text in texts])
def test_beside_a_mask_points_or_a_target_a_prompt_is_only_what_to_paint(prompt):
    for fields in ({"mask": MASK}, {"points": (3, 4)}, {"box": (0, 0, 9, 9)}, {"target": "the apple"}):
        edit(prompt, **fields)


def test_a_removal_beside_a_mask_drops_a_name_that_cannot_be_looked_for():
    assert edit("remove the background", mask=MASK).where.wordings == ()
    assert edit("remove the dogs", mask=MASK).where.wordings[0].phrase == "dog"


@pytest.mark.parametrize("target", ["the background", "the cat and the dog", "the balloon that is not red"])
def test_a_target_beside_a_mask_is_refused_too(target):
    with pytest.raises(InvalidInput) as caught:
        edit("a lemon", mask=MASK, target=target)
    assert caught.value.param == "target"


UNDERSTOOD = [
    *(
        "the black and white cat",
        "the salt and pepper shaker",
        "the man with a hat and a dog",
        "the rock and roll sign",
    ),
    *(
        "a big, red balloon",
        "bread and butter",
        "the soft and fluffy pillow",
        "the rough, uneven wall",
        "the wet and muddy dog",
        "old, rusty truck",
    ),
    *(
        "the no smoking sign",
        "the 'do not enter' sign",
        "the no-parking sign",
        "the don't walk sign",
        "the nothing phone",
    ),
    *('the t-shirt with "no fear" on it', "the wireless mouse", "the butter dish", "the knot", "forget-me-not"),
    *("the all-terrain vehicle", "the two-storey house", "the twin towers", "the first aid kit", "the hot dog"),
    *("the picture frame", "the photo on the wall", "the dog in the background", "the background singer", "the mirror"),
    *("the balloon furthest to the left", "the cup closest to the laptop", "the last but one balloon", "the tower"),
    *("the bowl of apples and oranges", "the girl in red and white", "the woman in a hat and a coat", "a single apple"),
    *(
        "the cup between the dog and the cat",
        "second balloon, from the left",
        "some water",
        "the biggest of the balloons",
    ),
]


@pytest.mark.parametrize("target", UNDERSTOOD)
def test_a_target_that_only_looks_like_one_of_these_is_not_refused(target):
    assert locate(target).wordings


@pytest.mark.parametrize(
    ("prompt", "targets", "painted"),
    [
        ("a cat. It wears sunglasses.", ("cat", "cat It wears sunglasses"), "a cat. It wears sunglasses."),
        ("replace the dog with a cat and a bird", ("dog",), "a cat and a bird"),
        ("replace the dog with a cat and make it orange", ("dog",), "a cat and make it orange"),
        ("replace the dog with a cat and put a hat on it", ("dog",), "a cat and put a hat on it"),
        (
            "replace the text 'remove the hat and paint the wall' with a heart",
            ("text remove the hat and paint the wall",),
            "a heart",
        ),
        ("make the car red and shiny", ("car",), "red and shiny car"),
        ("a lemon without leaves", ("lemon",), "a lemon without leaves"),
        ("remove the dog and replace it with a cat", ("dog",), "a cat"),
        ("remove the dog and put a cat there", ("dog",), "a cat"),
        ("replace the cat with a fox, and don't touch the dog", ("cat",), "a fox"),
        ("a cat and its kitten", ("cat", "cat and its kitten"), "a cat and its kitten"),
        ("a mirror on the wall", ("mirror", "mirror on the wall"), "a mirror on the wall"),
        ("remove the text 'buy and save'", ("text buy and save",), None),
    ],
)
def test_a_prompt_that_only_looks_like_one_of_these_is_acted_on(prompt, targets, painted):
    request = edit(prompt)
    assert request.where.wordings[0].phrase == targets[0]
    assert request.prompt == painted


def test_without_places_words_are_looked_for_as_they_are():
    plain = DriverSettings(grounding=GroundingSettings(places=False))
    for words in ("the cat and the dog", "the balloons", "the man without a hat", "the background"):
        (wording,) = complete_locate(LocateRequest(IMAGE, words), plain).wordings
        assert (wording.phrase, wording.every, wording.avoid) == (words, False, ())
    assert complete_edit(EditRequest(IMAGE, "remove the background"), plain).where.target == "background"
    with pytest.raises(InvalidInput, match="two changes"):
        complete_edit(EditRequest(IMAGE, "remove the dog and paint the cat blue"), plain)


def test_what_is_excluded_is_avoided_with_what_the_request_avoids():
    red = ("red balloon",)
    assert locate("the balloon that is not red").avoid == red
    assert locate("the balloon that is not red", avoid="the dog, red balloon").avoid == ("the dog", *red)
    assert locate("the balloon that is not red", avoid="the dog").avoid == ("the dog", *red)
    assert edit("a lemon without leaves").where.avoid == ()
    assert edit("a balloon that is not red").where.avoid == ()  # that is what to paint


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "and ",
            "red and ",
            "cat or dog ",
            "not red ",
            "no ",
            "the dogs ",
            "all of the ",
            "other than ",
            "a, ",
            "cat/dog ",
        ),
        *(
            "left of the ",
            "is not ",
            "more than ",
            "remove the ",
            "then ",
            "style ",
            "don't ",
            "of ",
            "x",
            "' ",
            "'a' ",
            ", ",
        ),
        *("each and every ", "with the ", "sign ", "do not a sign ", ". remove ", "and the a with ", "as a "),
    ],
)
def test_long_texts_take_linear_time(unit):
    text = unit * (20_000 // len(unit))
    limits = DriverSettings(limits=Limits(max_prompt_chars=30_000))
    start = time.process_time()
    for words in (text, f"the dog {text}", f"replace the dog with {text}", f"{text} a sign"):
        is_refused(words)
        with contextlib.suppress(InvalidInput):
            complete_edit(EditRequest(IMAGE, words), limits)
    # Half a second at worst; what is quadratic in letters takes many.
    assert time.process_time() - start < 5


_WORDS = """
    the a all both each every two some no not without except but other than red blue balloon balloons dog dogs cat and
    or that is isn't left of next to largest on the left one ones of with , . / & background everything it remove paint
    then
"""
SENTENCES = st.lists(st.sampled_from(_WORDS.split()), max_size=12).map(" ".join)


@settings(deadline=None)
@given(st.one_of(SENTENCES, st.text()))
def test_any_text_is_acted_on_or_refused(text):
    if not is_refused(text):
        check_target(text)
        return
    with pytest.raises(NotUnderstood, match=r"\.$"):
        check_target(text)
