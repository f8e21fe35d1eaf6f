"""How CLIP looks at a picture: which windows, and how their maps become one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deployments.clip import views
from deployments.clip.views import Level, ViewBox, ViewPlan

SIDE, PATCH = 128, 16
SIZES_WH = [(64, 64), (300, 300), (1920, 1080), (60, 400), (8192, 16), (16, 8192), (129, 128), (128, 128), (500, 560)]
COLD, HOT = -12.0, 6.0


@pytest.mark.parametrize("squares", [(2,), (2, 4), (4, 2, 4), (8,)])
@pytest.mark.parametrize("size_wh", SIZES_WH)
def test_windows_cover_the_picture_at_each_level_and_are_not_too_many(
    size_wh: tuple[int, int], squares: tuple[int, ...]
) -> None:
    whole, *levels = views.plan(size_wh, SIDE, PATCH, squares).levels
    assert whole.size_wh == (SIDE, SIDE)
    assert whole.views == (ViewBox(0, 0, 1, 1),)
    assert len(levels) <= len(set(squares))
    if not levels:
        assert min(size_wh) <= SIDE
        assert max(size_wh) <= 1.25 * min(size_wh)
    for level in levels:
        width, height = level.size_wh
        assert len(level.views) <= 40
        covered = np.zeros((height, width), bool)
        for view in level.views:
            assert (view.right - view.left) * width == pytest.approx(SIDE)
            assert (view.bottom - view.top) * height == pytest.approx(SIDE)
            left, top = round(view.left * width), round(view.top * height)
            covered[top : top + SIDE, left : left + SIDE] = True
        assert covered.all()
        if max(size_wh) < 20 * min(size_wh):
            assert width / height == pytest.approx(size_wh[0] / size_wh[1], rel=0.01)
    assert len({level.size_wh for level in levels}) == len(levels)  # no level twice


@pytest.mark.parametrize(
    ("size_wh", "squares", "windows"),
    [
        ((600, 600), (), []),
        ((600, 600), (2,), [9]),
        ((600, 600), (2, 3), [9, 16]),
        ((600, 600), (2, 4), [9, 25]),
        ((1920, 1080), (2, 3), [21, 28]),
        ((1920, 1080), (2, 4), [21, 28]),
        ((200, 200), (2, 4), [9, 16]),  # 4 squares would enlarge it 2.6 times
        ((129, 128), (4,), []),  # and any windows 2 times
        ((1500, 300), (2, 4), [9]),  # one row
        ((100, 300), (2, 4), [5]),  # small but long: so large that its shorter side fills the square
        ((100, 300), (), []),
    ],
)
def test_how_many_windows_a_picture_costs(
    size_wh: tuple[int, int], squares: tuple[int, ...], windows: list[int]
) -> None:
    levels = views.plan(size_wh, SIDE, PATCH, squares).levels
    assert [len(level.views) for level in levels] == [1, *windows]


def test_the_heat_map_is_as_fine_as_the_finest_level() -> None:
    assert views.plan((600, 400), SIDE, PATCH, ()).cells == (16, 16)
    assert views.plan((600, 400), SIDE, PATCH, (2,)).cells == (32, 48)
    assert views.plan((600, 400), SIDE, PATCH, (2, 4)).cells == (64, 96)


def test_the_crops_are_the_views() -> None:
    ramp = np.broadcast_to(np.arange(512, dtype=np.float32)[None, :, None] / 2, (256, 512, 3)).astype(np.uint8)
    plan = views.plan((512, 256), SIDE, PATCH, (2,))
    crops = np.concatenate([views.cut(ramp, level, SIDE) for level in plan.levels])
    seen = [view for level in plan.levels for view in level.views]
    assert crops.shape == (len(seen), SIDE, SIDE, 3)
    for view, crop in zip(seen, crops, strict=True):
        assert crop.mean() == pytest.approx((view.left + view.right) / 2 * 255.5, abs=1.5)


def two_levels(weight: float = 1.0, cells: tuple[int, int] = (16, 16)) -> ViewPlan:
    quarters = tuple(ViewBox(x / 2, y / 2, x / 2 + 0.5, y / 2 + 0.5) for y in range(2) for x in range(2))
    return ViewPlan((Level((128, 128), (ViewBox(0, 0, 1, 1),), weight), Level((256, 256), quarters)), cells)


def test_a_spot_is_where_it_is() -> None:
    maps = torch.full((2, 4, 4), COLD)
    maps[1, 2, 1] = HOT  # in the right one of two windows: centre at 0.5 + 0.5 * 1.5 / 4, 2.5 / 4
    plan = ViewPlan((Level((256, 128), (ViewBox(0, 0, 0.5, 1), ViewBox(0.5, 0, 1, 1))),), (16, 32))
    heat = views.blend(maps, plan)
    row, column = divmod(int(heat.argmax()), 32)
    assert heat.shape == (16, 32)
    assert abs((column + 0.5) / 32 - (0.5 + 0.5 * 1.5 / 4)) < 1 / 32
    assert abs((row + 0.5) / 16 - 2.5 / 4) < 1 / 16


def test_where_all_views_agree_so_does_the_map() -> None:
    maps = torch.full((5, 4, 4), 0.7)
    torch.testing.assert_close(views.blend(maps, two_levels()), torch.full((16, 16), 0.7, dtype=torch.float64))


def test_a_lone_hot_view_is_heard() -> None:
    """It loses the logarithm of its share and no more: a mean of logits would give (6 - 12) / 2."""
    maps = torch.full((5, 4, 4), COLD)
    maps[0] = HOT
    np.testing.assert_allclose(views.blend(maps, two_levels()), HOT - math.log(2), atol=1e-3)
    np.testing.assert_allclose(views.blend(maps, two_levels(0.5)), HOT - math.log(3), atol=1e-3)
    maps = torch.full((5, 4, 4), COLD)
    maps[1] = HOT  # one window of the finer level
    np.testing.assert_allclose(views.blend(maps, two_levels())[2:6, 2:6], HOT - math.log(2), atol=1e-3)
    np.testing.assert_allclose(views.blend(maps, two_levels())[10:, 10:], COLD, atol=1e-3)


def test_many_fine_windows_do_not_outvote_the_coarse_one() -> None:
    places = np.linspace(0, 0.75, 7)
    fine = tuple(ViewBox(x, y, x + 0.25, y + 0.25) for y in places for x in places)
    plan = ViewPlan((Level((128, 128), (ViewBox(0, 0, 1, 1),)), Level((512, 512), fine)), (32, 32))
    maps = torch.full((1 + len(fine), 4, 4), COLD)
    maps[0] = HOT
    np.testing.assert_allclose(views.blend(maps, plan), HOT - math.log(2), atol=1e-3)


def test_odds_of_any_size_can_be_blended() -> None:
    maps = torch.tensor([-300.0, 300.0]).repeat(8)[:16].reshape(1, 4, 4)
    blended = views.blend(maps, ViewPlan((Level((128, 128), (ViewBox(0, 0, 1, 1),)),), (8, 8)))
    assert blended.isfinite().all()
