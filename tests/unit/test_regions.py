import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments import regions


def blank(height=100, width=120):
    return np.zeros((height, width), bool)


def rectangle(left, top, right, bottom, **size):
    mask = blank(**size)
    mask[top:bottom, left:right] = True
    return mask


def test_the_hull_of_two_corners_of_an_l_shape_is_filled():
    mask = rectangle(20, 20, 30, 80) | rectangle(20, 70, 80, 80)
    hull = regions.convex_hull(mask)
    assert (hull & mask).sum() == mask.sum()
    assert hull[60, 40]  # inside the L
    assert not hull[25, 75]  # beyond its long side


@pytest.mark.parametrize("mask", [rectangle(5, 5, 6, 6), rectangle(5, 5, 30, 6)])
def test_a_point_and_a_line_are_their_own_hull(mask):
    assert (regions.convex_hull(mask) == mask).all()


def test_dilation_is_a_disc():
    grown = regions.dilate(rectangle(50, 50, 51, 51), 5)
    y, x = np.mgrid[:100, :120]
    assert (grown == (np.hypot(x - 50, y - 50) <= 5)).all()


def test_dilation_stops_at_the_edges():
    grown = regions.dilate(rectangle(0, 0, 2, 2), 3)
    assert grown[0, 4]
    assert not grown[0, 5]
    assert not grown[-1].any()


def test_only_the_part_at_the_point_is_kept():
    mask = rectangle(10, 10, 20, 20) | rectangle(60, 60, 90, 90)
    assert regions.bounding_box(regions.part_at(mask, (12, 12))) == (10, 10, 20, 20)
    assert regions.bounding_box(regions.part_at(mask, (0, 0))) == (60, 60, 90, 90)  # none there: the largest


def test_the_crop_is_a_square_around_the_region_inside_the_picture():
    region = regions.plan(rectangle(40, 30, 80, 60))
    left, top, right, bottom = region.box_xyxy
    assert right - left == bottom - top
    assert left >= 0
    assert top >= 0
    assert right <= 120
    assert bottom <= 100
    grown = regions.bounding_box(region.mask)
    assert left <= grown[0]
    assert top <= grown[1]
    assert grown[2] <= right
    assert grown[3] <= bottom


def test_a_picture_smaller_than_the_crop_is_reflected_never_filled():
    picture = np.arange(1, 20 * 60 + 1).reshape(20, 60)
    region = regions.plan(rectangle(5, 2, 55, 18, height=20, width=60))
    crop = region.crop(picture)
    assert crop.shape[0] == crop.shape[1] == 60
    assert (crop > 0).all()
    assert (crop[20:40] == picture).all()


def test_the_painting_replaces_the_mask_and_fades_inside_the_margin():
    mask = rectangle(40, 30, 80, 60)
    region = regions.plan(mask)
    image = np.full((100, 120, 3), 100, np.uint8)
    painted = np.full((*region.crop(mask).shape, 3), 200, np.uint8)
    result = regions.paste_back(image, painted, region)
    assert (result[mask] == 200).all()
    assert (result[~region.mask] == 100).all()
    margin = region.mask & ~mask
    assert 100 < result[margin].mean() < 200


def test_changes_outside_are_counted():
    before = np.zeros((10, 10, 3), np.uint8)
    after = before.copy()
    after[0, 0, 1] = 1
    after[5, 5] = 255
    assert regions.changed_outside(before, after, rectangle(5, 5, 6, 6, height=10, width=10)) == 1


@settings(deadline=None, max_examples=60)
@given(
    st.integers(16, 90),
    st.integers(16, 90),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_no_byte_outside_the_mask_ever_changes(height, width, boxes, seed):
    mask = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        left, right = sorted((int(x0 * (width - 1)), int(x1 * (width - 1))))
        top, bottom = sorted((int(y0 * (height - 1)), int(y1 * (height - 1))))
        mask[top : bottom + 1, left : right + 1] = True
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image.setflags(write=False)  # as it arrives from another process
    region = regions.plan(mask)
    crop = region.crop(image)
    assert crop.shape[0] == crop.shape[1]
    painted = rng.integers(0, 256, crop.shape, dtype=np.uint8)
    result = regions.paste_back(image, painted, region)
    assert (mask & ~region.mask).sum() == 0
    assert regions.changed_outside(image, result, region.mask) == 0
    y, x = np.nonzero(mask)
    assert (result[y, x] == painted[y - region.box_xyxy[1], x - region.box_xyxy[0]]).all()
