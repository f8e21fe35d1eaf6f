import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.errors import InvalidInput
from deployments.grounding.spatial import Detection, arrange
from deployments.language.targets import Order, Relation, Wording, parse

SIZE_WH = (400, 200)


def thing(x, y, side=20, strength=0.5, width=None, height=None):
    width, height = width or side, height or side
    box = (round(x - width / 2), round(y - height / 2), round(x + width / 2), round(y + height / 2))
    return Detection(box, width * height / 80_000, (x, y), strength)


def arranged(target, things, anchor=None):
    return arrange(parse(target), things, anchor, SIZE_WH)


ROW = [thing(300, 90, strength=0.9), thing(50, 110, 40), thing(180, 100, 30), thing(120, 100, 10)]  # x: 1, 3, 2, 0
COLUMN = [thing(200, 30), thing(200, 180), thing(200, 100)]


@pytest.mark.parametrize(
    ("target", "things", "expected"),
    [
        ("the balloon", ROW, [0, 1, 2, 3]),  # no word of place: the strongest, then as they came
        ("the balloon on the left", ROW, [1, 3, 2, 0]),
        ("the left balloon", ROW, [1, 3, 2, 0]),
        ("the rightmost balloon", ROW, [0, 2, 3, 1]),
        ("the second balloon from the left", ROW, [3, 1, 2, 0]),
        ("the third balloon from the left", ROW, [2, 1, 3, 0]),
        ("the second balloon from the right", ROW, [2, 0, 3, 1]),
        ("the third balloon", ROW, [2, 1, 3, 0]),
        ("the last balloon", ROW, [0, 2, 3, 1]),
        ("the second to last balloon", ROW, [2, 0, 3, 1]),
        ("the top balloon", COLUMN, [0, 2, 1]),
        ("the lowest balloon", COLUMN, [1, 2, 0]),
        ("the middle balloon", COLUMN, [2, 0, 1]),
        ("the largest balloon", ROW, [1, 2, 0, 3]),
        ("the smallest balloon", ROW, [3, 0, 2, 1]),
        ("the second largest balloon", ROW, [2, 1, 0, 3]),
        ("the tallest man", [thing(50, 100, height=50, width=90), thing(90, 100, height=80, width=20)], [1, 0]),
        ("the widest man", [thing(50, 100, height=50, width=90), thing(90, 100, height=80, width=20)], [0, 1]),
        ("the largest balloon on the right", ROW, [0, 1, 2, 3]),
        ("the smallest balloon on the left", ROW, [3, 2, 1, 0]),
        ("the balloon in the middle", ROW, [2, 3, 0, 1]),  # of the picture
        ("the balloon in the upper left corner", [thing(200, 10), thing(90, 60), thing(20, 190)], [1, 0, 2]),
        ("the lower right balloon", [thing(390, 20), thing(300, 150), thing(200, 190)], [1, 2, 0]),
        ("the top center balloon", [thing(20, 10), thing(210, 40), thing(200, 190)], [1, 0, 2]),
    ],
)
def test_the_order_of_the_words_is_the_order_of_the_things(target, things, expected):
    assert arranged(target, things) == expected


@pytest.mark.parametrize(
    ("target", "nearest", "farther", "elsewhere"),
    [
        ("the cup left of the dog", (150, 100), (60, 110), (240, 100)),
        ("the cup to the right of the dog", (240, 90), (390, 100), (190, 100)),
        ("the cup above the dog", (205, 70), (200, 20), (200, 130)),
        ("the cup below the dog", (200, 140), (190, 190), (200, 60)),
        ("the cup next to the dog", (230, 100), (120, 100), (20, 100)),
    ],
)
def test_what_fits_a_relation_comes_first_and_the_nearest_of_it(target, nearest, farther, elsewhere):
    things = [thing(*elsewhere, strength=0.9), thing(*farther, strength=0.7), thing(*nearest, strength=0.5)]
    assert arranged(target, things, (200, 100)) == [2, 1, 0]


def test_straight_to_the_left_is_more_left_than_nearly_above():
    askew, straight = thing(190, 60), thing(90, 100)
    assert arranged("the cup left of the dog", [askew, straight], (200, 100)) == [1, 0]


def test_the_other_thing_itself_is_not_what_stands_next_to_it():
    itself, cup = thing(198, 100, 60, strength=0.9), thing(260, 100, strength=0.6)
    assert arranged("the cup next to the dog", [itself, cup], (200, 100)) == [1, 0]
    assert arranged("the cup left of the dog", [itself, thing(60, 100)], (200, 100)) == [1, 0]
    assert arranged("the cup next to the dog", [itself], (200, 100)) == [0]  # rather than none


def test_an_order_counts_among_what_fits_the_relation():
    things = [thing(300, 100, 60), thing(150, 100, 10), thing(60, 100, 30), thing(100, 100, 20)]
    assert arranged("the largest cup left of the dog", things, (200, 100)) == [2, 3, 1, 0]
    assert arranged("the second cup left of the dog", things, (200, 100)) == [3, 1, 2, 0]  # second as seen from the dog
    assert arranged("the last cup left of the dog", things, (200, 100))[0] == 2


@pytest.mark.parametrize(
    ("target", "things", "anchor", "said"),
    [
        ("the third balloon from the left", ROW[:2], None, "number 3 of 'balloon', but the picture shows 2"),
        ("the 5th largest balloon", ROW, None, "number 5"),
        ("the second cup left of the dog", [thing(100, 100), thing(300, 100)], (200, 100), "shows 1"),
        ("the cup left of the dog", [thing(300, 100)], (200, 100), "'cup' left of 'dog', but there is none"),
        ("the cup left of the dog", ROW, None, "'dog', which was not found"),
        ("the largest balloon on the left", [thing(300, 100)], None, "part of the picture"),
    ],
)
def test_what_the_words_mean_none_of_is_refused(target, things, anchor, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        arranged(target, things, anchor)
    assert caught.value.param == "target"
    assert caught.value.message.startswith("`target` ")


def test_of_two_at_about_the_same_place_the_stronger_comes_first():
    weak, strong, right = thing(100, 50, strength=0.4), thing(103, 150, strength=0.8), thing(110, 100, strength=0.9)
    assert arranged("the leftmost balloon", [weak, strong, right]) == [1, 0, 2]
    assert arranged("the second balloon from the left", [weak, strong, right])[0] == 0
    assert arranged("the leftmost balloon", [weak, thing(105, 150, strength=0.8)]) == [0, 1]  # 1.25 % of the width


def test_of_two_of_about_the_same_size_the_stronger_comes_first():
    big, bigger = Detection((0, 0, 9, 9), 0.1, (5, 5), 0.9), Detection((50, 0, 59, 9), 0.1005, (55, 5), 0.5)
    assert arranged("the largest balloon", [bigger, big]) == [1, 0]
    assert arranged("the largest balloon", [Detection((50, 0, 59, 9), 0.102, (55, 5), 0.5), big]) == [0, 1]


def test_a_plain_size_decides_among_about_equally_good_matches_only():
    small, big, doubtful = thing(50, 100, 20, 0.9), thing(150, 100, 40, 0.8), thing(300, 100, 90, 0.6)
    assert arranged("the big balloon", [small, big, doubtful]) == [1, 0, 2]
    assert arranged("the biggest balloon", [small, big, doubtful]) == [2, 1, 0]


def test_the_middle_of_a_row_need_not_be_that_of_the_picture():
    row = [thing(10, 100), thing(30, 100), thing(60, 100)]
    assert arranged("the middle balloon", row)[0] == 1
    assert arranged("the balloon in the middle", row)[0] == 2
    assert arranged("the middle balloon", [*row, thing(190, 100)])[0] == 3  # none is: the one nearest to the picture's


def test_nothing_is_arranged_to_nothing():
    assert arranged("the second balloon left of the dog", []) == []


PLACES = st.tuples(st.integers(0, 400), st.integers(0, 200), st.integers(1, 90), st.floats(0.01, 1))
ORDERS = [Order(key, down) for key in ("x", "y", "area", "height", "width", "middle", "centre") for down in (0, 1)]
RELATIONS = [None, *(Relation(kind, "dog") for kind in ("left_of", "right_of", "above", "below", "near"))]


@settings(deadline=None)
@given(st.lists(PLACES, max_size=8, unique_by=lambda place: place[3]), st.sampled_from([None, *ORDERS]))
def test_the_order_in_which_things_come_does_not_matter(places, order):
    things = [thing(*place) for place in places]
    wording = Wording("balloon", order)
    best = [things[index] for index in arrange(wording, things, None, SIZE_WH)]
    assert sorted(map(id, best)) == sorted(map(id, things))
    for shuffled in itertools.islice(itertools.permutations(things), 1, 200, 17):
        again = [shuffled[index] for index in arrange(wording, shuffled, None, SIZE_WH)]
        assert list(map(id, again)) == list(map(id, best))


@settings(deadline=None)
@given(st.lists(PLACES, min_size=1, max_size=8), st.sampled_from(RELATIONS), st.sampled_from([None, *ORDERS]), PLACES)
def test_the_first_one_always_fits_the_relation(places, relation, order, anchor):
    things = [thing(*place) for place in places]
    x, y = anchor[:2]
    fits = {
        "left_of": lambda at: at[0] < x,
        "right_of": lambda at: at[0] > x,
        "above": lambda at: at[1] < y,
        "below": lambda at: at[1] > y,
        "near": lambda at: True,
    }
    fitting = [relation is None or fits[relation.kind](one.centre_xy) for one in things]
    try:
        order_found = arrange(Wording("cup", order, relation), things, (x, y), SIZE_WH)
    except InvalidInput:
        assert not any(fitting)
        return
    in_order = [fitting[index] for index in order_found]
    assert in_order == sorted(in_order, reverse=True)
    assert in_order[0]


@settings(deadline=None)
@given(st.lists(PLACES, min_size=1, max_size=8), st.sampled_from(["x", "y", "area"]), st.integers(1, 9))
def test_the_first_one_has_the_rank_that_was_asked_for(places, key, rank):
    things = [thing(*place) for place in places]
    values = {
        "x": [one.centre_xy[0] / 400 for one in things],
        "y": [one.centre_xy[1] / 200 for one in things],
        "area": [np.log(one.area) for one in things],
    }[key]
    if rank > len(things):
        with pytest.raises(InvalidInput):
            arrange(Wording("cup", Order(key, rank=rank)), things, None, SIZE_WH)
        return
    first = arrange(Wording("cup", Order(key, rank=rank)), things, None, SIZE_WH)[0]
    assert abs(values[first] - sorted(values)[rank - 1]) <= 0.01 + 1e-9
