import numpy as np
import pytest
from scipy import ndimage

from deployments.pixels import shifts


def scene(size=(60, 80), hole=(slice(20, 32), slice(30, 46)), seed=0):
    """Random colours with a hole in them."""
    colours = np.random.default_rng(seed).uniform(0, 255, (*size, 3)).astype(np.float32)
    holes = np.zeros(size, bool)
    holes[hole] = True
    return colours, holes


def ring_of(holes):
    return ndimage.binary_dilation(holes, iterations=3)


def test_what_repeats_itself_is_continued():
    """Of a pattern with a period, what is hidden is told by what stands a period away."""
    tile, holes = scene((12, 15), (slice(0, 0), slice(0, 0)))
    colours = np.tile(tile, (5, 6, 1))
    holes = np.zeros(colours.shape[:2], bool)
    holes[20:30, 33:50] = True
    broken = np.where(holes[..., None], np.float32(0), colours)
    found = shifts.sources(broken, ~holes, holes, ring_of(holes))
    assert (found[~holes] == -1).all()
    assert (found[holes] >= 0).all()
    assert (broken.reshape(-1, 3)[found[holes]] == colours[holes]).all()


def test_each_part_takes_what_fits_where_it_is():
    """Left and right of the hole are other patterns: each reaches in from its side."""
    rng = np.random.default_rng(0)
    left, right = (np.tile(rng.uniform(0, 255, (10, 1, 3)), (6, 40, 1)) for _ in range(2))
    colours = np.concatenate([left, right], axis=1).astype(np.float32)
    holes = np.zeros(colours.shape[:2], bool)
    holes[20:40, 30:50] = True
    broken = np.where(holes[..., None], np.float32(0), colours)
    found = shifts.sources(broken, ~holes, holes, ring_of(holes))
    made = np.where(holes[..., None], broken.reshape(-1, 3)[found], colours)
    outer = holes.copy()
    outer[:, 36:44] = False  # somewhere in the middle they meet
    assert np.abs(made - colours)[outer].mean() < 20
    assert np.abs(made - colours)[outer].max(axis=-1).mean() < 30


@pytest.mark.parametrize("seed", range(5))
def test_sources_are_ground(seed):
    rng = np.random.default_rng(seed)
    colours, holes = scene(seed=seed)
    ground = ~holes & ndimage.binary_dilation(rng.random(holes.shape) < 0.1, iterations=3)
    found = shifts.sources(colours, ground, holes, ring_of(holes))
    assert (found[~holes] == -1).all()
    assert ground.ravel()[found[found >= 0]].all()
    assert (found[holes] >= 0).mean() > 0.5


def test_where_there_is_no_ground_there_is_no_source():
    colours, holes = scene()
    assert (shifts.sources(colours, np.zeros_like(holes), holes, ring_of(holes)) == -1).all()


@pytest.mark.parametrize("shift", [(3, -7), (-2, 4), (0, 0), (70, 0), (0, -90), (-61, 81)])
def test_moving_looks_further_on_and_not_around_the_edge(shift):
    array = np.arange(1, 60 * 80 + 1).reshape(60, 80)
    moved = shifts._moved(array, shift)
    for y, x in ((0, 0), (30, 40), (59, 79), (0, 79)):
        inside = 0 <= y + shift[0] < 60 and 0 <= x + shift[1] < 80
        assert moved[y, x] == (array[y + shift[0], x + shift[1]] if inside else 0)


def test_the_best_shifts_are_those_that_a_plain_comparison_finds():
    colours, holes = scene((24, 28), (slice(8, 14), slice(10, 18)))
    ring, ground = ring_of(holes) & ~holes, ~holes
    best = shifts._Matcher(colours, ground, holes).best(ring)
    errors = {}
    for shift in np.ndindex(47, 55):
        shift = (shift[0] - 23, shift[1] - 27)
        compared = ring & shifts._moved(ground, shift)
        covered = (holes & shifts._moved(ground, shift)).sum() >= shifts.MIN_COVER * holes.sum()
        if covered and compared.sum() >= shifts.MIN_OVERLAP * ring.sum():
            errors[shift] = np.square(shifts._moved(colours, shift) - colours).sum(axis=2)[compared].mean()
    assert best[0] == min(errors, key=errors.get)
    assert [errors[shift] for shift in best] == sorted(errors[shift] for shift in best)
    assert 1 < len(best) <= shifts.SHIFTS
