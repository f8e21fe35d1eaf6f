from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.messages import MaskShape
from deployments.pixels import colours, pasting, regions
from deployments.pixels.masks import bounding_box, convex_hull, dilate


def blank(height=100, width=120):
    return np.zeros((height, width), bool)


def rectangle(left, top, right, bottom, **size):
    mask = blank(**size)
    mask[top:bottom, left:right] = True
    return mask


def test_the_crop_is_a_square_around_the_region_inside_the_picture():
    plan = regions.plan(rectangle(40, 30, 80, 60))
    (region,) = plan.regions
    left, top, right, bottom = region.box_xyxy
    assert right - left == bottom - top
    assert left >= 0
    assert top >= 0
    assert right <= 120
    assert bottom <= 100
    grown = bounding_box(plan.mask)
    assert left <= grown[0]
    assert top <= grown[1]
    assert grown[2] <= right
    assert grown[3] <= bottom


def test_a_picture_smaller_than_the_crop_is_reflected_never_filled():
    picture = np.arange(1, 20 * 60 + 1).reshape(20, 60)
    (region,) = regions.plan(rectangle(5, 2, 55, 18, height=20, width=60)).regions
    crop = region.crop(picture)
    assert crop.shape[0] == crop.shape[1] == 60
    assert (crop > 0).all()
    assert (crop[20:40] == picture).all()


SHAPES = get_args(MaskShape)


def test_the_shapes_are_the_mask_its_hull_and_its_box():
    mask = rectangle(20, 20, 30, 80) | rectangle(20, 70, 80, 80)
    silhouette, hull, box = (regions.plan(mask, shape, dilation=0).mask for shape in SHAPES)
    assert (silhouette == mask).all()
    assert (hull == convex_hull(mask)).all()
    assert (box == rectangle(20, 20, 80, 80)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_region_grows_by_a_share_of_its_longest_side(shape):
    mask = rectangle(40, 40, 90, 60)
    assert (regions.plan(mask, shape, dilation=0.2).mask == dilate(mask, 10)).all()
    assert (regions.plan(mask, shape, dilation=0.001).mask == dilate(mask, 2)).all()
    assert (regions.plan(mask, shape, dilation=0).mask == mask).all()


def test_a_drawn_mask_of_several_parts_is_used_as_it_is():
    mask = rectangle(25, 25, 32, 32) | rectangle(40, 40, 65, 65)
    mask[50:55, 52:56] = False  # a hole is left alone too
    plan = regions.plan(mask, "silhouette", dilation=0)
    (region,) = plan.regions
    assert (plan.mask == mask).all()
    assert (region.mask == region.crop(mask)).all()
    assert plan.mask is not mask


def test_a_thing_that_grows_far_does_not_fade_away():
    (region,) = regions.plan(rectangle(50, 40, 70, 60), dilation=0.5).regions
    left, top = region.box_xyxy[:2]
    alpha = region.alpha[50 - top, : 60 - left]
    assert ((alpha > 0) & (alpha < 1)).sum() == 1  # a rim of two pixels, not of the ten it grew by
    assert (alpha == 1).sum() == 19


@pytest.mark.parametrize("context", [1.0, 1.35, 2.0])
def test_the_square_has_the_context_asked_for(context):
    mask = rectangle(90, 70, 150, 110, height=200, width=250)
    (region,) = regions.plan(mask, dilation=0, context=context).regions
    left, top, right, bottom = region.box_xyxy
    assert right - left == bottom - top == round(60 * context)


def test_the_painter_sees_no_less_than_a_few_pixels():
    (region,) = regions.plan(rectangle(60, 50, 62, 52)).regions
    assert region.mask.shape == (regions.MIN_CROP_PX,) * 2


def test_most_of_a_picture_is_all_of_it():
    (region,) = regions.plan(rectangle(2, 2, 118, 98)).regions
    assert region.box_xyxy == (0, -10, 120, 110)


def test_without_a_crop_the_whole_picture_is_squeezed():
    mask = rectangle(40, 30, 80, 60)
    y, x = np.mgrid[:100, :120]
    picture = np.dstack([x, y, 255 - x]).astype(np.uint8)
    plan = regions.plan(mask, crop=False)
    (region,) = plan.regions
    square, squeezed = region.crop(picture), region.crop(mask)
    assert square.shape == (120, 120, 3)
    assert squeezed.shape == region.mask.shape == (120, 120)
    assert bounding_box(squeezed) == (40, 36, 80, 72)
    assert np.abs(region.uncrop(square).astype(int) - picture).max() <= 2
    assert np.abs(pasting.paste_back(picture, [square], plan).astype(int) - picture).max() <= 2
    painted = pasting.paste_back(picture, [np.full_like(square, 7)], plan)
    assert (painted[mask] == 7).all()
    assert pasting.changed_outside(picture, painted, plan.mask) == 0


def test_without_a_crop_there_is_one_square_for_everything():
    two = rectangle(5, 5, 15, 15) | rectangle(100, 80, 115, 95)
    plan = regions.plan([rectangle(5, 5, 15, 15), rectangle(100, 80, 115, 95)], "silhouette", dilation=0, crop=False)
    assert len(plan.regions) == 1
    assert (plan.mask == two).all()


def test_the_band_is_outside_the_region_and_borders_on_it():
    (region,) = regions.plan(rectangle(40, 30, 80, 60)).regions
    assert not (region.band & region.mask).any()
    assert (region.band | region.mask)[dilate(region.mask, 1)].all()
    assert region.band.sum() > 0


def test_distant_parts_have_a_square_each_as_if_they_were_alone():
    first, second = rectangle(10, 10, 40, 34, width=400), rectangle(300, 60, 320, 90, width=400)
    plan = regions.plan(first | second)
    alone = [regions.plan(each).regions[0] for each in (first, second)]
    assert [region.box_xyxy for region in plan.regions] == [region.box_xyxy for region in alone]
    for region, other in zip(plan.regions, alone, strict=True):
        assert (region.alpha == other.alpha).all()
        assert (region.mask == other.mask).all()


def test_several_masks_stay_apart_and_no_pixel_belongs_to_two():
    """Two things next to each other: their grown hulls meet, and neither is painted over the other's own pixels."""
    first, second = rectangle(20, 20, 60, 80), rectangle(62, 30, 100, 70)
    plan = regions.plan([first, second])
    assert len(plan.regions) == 2
    owned = [drawn_in_picture(region, plan.mask.shape) for region in plan.regions]
    assert not (owned[0] & owned[1]).any()
    assert (owned[0] | owned[1] == plan.mask).all()
    assert not (owned[0] & second).any()
    assert not (owned[1] & first).any()
    assert (first & ~owned[0]).sum() == (second & ~owned[1]).sum() == 0


def test_a_band_holds_nothing_that_changes():
    """What is painted beside a thing says nothing of how well the thing goes on."""
    first, second = rectangle(20, 20, 60, 80), rectangle(66, 30, 100, 70)
    plan = regions.plan([first, second])
    for region in plan.regions:
        assert region.band.any()
        assert not (region.band & region.crop(plan.mask)).any()


def test_a_thing_that_an_earlier_one_hides_is_left_out():
    plan = regions.plan([rectangle(20, 20, 60, 80), rectangle(30, 30, 40, 40), rectangle(90, 90, 99, 99)])
    assert len(plan.regions) == 2


def test_one_square_around_everything_can_be_asked_for():
    two = rectangle(10, 10, 40, 34, width=400) | rectangle(300, 60, 320, 90, width=400)
    left, _, right, _ = regions.whole(two).box_xyxy
    assert right - left == 400


def drawn_in_picture(region, size):
    """HxW bool: where a region's painting has a share."""
    there, in_box = region.inside(size[::-1])
    owned = np.zeros(size, bool)
    owned[there] = region.alpha[in_box] > 0
    return owned


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
    st.lists(boxes, min_size=1, max_size=3),
    st.sampled_from(SHAPES),
    st.sampled_from([0.0, 0.001, 0.06, 0.3, 1.0]) | st.floats(0, 1),
    st.floats(1, 8),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_no_byte_outside_the_mask_ever_changes(height, width, things, shape, dilation, context, crop, seed):
    masks = [drawn(height, width, each) for each in things]
    mask = np.logical_or.reduce(masks)
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    for given_array in (image, *masks):
        given_array.setflags(write=False)  # as they arrive from another process
    plan = regions.plan(masks, shape, dilation, context, crop)
    squares = plan.squares(image)
    for region, square in zip(plan.regions, squares, strict=True):
        side = len(square.image)
        assert square.image.shape == (side, side, 3)
        assert square.mask.shape == region.band.shape == (side, side)
        assert side >= min(max(height, width), regions.MIN_CROP_PX)
    painted = [
        colours.fit(rng.integers(0, 256, square.image.shape, dtype=np.uint8), square.image, region)
        for region, square in zip(plan.regions, squares, strict=True)
    ]
    result = pasting.paste_back(image, painted, plan)
    assert (mask & ~plan.mask).sum() == 0
    assert pasting.changed_outside(image, result, plan.mask) == 0
    assert 0 <= pasting.seam(image, painted, plan) <= 255
    shares = [drawn_in_picture(region, plan.mask.shape) for region in plan.regions]
    assert (np.sum(shares, axis=0) == plan.mask).all()  # each pixel belongs to one region
    if dilation == 0 and shape == "silhouette":
        assert pasting.changed_outside(image, result, mask) == 0
    if dilation > 0 and crop and len(plan.regions) == 1:  # then the ramp is outside what stood there
        y, x = np.nonzero(mask)
        left, top = plan.regions[0].box_xyxy[:2]
        assert (result[y, x] == painted[0][y - top, x - left]).all()


@settings(deadline=None, max_examples=100)
@given(st.integers(16, 90), st.integers(16, 90), boxes, st.sampled_from(SHAPES), st.floats(0, 0.4))
def test_a_square_holds_its_region(height, width, boxes, shape, dilation):
    plan = regions.plan(drawn(height, width, boxes), shape, dilation)
    covered = np.zeros_like(plan.mask)
    for region in plan.regions:
        left, top, right, bottom = region.box_xyxy
        covered |= drawn_in_picture(region, plan.mask.shape)
        assert right - left <= max(height, width)
        # Shifted inside before anything is mirrored.
        assert right - left > width or (left >= 0 and right <= width)
        assert bottom - top > height or (top >= 0 and bottom <= height)
    assert (covered == plan.mask).all()
