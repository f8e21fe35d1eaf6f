"""Masks alone: their boxes, hulls and growth, whether or not a pixel is set."""

import numpy as np
import pytest

from deployments.pixels.masks import bounding_box, bounding_slices, convex_hull, dilate

EMPTY = np.zeros((6, 9), bool)


@pytest.mark.parametrize(("rows", "columns"), [((0, 6), (0, 9)), ((2, 3), (4, 5)), ((1, 4), (3, 9)), ((5, 6), (0, 2))])
def test_the_box_holds_all_that_is_set_and_ends_behind_it(rows: tuple[int, int], columns: tuple[int, int]) -> None:
    mask = EMPTY.copy()
    mask[rows[0], columns[0]] = mask[rows[1] - 1, columns[1] - 1] = True
    assert bounding_box(mask) == (columns[0], rows[0], columns[1], rows[1])
    assert bounding_slices(mask) == (slice(*rows), slice(*columns))


def test_an_empty_mask_has_a_box_of_nothing() -> None:
    assert bounding_box(EMPTY) == (0, 0, 0, 0)
    assert EMPTY[bounding_slices(EMPTY)].size == 0


def test_nothing_grows_to_nothing() -> None:
    grown = dilate(EMPTY, 3)
    assert not grown.any()
    assert grown is not EMPTY


def blank(height=100, width=120):
    return np.zeros((height, width), bool)


def rectangle(left, top, right, bottom, **size):
    mask = blank(**size)
    mask[top:bottom, left:right] = True
    return mask


def test_the_hull_of_two_corners_of_an_l_shape_is_filled():
    mask = rectangle(20, 20, 30, 80) | rectangle(20, 70, 80, 80)
    hull = convex_hull(mask)
    assert (hull & mask).sum() == mask.sum()
    assert hull[60, 40]  # inside the L
    assert not hull[25, 75]  # beyond its long side


@pytest.mark.parametrize("mask", [rectangle(5, 5, 6, 6), rectangle(5, 5, 30, 6)])
def test_a_point_and_a_line_are_their_own_hull(mask):
    assert (convex_hull(mask) == mask).all()


def test_dilation_is_a_disc():
    grown = dilate(rectangle(50, 50, 51, 51), 5)
    y, x = np.mgrid[:100, :120]
    assert (grown == (np.hypot(x - 50, y - 50) <= 5)).all()


def test_dilation_stops_at_the_edges():
    grown = dilate(rectangle(0, 0, 2, 2), 3)
    assert grown[0, 4]
    assert not grown[0, 5]
    assert not grown[-1].any()
