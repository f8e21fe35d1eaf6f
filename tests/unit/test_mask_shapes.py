import numpy as np
import pytest

from deployments.pixels.masks import convex_hull, dilate


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
