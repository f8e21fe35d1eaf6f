import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.pixels import membrane


def disc(height, width, radius):
    y, x = np.mgrid[:height, :width]
    return (x - width / 2) ** 2 + (y - height / 2) ** 2 < radius**2


@pytest.mark.parametrize("radius", [1, 9, 30, 55])
def test_a_harmonic_surface_is_found_again(radius):
    """What solves Laplace's equation outside the hole and on its rim solves it inside."""
    y, x = np.mgrid[:120, :140] / 120
    surface = np.dstack([x, x - 2 * y, x**2 - y**2, np.exp(x) * np.sin(y)]).astype(np.float32)
    hole = disc(120, 140, radius)
    closed = membrane.close(np.where(hole[..., None], 9, surface), ~hole)
    assert np.abs(closed - surface).max() < 0.02 * np.ptp(surface)


def test_a_film_hangs_between_two_rims():
    values = np.zeros((40, 101, 1), np.float32)
    values[:, -1] = 100
    known = np.zeros((40, 101), bool)
    known[:, [0, -1]] = True
    closed = membrane.close(values, known)[..., 0]
    assert np.abs(closed - np.arange(101)).max() < 6


def test_there_is_no_seam_at_the_rim():
    y, x = np.mgrid[:64, :64]
    image = np.dstack([128 + 100 * np.sin(x / 9), 128 + 100 * np.cos(y / 7), 2.0 * x + y]).astype(np.float32)
    hole = disc(64, 64, 20)
    closed = membrane.close(image * ~hole[..., None], ~hole)
    steepest = max(np.abs(np.diff(image, axis=axis)).max() for axis in (0, 1))
    assert all(np.abs(np.diff(closed, axis=axis)).max() < 1.5 * steepest for axis in (0, 1))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_what_is_known_stays_and_the_rest_lies_between(height, width, share, seed):
    rng = np.random.default_rng(seed)
    values = rng.uniform(10, 240, (height, width, 3)).astype(np.float32)
    known = rng.random((height, width)) < share
    closed = membrane.close(np.where(known[..., None], values, np.float32(-1e4)), known) if known.any() else None
    if closed is None:
        assert np.allclose(membrane.close(values, known), values.mean(axis=(0, 1)), atol=1e-3)
        return
    assert closed.dtype == np.float32
    assert (closed[known] == values[known]).all()
    assert closed.min() >= values[known].min() - 1e-3
    assert closed.max() <= values[known].max() + 1e-3
