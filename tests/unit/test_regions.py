from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments import colours, regions
from deployments.messages import MaskShape


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


SHAPES = get_args(MaskShape)


def test_the_shapes_are_the_mask_its_hull_and_its_box():
    mask = rectangle(20, 20, 30, 80) | rectangle(20, 70, 80, 80)
    silhouette, hull, box = (regions.plan(mask, shape, dilation=0).mask for shape in SHAPES)
    assert (silhouette == mask).all()
    assert (hull == regions.convex_hull(mask)).all()
    assert (box == rectangle(20, 20, 80, 80)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_region_grows_by_a_share_of_its_longest_side(shape):
    mask = rectangle(40, 40, 90, 60)
    assert (regions.plan(mask, shape, dilation=0.2).mask == regions.dilate(mask, 10)).all()
    assert (regions.plan(mask, shape, dilation=0.001).mask == regions.dilate(mask, 2)).all()
    assert (regions.plan(mask, shape, dilation=0).mask == mask).all()


def test_a_drawn_mask_of_several_parts_is_used_as_it_is():
    mask = rectangle(25, 25, 32, 32) | rectangle(65, 60, 85, 85)
    mask[70:75, 72:76] = False  # a hole is left alone too
    region = regions.plan(mask, "silhouette", dilation=0)
    assert (region.mask == mask).all()
    assert region.crop(mask).sum() == mask.sum()
    assert region.mask is not mask


def test_without_dilation_the_painting_fades_within_the_masks_own_rim():
    mask = rectangle(40, 30, 80, 60)
    region = regions.plan(mask, dilation=0)
    square = np.full((*region.crop(mask).shape, 3), 200, np.uint8)
    result = regions.paste_back(np.full((100, 120, 3), 100, np.uint8), square, region)[..., 0]
    assert (result[~mask] == 100).all()
    assert (result[32:58, 42:78] == 200).all()
    assert (result[30, 40:80] == 150).all()


def test_a_thing_that_grows_far_does_not_fade_away():
    region = regions.plan(rectangle(50, 40, 70, 60), dilation=0.5)
    left, top = region.box_xyxy[:2]
    alpha = region.alpha[50 - top, : 60 - left]
    assert ((alpha > 0) & (alpha < 1)).sum() == 1  # a rim of two pixels, not of the ten it grew by
    assert (alpha == 1).sum() == 19


@pytest.mark.parametrize("context", [1.0, 1.35, 2.0])
def test_the_square_has_the_context_asked_for(context):
    mask = rectangle(90, 70, 150, 110, height=200, width=250)
    left, top, right, bottom = regions.plan(mask, dilation=0, context=context).box_xyxy
    assert right - left == bottom - top == round(60 * context)


def test_the_painter_sees_no_less_than_a_few_pixels():
    left, _, right, _ = regions.plan(rectangle(60, 50, 62, 52)).box_xyxy
    assert right - left == regions.MIN_CROP_PX


def test_most_of_a_picture_is_all_of_it():
    mask = rectangle(2, 2, 118, 98)
    region = regions.plan(mask)
    assert region.box_xyxy == (0, -10, 120, 110)


def test_without_a_crop_the_whole_picture_is_squeezed():
    mask = rectangle(40, 30, 80, 60)
    y, x = np.mgrid[:100, :120]
    picture = np.dstack([x, y, 255 - x]).astype(np.uint8)
    region = regions.plan(mask, crop=False)
    square, squeezed = region.crop(picture), region.crop(mask)
    assert square.shape == (120, 120, 3)
    assert squeezed.shape == (120, 120)
    assert regions.bounding_box(squeezed) == (40, 36, 80, 72)
    assert np.abs(region.uncrop(square).astype(int) - picture).max() <= 2
    assert np.abs(regions.paste_back(picture, square, region).astype(int) - picture).max() <= 2
    painted = regions.paste_back(picture, np.full_like(square, 7), region)
    assert (painted[mask] == 7).all()
    assert regions.changed_outside(picture, painted, region.mask) == 0


@pytest.mark.parametrize("crop", [True, False])
def test_a_seam_is_the_difference_just_outside(crop):
    picture = np.random.default_rng(0).integers(20, 200, (100, 120, 3), dtype=np.uint8)
    region = regions.plan(rectangle(40, 30, 80, 60), crop=crop)
    square = region.crop(picture)
    assert regions.seam(picture, square, region) == 0
    assert regions.seam(picture, square + np.uint8(10), region) == 10
    inside = np.where(region.crop(region.mask)[..., None], np.uint8(0), square)
    assert regions.seam(picture, inside, region) == 0  # what is painted in the region is no seam
    far = square.copy()
    far[:2] = 255 - far[:2]
    assert regions.seam(picture, far, region) == 0  # nor is what is far away from it


def test_where_nothing_is_outside_there_is_no_seam():
    picture = np.zeros((40, 40, 3), np.uint8)
    region = regions.plan(np.ones((40, 40), bool))
    assert regions.seam(picture, region.crop(picture) + np.uint8(9), region) == 0


def test_the_band_is_outside_the_region_and_borders_on_it():
    region = regions.plan(rectangle(40, 30, 80, 60))
    mask = region.crop(region.mask)
    assert not (region.band & mask).any()
    assert (region.band | mask)[regions.dilate(mask, 1)].all()
    assert region.band.sum() > 0


boxes = st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=3)


def drawn(height, width, boxes):
    mask = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        left, right = sorted((int(x0 * (width - 1)), int(x1 * (width - 1))))
        top, bottom = sorted((int(y0 * (height - 1)), int(y1 * (height - 1))))
        mask[top : bottom + 1, left : right + 1] = True
    return mask


@settings(deadline=None, max_examples=200)
@given(
    st.integers(16, 90),
    st.integers(16, 90),
    boxes,
    st.sampled_from(SHAPES),
    st.sampled_from([0.0, 0.001, 0.06, 0.3, 1.0]) | st.floats(0, 1),
    st.floats(1, 8),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_no_byte_outside_the_mask_ever_changes(height, width, boxes, shape, dilation, context, crop, seed):
    mask = drawn(height, width, boxes)
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image.setflags(write=False)  # as they arrive from another process
    mask.setflags(write=False)
    region = regions.plan(mask, shape, dilation, context, crop)
    square = region.crop(image)
    assert square.shape[0] == square.shape[1]
    assert square.shape[:2] == region.crop(region.mask).shape == region.band.shape
    assert square.shape[0] >= min(max(height, width), regions.MIN_CROP_PX)
    painted = rng.integers(0, 256, square.shape, dtype=np.uint8)
    painted = colours.fit(painted, square, region)
    result = regions.paste_back(image, painted, region)
    assert (mask & ~region.mask).sum() == 0
    assert regions.changed_outside(image, result, region.mask) == 0
    assert 0 <= regions.seam(image, painted, region) <= 255
    if dilation == 0 and shape == "silhouette":
        assert regions.changed_outside(image, result, mask) == 0
    if dilation > 0 and crop:  # then the ramp is outside what stood there
        y, x = np.nonzero(mask)
        assert (result[y, x] == painted[y - region.box_xyxy[1], x - region.box_xyxy[0]]).all()


@settings(deadline=None, max_examples=100)
@given(st.integers(16, 90), st.integers(16, 90), boxes, st.sampled_from(SHAPES), st.floats(0, 0.4))
def test_the_square_holds_the_region(height, width, boxes, shape, dilation):
    region = regions.plan(drawn(height, width, boxes), shape, dilation)
    left, top, right, bottom = region.box_xyxy
    inner = regions.bounding_box(region.mask)
    assert left <= inner[0]
    assert top <= inner[1]
    assert inner[2] <= right
    assert inner[3] <= bottom
    assert right - left <= max(height, width)
    # Shifted inside before anything is mirrored.
    assert right - left > width or (left >= 0 and right <= width)
    assert bottom - top > height or (top >= 0 and bottom <= height)
