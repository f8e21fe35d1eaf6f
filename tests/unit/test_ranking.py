"""The chooser: each feature is planted once where it alone tells the right mask from the wrong one."""

import numpy as np
import pytest

from deployments.config import GroundingSettings
from deployments.grounding import ranking
from deployments.grounding.peaks import heat_mask, hot_spots
from deployments.grounding.ranking import Evidence, Question, Thing, View
from deployments.messages import Masks, PackedMask, Prompt
from deployments.pixels.masks import tidy

SHAPE = (40, 60)
SETTINGS = GroundingSettings()


def box(left, top, right, bottom):
    mask = np.zeros(SHAPE, bool)
    mask[top:bottom, left:right] = True
    return mask


def hot(*boxes, around=0.0):
    heat = np.full(SHAPE, around, np.float32)
    for one in boxes:
        heat[one] = 0.9
    return heat


def rated(masks, heat, points=((15, 15),), scores=None, settings=SETTINGS, others=None):
    scores = np.array(scores or [0.9] * len(masks), np.float32)
    small = np.stack(masks)
    answer = Masks(tuple(map(PackedMask.of, small)), small, scores, (0,) * len(masks))
    known = Evidence(heat, np.zeros(SHAPE, bool) if others is None else others, points)
    return ranking.rate(answer, [Question(Prompt(points, (1,)), "peak", 0)], [known], settings)


THING = box(10, 10, 20, 20)


@pytest.mark.parametrize(
    ("feature", "right", "wrong", "more"),
    [
        ("density", THING, THING | box(20, 10, 50, 20), {}),
        ("coverage", THING, box(10, 10, 15, 20), {}),
        ("points", THING, box(14, 14, 20, 20), {"points": ((15, 15), (11, 11), (19, 11))}),
        ("sam", THING, box(9, 10, 19, 20), {"scores": [0.95, 0.2]}),
    ],
)
def test_a_feature_tells_the_right_mask(feature, right, wrong, more):
    for order in ([right, wrong], [wrong, right]):
        scores = more.get("scores", [0.9, 0.9])[:: 1 if order[0] is right else -1]
        best, other = rated(order, hot(THING, around=0.05), **more | {"scores": scores})
        assert (order[best.number] == right).all()
        assert best.features[feature] > other.features[feature]


def test_area_speaks_against_the_larger_of_two_that_hold_all_heat():
    small, large = rated([THING, box(5, 5, 40, 35)], hot(THING))
    assert small.features["coverage"] == large.features["coverage"] == 1
    assert small.features["area"] < large.features["area"]
    assert ranking.WEIGHTS["area"] < 0


def test_agreement_is_the_mean_iou_with_the_thing_s_other_masks():
    twin = box(10, 10, 20, 19)
    masks, everywhere = [THING, twin, box(30, 20, 40, 30)], np.full(SHAPE, 0.9, np.float32)
    first, second, third = sorted(rated(masks, everywhere), key=lambda one: one.number)
    assert first.features["agreement"] == pytest.approx((0.9 + 0) / 2)
    assert third.features["agreement"] == 0
    assert second.score > third.score


def test_without_the_chooser_sams_score_decides():
    wrong_but_sure = [box(30, 20, 50, 40), THING]
    best, _ = rated(wrong_but_sure, hot(THING), scores=[0.99, 0.5], settings=GroundingSettings(choose=False))
    assert best.number == 0
    best, _ = rated(wrong_but_sure, hot(THING), scores=[0.99, 0.5])
    assert best.number == 1


def test_what_belongs_to_another_thing_counts_neither_way():
    double = box(35, 10, 45, 20)
    alone = rated([THING], hot(THING), others=np.zeros(SHAPE, bool))[0].features
    beside = rated([THING], hot(THING, double), others=double)[0].features
    assert beside["coverage"] == alone["coverage"] == 1
    assert beside["density"] == alone["density"]
    ignored_by_nobody = rated([THING], hot(THING, double))[0].features
    assert ignored_by_nobody["coverage"] == pytest.approx(0.5)


def test_masks_that_look_the_same_are_one_and_specks_are_none():
    kept = rated([THING, THING.copy(), box(15, 15, 16, 16)], hot(THING))
    assert [one.number for one in kept] == [0]


def test_a_speck_is_better_than_nothing():
    assert [one.number for one in rated([box(15, 15, 16, 16), np.zeros(SHAPE, bool)], hot(THING))] == [0]


def test_the_questions_are_in_pixels_of_the_view():
    heat = np.zeros((10, 15), np.float32)
    heat[4:8, 6:10] = 0.9
    (spot,) = hot_spots(heat, (100, 150), 3)
    view = View(np.zeros((60, 60, 3), np.uint8), (45, 20, 105, 80))
    asked = ranking.questions(view, [Thing(spot.points_xy, spot)], heat, (100, 150), SETTINGS)
    assert [question.source for question in asked] == ["peak", "peaks", "box"]
    x, y = spot.points_xy[0]
    assert asked[0].prompt.points_xy == ((x - 45, y - 20),)
    assert asked[0].prompt.several
    assert asked[2].prompt.box_xyxy == (60 - 45, 40 - 20, 100 - 45, 80 - 20)
    rough = asked[2].prompt.rough
    assert rough.shape == (60, 60)
    assert rough[35, 30] > 0 > rough[5, 5]


def test_a_view_shows_its_part_of_a_grid():
    grid = np.arange(12, dtype=np.float32).reshape(3, 4)
    view = View(np.zeros((10, 20, 3), np.uint8), (20, 10, 40, 20))
    assert view.grid(grid, (30, 40), (1, 2)).tolist() == [[6, 7]]


def test_only_what_holds_a_point_is_kept_and_small_holes_are_closed():
    mask = THING | box(40, 30, 60, 40)
    mask[15, 15] = False
    cleaned = tidy(mask, [(12, 12)])
    assert (cleaned == THING).all()
    assert (tidy(mask, [(30, 5)]) == box(40, 30, 60, 40)).all()  # none there: the largest


def test_a_large_hole_stays():
    ring = box(10, 10, 30, 30) & ~box(15, 15, 25, 25)
    assert (tidy(ring, [(11, 11)]) == ring).all()


def test_the_heat_map_as_a_mask_covers_the_thing_and_not_its_double():
    heat = np.zeros((10, 15), np.float32)
    heat[4:7, 3:6] = 0.9
    heat[4:7, 10:13] = 0.8
    spots = hot_spots(heat, (100, 150), 3)
    mask = heat_mask(spots[0], heat, (100, 150))
    assert mask[50, 45]
    assert not mask[:, 90:].any()
    assert 0.5 < mask.sum() / 900 < 2
