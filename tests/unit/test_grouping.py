"""Which parts of a mask are one thing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.pixels import grouping
from deployments.pixels.masks import bounding_box


def with_boxes(*boxes, height=300, width=400):
    """HxW bool with these (left, top, right, bottom) filled."""
    mask = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def groups_of(mask):
    return int(grouping.owners([mask]).max())


def test_a_dog_behind_a_pole_is_one_thing():
    assert groups_of(with_boxes((100, 100, 150, 160), (165, 105, 210, 160))) == 1


def test_two_distant_balloons_are_two_things():
    owner = grouping.owners([with_boxes((10, 10, 50, 60), (320, 200, 370, 270))])
    assert int(owner.max()) == 2
    assert bounding_box(owner == 1) == (320, 200, 370, 270)  # the larger one comes first
    assert bounding_box(owner == 2) == (10, 10, 50, 60)


def test_what_is_near_a_large_thing_belongs_to_it():
    """The same gap that keeps two small things apart."""
    assert groups_of(with_boxes((10, 10, 210, 210), (270, 100, 290, 120))) == 1
    assert groups_of(with_boxes((190, 100, 210, 120), (270, 100, 290, 120))) == 2


def test_the_glyphs_of_a_word_are_one_thing_and_another_word_far_below_is_another():
    word = [(x, 20, x + 6, 32) for x in range(20, 120, 14)]
    other = [(x, 250, x + 6, 262) for x in range(200, 300, 14)]
    assert groups_of(with_boxes(*word)) == 1
    assert groups_of(with_boxes(*word, *other)) == 2


def test_specks_next_to_each_other_are_one_thing_however_small():
    assert groups_of(with_boxes((50, 50, 51, 51), (62, 50, 63, 51), (74, 52, 75, 53))) == 1


def test_a_thing_inside_the_box_of_another_belongs_to_it():
    frame = with_boxes((20, 20, 380, 280)) & ~with_boxes((30, 30, 370, 270))
    assert groups_of(frame | with_boxes((200, 150, 205, 155))) == 1


def test_masks_that_are_given_apart_stay_apart():
    near = with_boxes((100, 100, 150, 160)), with_boxes((152, 105, 210, 160))
    owner = grouping.owners(near)
    assert ((owner == 1) == near[0]).all()
    assert ((owner == 2) == near[1]).all()


def test_a_pixel_of_two_masks_belongs_to_the_first():
    owner = grouping.owners([with_boxes((100, 100, 150, 160)), with_boxes((120, 100, 200, 160))])
    assert (owner[100:160, 100:150] == 1).all()
    assert (owner[100:160, 150:200] == 2).all()


def test_beyond_the_most_groups_the_nearest_ones_join():
    places = [(x, y) for y in range(0, 1000, 190) for x in range(0, 1000, 190)]  # 36 of them, too far to be near
    pairs = [(x, y, x + 20, y + 20) for x, y in places]
    pairs[1] = (pairs[0][0] + 60, 0, pairs[0][0] + 80, 20)  # the only two with a gap below 100
    mask = with_boxes(*pairs, height=1000, width=1000)
    owner = grouping.owners([mask])
    assert int(owner.max()) == grouping.MOST_GROUPS
    assert owner[5, 5] == owner[5, 65]


def specks(count, side, seed=0):
    mask = np.zeros((side, side), bool)
    y, x = np.random.default_rng(seed).integers(0, side, (2, count))
    mask[y, x] = True
    return mask


@pytest.mark.parametrize(("count", "side"), [(5_000, 1_000), (5_000, 4_000), (200, 4_000)])
def test_thousands_of_specks_are_a_few_groups_of_few_comparisons(monkeypatch, count, side):
    compared = []
    gaps = grouping._gaps
    monkeypatch.setattr(grouping, "_gaps", lambda boxes: compared.append(len(boxes)) or gaps(boxes))
    mask = specks(count, side)
    owner = grouping.owners([mask])
    assert 1 <= owner.max() <= grouping.MOST_GROUPS
    assert ((owner > 0) == mask).all()
    assert max(compared) <= grouping.MOST_PARTS
    assert len(compared) <= 12


def test_a_chequered_mask_is_read_through_coarser_cells():
    """A million parts, none of which can be compared with all others."""
    y, x = np.indices((1024, 2048), np.int16)
    mask = (y % 2 == 0) & (x % 2 == 0)
    owner = grouping.owners([mask])
    assert (owner == mask).all()


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(*[st.integers(0, 500)] * 4), min_size=1, max_size=40), st.integers(1, 16))
def test_groups_are_bounded_and_no_two_that_are_kept_apart_are_near(corners, most):
    boxes = np.array([(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in corners])
    groups = grouping.merged(boxes, most)
    assert set(groups) == set(range(groups.max() + 1))
    assert groups.max() < most
    around = np.array(
        [[*boxes[groups == each, :2].min(axis=0), *boxes[groups == each, 2:].max(axis=0)] for each in set(groups)]
    )
    near = grouping._gaps(around) <= grouping._reach(around)
    assert near.sum() == len(around) or len(around) == most  # each is near to itself alone
