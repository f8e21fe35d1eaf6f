import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from deployments.errors import InvalidInput
from deployments.pixels import pasting, regions, removal
from pocket import world
from pocket.vocabulary import BY_NAME


def psnr(made, truth, mask):
    error = made[mask].astype(float) - truth[mask]
    return 10 * np.log10(255**2 / max(1e-3, (error**2).mean()))


def scene(seed, size_wh=(192, 192), ground=None, names=("red apple",), photographs=("gravel",)):
    """A scene, the region of the first of its things, and what it would be without."""
    stickers = [BY_NAME[name] for name in names]
    drawn = world.compose(world.evaluation_rng(71, seed), size_wh, stickers, ground, photographs)
    return drawn.image, regions.plan(drawn.placed[0].mask).mask, drawn.without(drawn.placed[0])


@pytest.mark.parametrize(("ground", "least"), [("plain", 50), ("graded", 38)])
@pytest.mark.parametrize("seed", range(4))
def test_a_smooth_ground_goes_on(ground, least, seed):
    image, mask, truth = scene(seed, ground=ground, names=("red apple", "dog"))
    assert psnr(removal.fill(image, mask), truth, mask) > least


@pytest.mark.parametrize("photograph", ["gravel", "grass", "brick"])
def test_a_textured_ground_keeps_its_texture(photograph):
    image, mask, truth = scene(3, ground="photographic", photographs=(photograph,))
    filled = removal.fill(image, mask)
    assert 0.7 < filled[mask].std() / truth[mask].std() < 1.4
    # Each pixel comes from somewhere else in the picture, and none from under the mask.
    colours = {tuple(colour) for colour in image[~mask]}
    assert all(tuple(colour) in colours for colour in filled[mask])


@pytest.mark.parametrize("roughness", [0, 20])
def test_what_little_of_another_thing_touches_the_mask_does_not_bleed_into_it(roughness):
    rng = np.random.default_rng(0)
    image = np.full((100, 120, 3), 120, np.uint8) + rng.integers(0, 1 + roughness, (100, 120, 1), dtype=np.uint8)
    mask = np.zeros((100, 120), bool)
    mask[30:70, 40:80] = True
    image[48:52, 80:84] = (230, 20, 20)
    filled = removal.fill(image, mask)[mask].astype(int)
    assert np.ptp(filled, axis=1).max() == 0  # every pixel is grey
    assert filled.min() >= 120
    assert filled.max() <= 120 + roughness


def test_a_large_picture_is_filled_in_its_own_detail():
    """Far finer than in the small copy that the map is found in."""
    image = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    mask = np.zeros((700, 900), bool)
    mask[200:500, 300:600] = True
    filled = removal.fill(image, mask)
    assert filled[mask].std() == pytest.approx(image.std(), rel=0.02)
    colours = {tuple(colour) for colour in image[~mask]}
    assert all(tuple(colour) in colours for colour in filled[mask][::97])


def test_the_same_input_gives_the_same_picture():
    image, mask, _ = scene(1, ground="photographic")
    first = removal.fill(image, mask)
    assert all((removal.fill(image, mask) == first).all() for _ in range(3))


def test_a_mask_of_several_parts_at_the_edges():
    image = np.broadcast_to(np.linspace(0, 200, 90, dtype=np.uint8)[None, :, None], (70, 90, 3)).copy()
    mask = np.zeros((70, 90), bool)
    mask[:9, :12] = mask[60:, 70:] = mask[30:36, 85:] = True
    truth = image.copy()
    image[mask] = (255, 0, 0)
    filled = removal.fill(image, mask)
    assert (filled[~mask] == truth[~mask]).all()
    assert np.abs(filled.astype(int) - truth).max() < 30


def test_nearly_everything_may_be_masked():
    image = np.random.default_rng(0).integers(0, 256, (400, 300, 3), dtype=np.uint8)
    mask = np.ones((400, 300), bool)
    mask[17, 203] = False
    filled = removal.fill(image, mask)
    assert (filled == image[17, 203]).all()


def test_a_mask_of_everything_is_refused_by_its_field():
    with pytest.raises(InvalidInput) as refused:
        removal.fill(np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), bool))
    assert refused.value.param == "mask"


def test_an_empty_mask_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    filled = removal.fill(image, np.zeros((20, 30), bool))
    assert (filled == image).all()
    assert filled is not image


@settings(deadline=None, max_examples=60)
@given(
    st.integers(16, 70),
    st.integers(16, 70),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=3),
    st.sampled_from(["noise", "blocks", "plain"]),
    st.integers(0, 2**32 - 1),
)
def test_only_the_mask_is_filled(height, width, boxes, kind, seed):
    mask = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        left, right = sorted((int(x0 * (width - 1)), int(x1 * (width - 1))))
        top, bottom = sorted((int(y0 * (height - 1)), int(y1 * (height - 1))))
        mask[top : bottom + 1, left : right + 1] = True
    mask[0, 0] = False
    step = {"noise": 1, "blocks": 8, "plain": 70}[kind]
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // step), -(-width // step), 3), dtype=np.uint8)
    image = blocks.repeat(step, axis=0).repeat(step, axis=1)[:height, :width]
    image.setflags(write=False)  # as it arrives from another process
    filled = removal.fill(image, mask)
    assert filled.dtype == np.uint8
    assert (filled[~mask] == image[~mask]).all()
    if kind == "plain":
        assert (filled == image).all()
    # What is under the mask does not matter.
    other = np.where(mask[..., None], rng.integers(0, 256, image.shape, dtype=np.uint8), image)
    assert (removal.fill(other, mask) == filled).all()


def textured_with(*boxes, height=160, width=400, seed=0):
    """A rough grey ground with red things, the mask of all, and the ground alone."""
    ground = np.random.default_rng(seed).integers(80, 140, (height, width, 1), dtype=np.uint8).repeat(3, axis=2)
    image, mask = ground.copy(), np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    image[mask] = (230, 20, 20)
    return image, mask, ground


def test_nothing_that_is_removed_is_copied_into_the_place_of_something_else():
    """Each balloon is all that the other one's surroundings have besides the ground."""
    image, mask, _ = textured_with((20, 40, 80, 100), (140, 40, 200, 100))
    first, second = (np.where(np.arange(400) < 110, mask, False), np.where(np.arange(400) < 110, False, mask))
    plan = regions.plan([first, second])
    assert len(plan.regions) == 2
    result = pasting.paste_back(image, removal.closed(image, plan), plan)
    assert np.ptp(result[mask].astype(int), axis=1).max() == 0  # grey


def test_what_is_unknown_is_no_source():
    image, mask, _ = textured_with((20, 40, 80, 100))
    other = np.zeros_like(mask)
    other[30:130, 100:160] = True
    image[other] = (20, 20, 230)
    filled = removal.fill(image, mask, mask | other)
    assert np.ptp(filled[mask].astype(int), axis=1).max() == 0
    assert (filled[~mask] == image[~mask]).all()


def test_a_long_mask_is_filled_in_its_own_detail_tile_by_tile():
    image, mask, ground = textured_with((40, 150, 2360, 250), height=400, width=2400)
    plan = regions.plan(mask, "silhouette", dilation=0)
    assert len(plan.regions) > 2
    result = pasting.paste_back(image, removal.closed(image, plan), plan)
    core = ndimage.binary_erosion(mask, iterations=2)  # within the rim over which it fades in
    assert np.ptp(result[core].astype(int), axis=1).max() <= 1  # no red is left where tiles meet
    assert result[core].std() == pytest.approx(ground[core].std(), rel=0.15)
    assert (result[~mask] == image[~mask]).all()


def test_where_nothing_is_known_nearby_it_looks_further():
    """The middle of a wide mask has only masked pixels around; the known ones are far away."""
    image, mask, _ = textured_with((0, 0, 1990, 300), height=300, width=2000)
    plan = regions.plan(mask, "silhouette", dilation=0)
    assert len(plan.regions) > 2
    result = pasting.paste_back(image, removal.closed(image, plan), plan)
    core = ndimage.binary_erosion(mask, iterations=2, border_value=1)
    assert np.ptp(result[core].astype(int), axis=1).max() <= 1


def test_a_plan_that_masks_everything_is_refused_by_its_field():
    with pytest.raises(InvalidInput) as refused:
        removal.closed(np.zeros((64, 1200, 3), np.uint8), regions.plan(np.ones((64, 1200), bool)))
    assert refused.value.param == "mask"


def test_one_ordinary_region_is_filled_as_its_mask_is():
    image, mask, _ = scene(3, ground="photographic", photographs=("grass",))
    plan = regions.plan(mask, "silhouette", dilation=0)
    (square,) = removal.closed(image, plan)
    (region,) = plan.regions
    assert (square == region.crop(removal.fill(image, mask))).all()
