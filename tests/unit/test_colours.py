import numpy as np
import pytest
from scipy import ndimage

from deployments.pixels import colours, pasting, regions


@pytest.fixture
def scene():
    """A picture of many colours, a region in it, and the square around that."""
    blotches = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(100, 120, 3)), (3, 3, 0))
    picture = np.clip(125 + 35 * blotches / blotches.std(), 40, 200).astype(np.uint8)
    mask = np.zeros((100, 120), bool)
    mask[30:60, 40:80] = True
    region = regions.whole(mask)
    return picture, region, region.crop(picture)


def seam(picture, painted, region):
    return pasting.seam(picture, [painted], regions.Plan(np.zeros(picture.shape[:2], bool), (region,)))


def shifted(square, gain, offset):
    return np.round((square * np.array(gain) + np.array(offset)).clip(0, 255)).astype(np.uint8)


def test_a_shift_of_colours_is_undone(scene):
    picture, region, square = scene
    painted = shifted(square, (1.1, 0.95, 1.0), (-12, 9, 5))
    assert seam(picture, painted, region) > 3
    fitted = colours.fit(painted, square, region)
    assert fitted.dtype == np.uint8
    assert seam(picture, fitted, region) < 0.7  # rounding twice
    assert np.abs(fitted.astype(int) - square).mean() < 0.7  # inside the region too


def test_what_was_painted_in_the_region_has_no_say(scene):
    _, region, square = scene
    painted = shifted(square, (1.1, 1.1, 1.1), (-12, 9, 5))
    inside = region.mask
    other = np.where(inside[..., None], 255 - painted, painted)
    fitted, fitted_other = (colours.fit(each, square, region) for each in (painted, other))
    assert (fitted[~inside] == fitted_other[~inside]).all()
    assert (fitted_other[inside] != other[inside]).any()


def test_a_painting_that_fits_stays_as_it_is(scene):
    _, region, square = scene
    assert colours.fit(square, square, region) is square


def softened(square):
    return ndimage.gaussian_filter(square, (1, 1, 0))


def with_detail_of_its_own(square):
    return np.clip(square + np.random.default_rng(1).normal(0, 30, square.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("painters", [softened, with_detail_of_its_own])
def test_what_is_no_shift_of_colours_takes_no_contrast_away_nor_adds_any(scene, painters):
    """Plain least squares would answer a painter's own detail by fading all that it painted."""
    picture, region, square = scene
    painted = painters(square)
    fitted = colours.fit(painted, square, region)
    assert seam(picture, fitted, region) <= seam(picture, painted, region)
    assert fitted.std() == pytest.approx(painted.std(), rel=0.06)


def test_what_spilled_over_into_the_band_is_no_shift(scene):
    """A fifth of the band is painted over with something else; the rest is two levels too bright."""
    _, region, square = scene
    spilled = np.random.default_rng(0).random(square.shape[:2]) < 0.2
    painted = np.where(spilled[..., None], np.uint8(250), square + np.uint8(2))
    fitted = colours.fit(painted, square, region)
    assert (fitted[~spilled] == square[~spilled]).mean() > 0.9


def test_a_shift_that_is_not_all_around_is_no_shift(scene):
    """Shadows, say, that the painter put there: what is true of one half must be true of the other."""
    picture, region, square = scene
    y, x = np.indices(square.shape[:2]) < len(square) / 2
    shadow = (y == x) | (np.random.default_rng(0).random(y.shape) < 0.2)
    painted = np.where(shadow[..., None], square - np.uint8(30), square)
    correction = colours._correction(painted[region.band].astype(float), square[region.band].astype(float))
    assert seam(picture, colours._corrected(painted, correction), region) < seam(picture, painted, region)
    assert colours.fit(painted, square, region) is painted


@pytest.mark.parametrize(("gain", "offset"), [(0.4, 0), (1.0, 55), (2.0, -120)])
def test_no_correction_is_larger_than_a_painters_shift(scene, gain, offset):
    """What is so far off is no shift of colours; it is corrected as far as allowed, and no further."""
    _, region, square = scene
    painted = shifted(square, (gain,) * 3, (offset,) * 3)
    fitted = colours.fit(painted, square, region)
    middle = painted[region.band].mean(axis=0)
    allowed = colours.MAX_OFFSET + 0.25 * np.abs(painted - middle) + 1
    assert (np.abs(fitted.astype(float) - painted) <= allowed).all()


def test_a_plain_ground_tells_the_offset_and_no_gain():
    """On one colour every gain is explained by an offset: then the painting keeps its contrast."""
    picture = np.full((100, 120, 3), 90, np.uint8)
    mask = np.zeros((100, 120), bool)
    mask[30:60, 40:80] = True
    region = regions.whole(mask)
    square = region.crop(picture)
    painted = square + np.uint8(8)
    painted[region.mask] = np.arange(3, dtype=np.uint8) * 60
    fitted = colours.fit(painted, square, region)
    assert (fitted[region.band] == 90).all()
    inside = region.mask
    assert (fitted[inside] == np.array([0, 52, 112])).all()


def test_a_band_too_small_to_judge_by_changes_nothing():
    picture = np.full((16, 16, 3), 90, np.uint8)
    mask = np.ones((16, 16), bool)
    mask[0, :5] = False
    region = regions.whole(mask, "silhouette", dilation=0)
    painted = region.crop(picture) + np.uint8(8)
    assert 0 < region.band.sum() < colours.MIN_PIXELS
    assert colours.fit(painted, region.crop(picture), region) is painted


def test_nothing_is_written_into_what_was_given(scene):
    _, region, square = scene
    painted = shifted(square, (1.1,) * 3, (5,) * 3)
    for array in (painted, square):
        array.setflags(write=False)
    colours.fit(painted, square, region)
