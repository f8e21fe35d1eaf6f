"""From heat maps to things and points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deployments.grounding import peaks

SIZE_HW = (120, 160)  # five pixels to a cell of a 24x32 map


def blobs(*places, shape=(24, 32), width=2.5):
    """Round hot places (row, column, height)."""
    y, x = np.indices(shape)
    heat = np.zeros(shape, np.float32)
    for row, column, height in places:
        spot = height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
        heat = np.maximum(heat, spot.astype(np.float32))
    return heat


def test_each_hot_place_is_a_thing_the_hottest_first():
    spots = peaks.hot_spots(blobs((5, 6, 0.7), (16, 25, 0.9), (18, 5, 0.6)), SIZE_HW, 3)
    assert [round(spot.strength, 1) for spot in spots] == [0.9, 0.7, 0.6]
    assert spots[0].points_xy[0] == (127, 82)


def test_what_is_much_weaker_is_no_other_one_of_them():
    assert len(peaks.hot_spots(blobs((5, 6, 0.3), (16, 25, 0.9)), SIZE_HW, 3)) == 1


def test_two_things_that_touch_are_parted_by_the_valley_between_them():
    heat = blobs((12, 10, 0.9), (12, 17, 0.8))
    spots = peaks.hot_spots(heat, SIZE_HW, 3)
    assert len(spots) == 2
    assert not (spots[0].cells & spots[1].cells).any()
    assert spots[0].points_xy[0][0] < 68 < spots[1].points_xy[0][0]


def test_a_shallow_dip_does_not_part_a_thing():
    heat = blobs((12, 10, 0.9), (12, 13, 0.88))
    assert len(peaks.hot_spots(heat, SIZE_HW, 3)) == 1


def test_the_points_of_a_thing_lie_on_it_and_apart():
    heat = blobs(*((12, column, 0.9) for column in range(6, 27)), width=1.5)  # a bar
    (spot,) = peaks.hot_spots(heat, SIZE_HW, 3)
    assert len(spot.points_xy) == 3
    for x, y in spot.points_xy:
        assert spot.cells[y // 5, x // 5]
    xs = sorted(x for x, _ in spot.points_xy)
    assert min(np.diff(xs)) >= 5 * 21 / 7


def test_the_box_goes_around_the_cells():
    (spot,) = peaks.hot_spots(blobs((12, 16, 0.9)), SIZE_HW, 1)
    rows, columns = np.nonzero(spot.cells)
    assert spot.box_xyxy == (columns.min() * 5, rows.min() * 5, (columns.max() + 1) * 5, (rows.max() + 1) * 5)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_map_is_one_thing(value):
    (spot,) = peaks.hot_spots(np.full((6, 8), value, np.float32), (60, 80), 3)
    assert spot.cells.all()
    assert spot.points_xy


@settings(deadline=None, max_examples=60)
@given(
    arrays.arrays(np.float32, st.tuples(st.integers(2, 12), st.integers(2, 12)), elements=st.floats(0, 1, width=32)),
    st.integers(1, 4),
)
def test_any_map_has_things_that_do_not_overlap(heat, most):
    spots = peaks.hot_spots(heat, (96, 60), most)
    assert len(spots) >= 1
    assert sum(spot.cells.astype(int) for spot in spots).max() == 1
    for spot in spots:
        assert 1 <= len(spot.points_xy) <= most
        assert all(0 <= x < 60 and 0 <= y < 96 for x, y in spot.points_xy)
        left, top, right, bottom = spot.box_xyxy
        assert 0 <= left < right <= 60
        assert 0 <= top < bottom <= 96
