"""What a target says is not meant is taken out of the phrase, or stays there for a refusal to find."""

import pytest

from deployments.language.prompts import read_prompt
from deployments.language.targets import Order, Wording, parse

RED = ("red balloon",)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "the balloon that is not red",
            "the balloon which isn't red",
            "the balloon that's not red",
            "balloon, not red",
        ),
        *("the non-red balloon", "not red balloon", "the balloon without red", "the balloon that is not coloured red"),
        *("a balloon other than the red one", "any balloon but the red one", "the balloon, but not the red balloon"),
        *("the balloon, not the red one", "one balloon except for the red ones", "THE BALLOON THAT IS NOT red"),
    ],
)
def test_a_colour_that_is_not_meant_is_avoided(target):
    wording = parse(target)
    assert (wording.phrase.lower(), tuple(phrase.lower() for phrase in wording.avoid)) == ("balloon", RED)
    assert not wording.every


@pytest.mark.parametrize(
    ("target", "meaning"),
    [
        ("the balloons except the red one", Wording("balloon", avoid=RED, every=True)),
        ("all balloons except red", Wording("balloon", avoid=RED, every=True)),
        (
            "balloons that are neither red nor blue",
            Wording("balloon", avoid=("red balloon", "blue balloon"), every=True),
        ),
        (
            "every balloon but the red and blue ones",
            Wording("balloon", avoid=("red balloon", "blue balloon"), every=True),
        ),
        ("the balloon that is not red on the left", Wording("balloon", Order("x"), avoid=RED)),
        ("the balloon on the left that is not red", Wording("balloon", Order("x"), avoid=RED)),
        ("the largest balloon that isn't red", Wording("balloon", Order("area", descending=True), avoid=RED)),
        ("the blue balloon, not the red one", Wording("blue balloon", avoid=RED)),
        ("the striped ball that is not wooden", Wording("striped ball", avoid=("wooden striped ball",))),
        ("the apple, not the lemon", Wording("apple", avoid=("lemon",))),
    ],
)
def test_the_rest_of_the_words_keeps_its_meaning(target, meaning):
    assert parse(target) == meaning


@pytest.mark.parametrize(
    "phrase",
    [
        *("man without a hat", "man with a hat that is not red", "balloon that is not red and white"),
        *("balloon that is not very red", "balloon not the left object", "boat by the tree that is not red"),
        *(
            "everything but the blue balloon",
            "boy who isn't smiling at the camera",
            "no smoking sign",
            "one not in the sun",
        ),
    ],
)
def test_what_cannot_be_left_out_stays_in_the_phrase(phrase):
    assert not parse(f"the {phrase}").avoid
    assert parse(f"the {phrase}").phrase == phrase


def test_a_colour_that_is_not_meant_is_not_painted():
    reading = read_prompt("make the balloon that is not red green")
    assert (reading.targets, reading.painted) == (("balloon that is not red",), "green balloon")
    reading = read_prompt("replace the old balloon on the long string that is not red with a lemon")
    assert reading.targets == ("old balloon on the long string that is not red",)
