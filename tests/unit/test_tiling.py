"""Long things are painted in overlapping tiles, whose weights add up; the cost grows with the picture's pixels."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.pixels import pasting, regions, tiling
from deployments.pixels.feather import feather_px, feathered
from deployments.pixels.masks import bounding_box


def along(height, width, share=0.6):
    """A mask along the longer side of a picture, with that share of its shorter side."""
    mask = np.zeros((height, width), bool)
    if width < height:
        return along(width, height, share).T.copy()
    margin = round((1 - share) / 2 * height)
    mask[margin : height - margin, height // 4 : width - height // 4] = True
    return mask


STRIPS = {
    "strip": along(128, 1024),
    "long strip": along(64, 4096),
    "upright strip": along(4096, 64),
    "screenshot": np.pad(np.ones((1800, 200), bool), ((100, 100), (170, 170))),
    "diagonal wire": np.abs(np.subtract.outer(np.arange(1500), np.arange(1500))) < 6,
}


def laid_over(plan):
    """HxW float64: the weight that the paintings have at each pixel, pasted one after another."""
    left = np.ones(plan.mask.shape)
    for region in plan.regions:
        there, in_box = region.inside(plan.mask.shape[::-1])
        left[there] *= 1 - region.alpha[in_box]
    return 1 - left


def expected_alpha(plan, dilation):
    mask = plan.mask
    side = len(plan.regions[0].mask)
    left, top, right, bottom = bounding_box(mask)
    margin = max(regions.MIN_MARGIN_PX, dilation * max(right - left, bottom - top)) if dilation else 0
    return feathered(mask, feather_px(side / regions.CONTEXT, margin))


@pytest.mark.parametrize("name", STRIPS)
def test_the_weights_of_all_tiles_add_up_to_the_alpha_of_the_whole(name):
    plan = regions.plan(STRIPS[name], "silhouette", dilation=0)
    assert 2 <= len(plan.regions) <= regions.MOST_TILES
    assert np.abs(laid_over(plan) - expected_alpha(plan, 0)).max() < 1e-5
    assert ((laid_over(plan) > 0) == plan.mask).all()


def test_a_grown_strip_is_weighed_as_a_whole_too():
    plan = regions.plan(np.pad(np.ones((60, 2000), bool), ((900, 900), (100, 100))), "silhouette", dilation=0.01)
    assert len(plan.regions) > 1
    assert np.abs(laid_over(plan) - expected_alpha(plan, 0.01)).max() < 1e-5


@pytest.mark.parametrize("name", STRIPS)
def test_pasting_what_stands_there_changes_nothing(name):
    plan = regions.plan(STRIPS[name], "silhouette", dilation=0)
    picture = np.random.default_rng(0).integers(0, 256, (*plan.mask.shape, 3), dtype=np.uint8)
    result = pasting.paste_back(picture, [square.image for square in plan.squares(picture)], plan)
    assert (result == picture).all()


def test_one_painting_becomes_the_next_without_a_step():
    """Black and white tiles in turn: along the strip the picture rises and falls by small steps."""
    plan = regions.plan(STRIPS["long strip"], "silhouette", dilation=0)
    shape = (*plan.regions[0].mask.shape, 3)
    colours = [np.full(shape, 255 * (number % 2), np.uint8) for number in range(len(plan.regions))]
    result = pasting.paste_back(np.full((64, 4096, 3), 128, np.uint8), colours, plan)
    line = result[32, 100:-100, 0].astype(int)
    assert line.min() == 0
    assert line.max() == 255
    assert np.abs(np.diff(line)).max() <= np.ceil(255 / (tiling.OVERLAP * len(plan.regions[0].mask) - 1))


@pytest.mark.parametrize("name", STRIPS)
def test_each_tile_sees_all_that_is_masked_in_its_square(name):
    plan = regions.plan(STRIPS[name], "silhouette", dilation=0)
    for region in plan.regions:
        assert (region.mask == region.crop(plan.mask)).all()
        assert region.mask.any()


@pytest.mark.parametrize("name", STRIPS)
def test_tiles_cost_at_most_half_of_the_one_square(name):
    plan = regions.plan(STRIPS[name], "silhouette", dilation=0)
    assert sum(region.mask.size for region in plan.regions) <= max(STRIPS[name].shape) ** 2 / 2


def reflected(region, size):
    """The share of a square that lies beyond the picture."""
    (rows, columns), _ = region.inside(size[::-1])
    return 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / region.mask.size


@pytest.mark.parametrize(("height", "width"), [(2000, 540), (1400, 350), (300, 3000), (256, 1600)])
def test_no_tile_shows_reflections_where_the_picture_is_as_wide_as_a_tile(height, width):
    plan = regions.plan(along(height, width), "silhouette", dilation=0)
    assert len(plan.regions) > 1
    assert max(reflected(region, plan.mask.shape) for region in plan.regions) == 0


def test_in_a_narrow_strip_a_tile_shows_far_less_reflections_than_the_one_square():
    mask = along(128, 2048)
    plan = regions.plan(mask, "silhouette", dilation=0)
    assert max(reflected(region, mask.shape) for region in plan.regions) <= 0.5
    assert reflected(regions.whole(mask), mask.shape) > 0.9


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize(("shape", "dilation"), [("hull", 0.06), ("silhouette", 0.0)])
def test_a_lamp_post_stays_one_thing(shape, dilation, upright):
    post = np.pad(np.ones((80, 800), bool), ((500, 420), (100, 100)))
    assert len(regions.plan(post.T.copy() if upright else post, shape, dilation).regions) == 1


@pytest.mark.parametrize("side", [600, 2000])
def test_specks_all_over_stay_one_square(side):
    """Tiles would cover as much as the one square does, at many times the cost."""
    y, x = np.random.default_rng(0).integers(0, side, (2, 4000))
    mask = np.zeros((side, side), bool)
    mask[y, x] = True
    assert len(regions.plan(mask, "silhouette", dilation=0).regions) == 1


def test_small_things_beside_a_long_one_leave_it_its_tiles():
    mask = np.pad(np.ones((1800, 60), bool), ((100, 100), (170, 1370)))
    alone = regions.plan(mask, "silhouette", dilation=0)
    mask[10:30, 1550:1570] = mask[1950:1970, 1550:1570] = True
    plan = regions.plan(mask, "silhouette", dilation=0)
    assert len(plan.regions) == len(alone.regions) + 2
    assert len(alone.regions) > 2


masks = st.lists(st.tuples(*[st.floats(0, 1)] * 4, st.floats(0, 0.1)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=60)
@given(st.integers(16, 300), st.integers(520, 1500), st.booleans(), masks, st.sampled_from([0.0, 0.02, 0.06]))
def test_whatever_is_long_is_covered_and_nothing_else_changes(short, long, upright, lines, dilation):
    mask = np.zeros((short, long), bool)
    for x0, y0, x1, y1, width in lines:
        x = np.linspace(x0, x1, 2 * long) * (long - 1)
        y = np.linspace(y0, y1, 2 * long) * (short - 1)
        for shift in range(1 + int(width * short)):
            mask[np.minimum(y.astype(int) + shift, short - 1), x.astype(int)] = True
    mask = mask.T.copy() if upright else mask
    plan = regions.plan(mask, "silhouette", dilation)
    weights = laid_over(plan)
    assert ((weights > 1e-7) == plan.mask).all()
    assert (mask & ~plan.mask).sum() == 0
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    painted = [rng.integers(0, 256, (*region.mask.shape, 3), dtype=np.uint8) for region in plan.regions]
    result = pasting.paste_back(picture, painted, plan)
    assert pasting.changed_outside(picture, result, plan.mask) == 0
    assert (pasting.paste_back(picture, [square.image for square in plan.squares(picture)], plan) == picture).all()


def peak_bytes(height, width):
    """What planning, cutting out and putting back need at most beyond the picture and its mask."""
    mask, picture = along(height, width), np.zeros((height, width, 3), np.uint8)
    tracemalloc.start()
    plan = regions.plan(mask, "silhouette", dilation=0)
    squares = plan.squares(picture)
    pasting.paste_back(picture, [square.image for square in squares], plan)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    ("height", "width", "times"), [(256, 1024, 3), (128, 2048, 3), (64, 4096, 3), (4096, 64, 3), (32, 8192, 12)]
)
def test_a_strip_needs_little_more_memory_than_a_square_picture_of_as_many_pixels(height, width, times):
    """A square around it would need up to 250 times as much. In the narrowest one sixteen tiles are all there are, and
    so each of them is far larger than the picture is high."""
    assert peak_bytes(height, width) <= times * peak_bytes(512, 512)


def test_a_long_part_of_a_screenshot_is_covered_by_a_few_squares_of_its_own_width():
    """1080x8000 with 400x7000 masked: one square around it would hold 64 million pixels, seven times the picture."""
    mask = np.zeros((8000, 1080), bool)
    mask[500:7500, 340:740] = True
    plan = regions.plan(mask, "silhouette", dilation=0)
    assert (plan.mask == mask).all()
    assert 4 <= len(plan.regions) <= 16
    assert sum(region.mask.size for region in plan.regions) <= 1.5 * mask.size
    assert all(region.box_xyxy[0] >= 0 and region.box_xyxy[2] <= 1080 for region in plan.regions)  # nothing reflected


def test_a_thing_of_ordinary_shape_in_a_wide_picture_stays_one_thing():
    """A train in a panorama: one square around it is the better choice, although half of that is reflected."""
    assert len(regions.plan(np.pad(np.ones((150, 800), bool), ((50, 56), (100, 124)))).regions) == 1
