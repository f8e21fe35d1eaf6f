"""Masks alone: their boxes, whether or not a pixel is set."""

import numpy as np
import pytest

from deployments.pixels.masks import bounding_box, bounding_slices, dilate

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
