"""What obeys a pointer, and what does not: masks are drawn by hand, pixel by pixel."""

import math

import numpy as np
import pytest

from deployments.config import GroundingSettings
from deployments.errors import InvalidInput
from deployments.grounding import pointing
from deployments.grounding.pointing import Pointer, Pointing
from deployments.messages import HeatMap, Masks, PackedMask

SHAPE = (80, 120)


def box(left, top, right, bottom):
    mask = np.zeros(SHAPE, bool)
    mask[top:bottom, left:right] = True
    return mask


CUP, PLATE = box(10, 10, 40, 40), box(70, 30, 110, 70)
NOTHING = np.zeros(SHAPE, bool)


def obeyed(mask, on_it=(), off_it=(), box_xyxy=None, cell=1):
    pointer = Pointer((*on_it, *off_it), (1,) * len(on_it) + (0,) * len(off_it), box_xyxy)
    return pointer.obeyed_by(mask, on_it, cell)


def test_only_the_parts_that_hold_the_points_obey():
    assert (obeyed(CUP | PLATE, [(20, 20)]) == CUP).all()
    assert (obeyed(CUP | PLATE, [(20, 20), (80, 40)]) == (CUP | PLATE)).all()


def test_a_mask_that_leaves_out_a_point_does_not_obey():
    assert obeyed(CUP, [(60, 60)]) is None
    assert obeyed(CUP, [(20, 20), (80, 40)]) is None


def test_a_mask_that_narrowly_misses_a_point_is_made_to_reach_it():
    part = obeyed(CUP, [(41, 20)])
    assert part[20, 41]
    assert part[CUP].all()
    assert part.sum() - CUP.sum() == 12  # a disc of 13 that touches it
    assert obeyed(CUP, [(42, 20)]) is None  # the last column is 39: three pixels off


def test_a_mask_that_holds_what_is_not_on_it_does_not_obey():
    assert obeyed(CUP, [(20, 20)], [(30, 30)]) is None
    assert (obeyed(CUP | PLATE, [(20, 20)], [(80, 40)]) == CUP).all()
    assert obeyed(CUP, [(41, 20)], [(42, 20)]) is None  # not even where it is made to reach a point


def test_a_small_hole_is_closed_but_for_one_that_is_pointed_at():
    holed = CUP & ~box(30, 30, 33, 33)
    assert obeyed(holed, [(20, 20)])[31, 31]
    part = obeyed(holed, [(20, 20)], [(31, 31)])
    assert (part == holed).all()


def test_a_mask_has_to_lie_in_the_box_but_for_a_rim():
    frame = (12, 12, 38, 38)
    assert (obeyed(CUP, box_xyxy=frame) == box(11, 11, 39, 39)).all()
    assert obeyed(PLATE, box_xyxy=frame) is None
    assert (obeyed(CUP, box_xyxy=(10, 10, 30, 40)) == box(10, 10, 31, 40)).all()  # a third outside: cut off
    assert obeyed(CUP, box_xyxy=(10, 10, 24, 40)) is None  # less than half inside


def test_what_hardly_fills_the_box_is_not_what_it_is_around():
    assert obeyed(box(50, 40, 54, 44), box_xyxy=(20, 20, 100, 70)) is None
    assert obeyed(box(50, 40, 54, 44), [(51, 41)], box_xyxy=(20, 20, 100, 70)).sum() == 16


def around(points, off_it=(), box_xyxy=None):
    return Pointer(off_it, (0,) * len(off_it), box_xyxy).around(points, SHAPE)


def test_the_region_around_points_follows_the_picture_and_keeps_clear():
    region = around([(20, 20)])
    rows, columns = np.nonzero(region)
    assert np.hypot(rows - 20, columns - 20).max() == 4  # a twentieth of 80
    assert region.sum() == 49
    two = around([(20, 20), (100, 60)])
    assert two[20, 20]
    assert two[60, 100]
    near = around([(20, 20)], [(21, 20)])
    assert near.sum() == 1
    assert not around([(20, 20)], [(24, 20)])[:, 23:].any()


def test_the_region_around_no_points_is_the_box():
    assert (around([], box_xyxy=(10, 10, 40, 40)) == CUP).all()
    region = around([], [(20, 20)], (10, 10, 40, 40))
    assert CUP.sum() - region.sum() == 49
    assert not around([(11, 20)], box_xyxy=(10, 10, 40, 40))[:, :10].any()
    with pytest.raises(InvalidInput) as refused:
        around([], [(11, 11)], (10, 10, 13, 13))
    assert refused.value.param == "points"


def answers(sam, points, labels=(), box_xyxy=None, settings=None):
    """What comes of `sam`, which says for a prompt its masks and their scores."""
    pointer = Pointer(tuple(points), tuple(labels or (1,) * len(points)), box_xyxy)
    case = Pointing(np.zeros((*SHAPE, 3), np.uint8), pointer, settings or GroundingSettings())
    asked = case.questions(case.whole)
    found = [(mask, score, number) for number, one in enumerate(asked) for mask, score in sam(one.prompt)]
    masks = tuple(PackedMask.of(mask) for mask, _, _ in found)
    small = np.stack([mask[::2, ::2] for mask, _, _ in found])
    scores = np.array([score for _, score, _ in found], np.float32)
    made = Masks(masks, small, scores, tuple(number for _, _, number in found))
    return case.answers(case.whole, asked, made)


def first_thing(prompt):
    """A SAM that sees the cup or the plate, whichever the first point is nearer to."""
    x, _ = prompt.points_xy[0]
    return [(CUP if x < 55 else PLATE, 0.81)] * 2


def test_points_on_two_things_are_answered_by_both():
    best, *others = answers(first_thing, [(20, 20), (80, 40)])
    assert (best.mask.unpack() == (CUP | PLATE)).all()
    assert not others  # all points together gave the cup alone
    assert best.box_xyxy == (10, 10, 110, 70)
    assert best.source == "points"
    assert pointing.confidence(best) == pytest.approx(0.9)


def test_all_points_together_come_after_the_things_of_each():
    """Together SAM often takes what lies between two things too."""
    between = box(8, 8, 112, 72)

    def sam(prompt):
        return [(between, 0.95)] * 2 if len(prompt.points_xy) > 1 else first_thing(prompt)

    best, other = answers(sam, [(20, 20), (80, 40)])
    assert (best.mask.unpack() == (CUP | PLATE)).all()
    assert (other.mask.unpack() == between).all()


def test_a_look_from_nearby_shows_all_points():
    wide = np.zeros((40, 400), bool)
    wide[18:22, 100:200] = True
    candidate = pointing.candidate_of(wide, (150, 20), "points", 0.9, 0.9)

    def view(*points):
        case = Pointing(np.zeros((40, 400, 3), np.uint8), Pointer(points, (1,) * len(points), None), SETTINGS)
        return case.closer_view(candidate, 96)

    assert view((150, 20)).size_hw == (40, 40)
    assert view((150, 20), (105, 20)) is None


def test_points_on_one_thing_are_answered_by_what_sam_makes_of_all_of_them():
    whole = box(8, 8, 44, 44)

    def sam(prompt):
        return [(whole if len(prompt.points_xy) > 1 else CUP, 0.9)]

    best, other = answers(sam, [(20, 20), (30, 30)])
    assert (best.mask.unpack() == whole).all()
    assert (other.mask.unpack() == CUP).all()


def test_a_point_that_no_mask_holds_gets_a_small_region_beside_the_other_s_mask():
    def sam(prompt):
        return [(CUP, 0.9)]

    (candidate,) = answers(sam, [(20, 20), (100, 60)])
    mask = candidate.mask.unpack()
    assert candidate.source == "around"
    assert mask[CUP].all()
    assert mask.sum() == CUP.sum() + 49
    assert mask[60, 100]
    assert pointing.confidence(candidate) == 0


def test_one_point_is_asked_about_once_and_more_are_asked_about_alone_too():
    def ask(points, box_xyxy=None):
        case = Pointing(np.zeros((*SHAPE, 3), np.uint8), Pointer(points, (1,) * len(points), box_xyxy), SETTINGS)
        prompts = [question.prompt for question in case.questions(case.whole)]
        return [(len(prompt.points_xy), prompt.box_xyxy is not None, prompt.several) for prompt in prompts]

    assert ask(((20, 20),)) == [(1, False, True)]
    assert ask((), (1, 1, 9, 9)) == [(0, True, True), (0, True, False)]
    assert ask(((20, 20), (80, 40))) == [(2, False, True), (2, False, False), (1, False, True), (1, False, True)]
    assert len(ask(tuple((x, 5) for x in range(40)))) == 2 + pointing.MOST_ALONE


SETTINGS = GroundingSettings()


def test_what_is_not_on_it_is_said_in_every_question():
    pointer = Pointer(((20, 20), (5, 5), (80, 40)), (1, 0, 1), None)
    case = Pointing(np.zeros((*SHAPE, 3), np.uint8), pointer, SETTINGS)
    for question in case.questions(case.whole):
        assert question.prompt.points_xy[-1] == (5, 5)
        assert question.prompt.labels[-1] == 0


def test_where_no_mask_is_free_of_what_is_not_on_it_a_region_stands_in():
    (candidate,) = answers(first_thing, [(20, 20), (30, 20)], (1, 0))
    mask = candidate.mask.unpack()
    assert candidate.source == "around"
    assert mask[20, 20]
    assert not mask[20, 30]


def test_a_box_with_nothing_in_it_is_answered_by_itself():
    (candidate,) = answers(lambda prompt: [(PLATE, 0.9)], [], box_xyxy=(10, 10, 40, 40))
    assert candidate.source == "around"
    assert (candidate.mask.unpack() == CUP).all()


def test_the_confidence_is_sams_score_and_the_agreement_of_its_masks():
    half = box(10, 10, 40, 25)
    best, *_ = answers(lambda prompt: [(CUP, 0.9), (half, 0.5)], [(20, 20)])
    assert best.features["agreement"] == pytest.approx(0.5, abs=0.05)
    assert pointing.confidence(best) == pytest.approx(math.sqrt(0.9 * best.features["agreement"]))
    agreed, *_ = answers(lambda prompt: [(CUP, 1.2), (CUP, 0.9)], [(20, 20)])
    assert pointing.confidence(agreed) == 1.0
    unsure, *_ = answers(lambda prompt: [(CUP, -0.1), (CUP, -0.1)], [(20, 20)])
    assert pointing.confidence(unsure) == 0.0
    # Masks that are empty agree with nothing.
    alone, *_ = answers(lambda prompt: [(CUP, 0.9), (NOTHING, 0.3)], [(20, 20)])
    assert pointing.confidence(alone) == 0.0


def test_answers_come_by_agreement_and_score_or_by_score_alone():
    odd, twin = box(10, 10, 40, 20), box(10, 10, 40, 38)

    def sam(prompt):
        return [(odd, 0.95), (CUP, 0.9), (twin, 0.85)]

    assert answers(sam, [(15, 15)])[0].sam_score < 0.95
    assert answers(sam, [(15, 15)], settings=GroundingSettings(choose=False))[0].sam_score == pytest.approx(0.95)


def heat_map(hot, found=True):
    heat = np.full((8, 12), 0.02, np.float32)
    heat[hot] = 0.9
    return HeatMap("cup", (20, 20), 0.9, 2.0, found, heat)


def test_what_is_hot_is_what_the_words_name():
    on_cup = heat_map((slice(1, 4), slice(1, 4)))
    assert pointing.shows(on_cup, CUP)
    assert pointing.shows(on_cup, box(0, 0, 60, 60))  # drawn wide of it
    assert not pointing.shows(on_cup, PLATE)
    assert not pointing.shows(heat_map((slice(1, 4), slice(1, 4)), found=False), CUP)
    weaker = heat_map((slice(1, 4), slice(1, 4)))
    weaker.heat[4:6, 8:10] = 0.6  # another one, less clearly
    assert pointing.shows(weaker, PLATE)
    weaker.heat[4:6, 8:10] = 0.3
    assert not pointing.shows(weaker, PLATE)
