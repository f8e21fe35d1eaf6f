"""How many things a target means: one, all of its name, or a number of them that has to be right."""

import pytest

from deployments.language.prompts import read_prompt
from deployments.language.targets import Order, Relation, Wording, parse

LEFT = Order("x")


@pytest.mark.parametrize(
    "target",
    [
        *("the balloons", "balloons", "all balloons", "all the balloons", "all of the balloons", "all of my balloons"),
        *("each balloon", "every balloon", "each of the balloons", "every single balloon", "each and every balloon"),
        *("any balloons", "these balloons", "every one of the balloons", "find the balloons"),
    ],
)
def test_all_of_a_name_are_looked_for_by_the_singular(target):
    assert parse(target) == Wording("balloon", every=True)


@pytest.mark.parametrize(
    ("target", "count"),
    [
        *(("both balloons", 2), ("both of the balloons", 2), ("the two balloons", 2), ("two balloons", 2)),
        *(("the three balloons", 3), ("all four balloons", 4), ("3 balloons", 3), ("my 12 balloons", 12)),
        *(("a dozen balloons", 12), ("fifteen balloons", 15)),
    ],
)
def test_a_number_claims_how_many_there_are(target, count):
    assert parse(target) == Wording("balloon", every=True, count=count)


@pytest.mark.parametrize(
    "target", ["a balloon", "one balloon", "any balloon", "one of the balloons", "any of the three balloons"]
)
def test_one_of_several_is_one(target):
    assert parse(target) == Wording("balloon")


@pytest.mark.parametrize(
    ("target", "phrase"),
    [
        *(
            ("the scissors", "scissors"),
            ("the bus", "bus"),
            ("a pair of shoes", "pair of shoes"),
            ("the jeans", "jeans"),
        ),
        *(("the two storey house", "two storey house"), ("the all-terrain vehicle", "all-terrain vehicle")),
        *(("the sports car", "sports car"), ("the 7 up can", "7 up can"), ("the cat with stripes", "cat with stripes")),
    ],
)
def test_what_only_looks_like_several_is_one(target, phrase):
    assert parse(target) == Wording(phrase)


@pytest.mark.parametrize(
    ("target", "meaning"),
    [
        ("all the balloons on the left", Wording("balloon", among=LEFT, every=True)),
        ("the left balloons", Wording("balloon", among=LEFT, every=True)),
        ("the two balloons on the left", Wording("balloon", among=LEFT, every=True, count=2)),
        ("the balloons in the upper left corner", Wording("balloon", among=Order("upper_left"), every=True)),
        ("every apple above the dog", Wording("apple", relation=Relation("above", "dog"), every=True)),
        ("the larger of the two dogs", Wording("dog", Order("area", descending=True))),
        ("two sheep", Wording("sheep", every=True, count=2)),
        ("all scissors", Wording("scissors", every=True)),
    ],
)
def test_a_place_of_several_is_a_part_of_the_picture(target, meaning):
    assert parse(target) == meaning


@pytest.mark.parametrize(
    ("prompt", "target", "painted"),
    [
        ("replace all the dogs with cats", "all the dogs", "cat"),
        ("turn the apples into lemons", "apples", "lemon"),
        ("swap both cups for red mugs", "both cups", "red mug"),
        ("make every balloon blue", "every balloon", "blue balloon"),
        ("give all dogs a hat", "all dogs", "dog with a hat"),
        ("lemons instead of the apples", "apples", "lemon"),
    ],
)
def test_what_is_painted_at_each_of_several_is_one(prompt, target, painted):
    reading = read_prompt(prompt)
    assert reading.targets == (target,)
    assert parse(target).every
    assert reading.painted == painted


@pytest.mark.parametrize("prompt", ["delete all of the people", "delete all of the people in the back of the picture"])
def test_all_of_them_are_meant_however_much_is_said_of_them(prompt):
    assert parse(read_prompt(prompt).targets[0]) == Wording("person", every=True)


def test_what_is_painted_at_one_may_be_several():
    assert read_prompt("replace the dog with cats").painted == "cats"


def test_how_many_are_to_be_painted_says_nothing_of_how_many_there_are():
    assert read_prompt("two dogs playing").targets[0] == "dogs playing"
    assert parse(read_prompt("a dog runs on the beach").targets[0]) == Wording("dog")
