import numpy as np
import pytest

from deployments.pixels import pasting, regions


def rectangle(left, top, right, bottom, height=100, width=120):
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_painting_replaces_the_mask_and_fades_inside_the_margin():
    mask = rectangle(40, 30, 80, 60)
    plan = regions.plan(mask)
    image = np.full((100, 120, 3), 100, np.uint8)
    painted = np.full((*plan.regions[0].mask.shape, 3), 200, np.uint8)
    result = pasting.paste_back(image, [painted], plan)
    assert (result[mask] == 200).all()
    assert (result[~plan.mask] == 100).all()
    margin = plan.mask & ~mask
    assert 100 < result[margin].mean() < 200


def test_without_dilation_the_painting_fades_within_the_masks_own_rim():
    mask = rectangle(40, 30, 80, 60)
    plan = regions.plan(mask, dilation=0)
    square = np.full((*plan.regions[0].mask.shape, 3), 200, np.uint8)
    result = pasting.paste_back(np.full((100, 120, 3), 100, np.uint8), [square], plan)[..., 0]
    assert (result[~mask] == 100).all()
    assert (result[32:58, 42:78] == 200).all()
    assert (result[30, 40:80] == 150).all()


def test_each_region_gets_its_own_painting():
    masks = rectangle(10, 10, 40, 34, width=400), rectangle(300, 60, 320, 90, width=400)
    plan = regions.plan(masks)
    squares = [
        np.full((*region.mask.shape, 3), 100 * number, np.uint8) for number, region in enumerate(plan.regions, 1)
    ]
    result = pasting.paste_back(np.zeros((100, 400, 3), np.uint8), squares, plan)
    assert (result[masks[0]] == 100).all()
    assert (result[masks[1]] == 200).all()


def test_a_painting_too_few_is_an_error():
    plan = regions.plan(rectangle(40, 30, 80, 60))
    with pytest.raises(ValueError, match="zip"):
        pasting.paste_back(np.zeros((100, 120, 3), np.uint8), [], plan)


def test_changes_outside_are_counted():
    before = np.zeros((10, 10, 3), np.uint8)
    after = before.copy()
    after[0, 0, 1] = 1
    after[5, 5] = 255
    assert pasting.changed_outside(before, after, rectangle(5, 5, 6, 6, height=10, width=10)) == 1


@pytest.mark.parametrize("crop", [True, False])
def test_a_seam_is_the_difference_just_outside(crop):
    picture = np.random.default_rng(0).integers(20, 200, (100, 120, 3), dtype=np.uint8)
    plan = regions.plan(rectangle(40, 30, 80, 60), crop=crop)
    (square,) = plan.squares(picture)
    assert pasting.seam(picture, [square.image], plan) == 0
    assert pasting.seam(picture, [square.image + np.uint8(10)], plan) == 10
    inside = np.where(square.mask[..., None], np.uint8(0), square.image)
    assert pasting.seam(picture, [inside], plan) == 0  # what is painted in the region is no seam
    far = square.image.copy()
    far[:2] = 255 - far[:2]
    assert pasting.seam(picture, [far], plan) == 0  # nor is what is far away from it


def test_the_seam_of_several_regions_is_the_mean_over_all_their_bands():
    picture = np.full((100, 400, 3), 50, np.uint8)
    plan = regions.plan([rectangle(10, 10, 60, 60, width=400), rectangle(300, 60, 320, 90, width=400)])
    first, second = (square.image for square in plan.squares(picture))
    sizes = [region.band.sum() for region in plan.regions]
    expected = (10 * sizes[0] + 40 * sizes[1]) / sum(sizes)
    assert pasting.seam(picture, [first + np.uint8(10), second + np.uint8(40)], plan) == pytest.approx(expected)


def test_where_nothing_is_outside_there_is_no_seam():
    picture = np.zeros((40, 40, 3), np.uint8)
    plan = regions.plan(np.ones((40, 40), bool))
    assert pasting.seam(picture, [plan.squares(picture)[0].image + np.uint8(9)], plan) == 0
