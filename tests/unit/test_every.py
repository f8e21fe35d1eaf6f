"""Every one of the things of a name: which hot places count, and masks that show one thing each."""

import numpy as np
import pytest

from deployments.config import GroundingSettings
from deployments.errors import InvalidInput
from deployments.grounding import every, spatial
from deployments.grounding.ranking import Question
from deployments.grounding.search import GroundedPhrase, Proposal
from deployments.language.targets import Order, Relation, Wording
from deployments.messages import Candidate, HeatMap, Masks, PackedMask, Prompt
from deployments.pixels.masks import bounding_box, middle_of

IMAGE = np.zeros((80, 160, 3), np.uint8)
EVERY = Wording("coin", every=True)


def heat_of(places, size=(10, 20)):
    """A map whose cells are as hot as `places` say, by (row, column); each hot place is two cells wide and high."""
    heat = np.zeros(size, np.float32)
    for (row, column), strength in places.items():
        heat[row : row + 2, column : column + 2] = strength
    return heat


def search_for(heat, wording=EVERY):
    grounded = GroundedPhrase(HeatMap("coin", (0, 0), 0.9, 2.0, True, heat), wording, (80, 40))
    return every.first_search(IMAGE, grounded, GroundingSettings())


def box(left, top, right, bottom):
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[top:bottom, left:right] = True
    return mask


def proposal(mask, score=4.0, thing=0, density=2.0):
    packed, place = PackedMask.of(mask), bounding_box(mask)
    features = {"density": density}
    return Proposal(Candidate(middle_of(place), place, float(mask.mean()), score, 0.9, "peak", packed, features), thing)


def masks(found):
    return [one.candidate.mask.unpack() for one in found]


def test_all_hot_places_are_things_but_for_those_that_look_a_little_alike():
    search = search_for(heat_of({(1, 1): 0.9, (6, 8): 0.7, (1, 15): 0.55}))
    assert [thing.spot.strength for thing in search.things] == pytest.approx([0.9, 0.7])


def test_the_hottest_place_is_a_thing_even_where_little_confidence_is_asked_for():
    """`min_confidence` may be set below what counts as likely."""
    search = search_for(heat_of({(1, 1): 0.4, (6, 8): 0.35}))
    assert [thing.spot.strength for thing in search.things] == pytest.approx([0.4])


def test_more_than_the_usual_number_of_things_are_found():
    places = {(row, column): 0.9 for row in (0, 4, 8) for column in (0, 4, 8, 12)}
    assert len(search_for(heat_of(places)).things) == 12


def test_what_is_hot_and_in_no_mask_is_another_one():
    """Two that touch share a hot place."""
    search = search_for(heat_of({(4, 4): 0.9, (4, 6): 0.9}))
    assert len(search.things) == 1
    (more,) = every.further_things(search, [proposal(box(28, 30, 46, 50))])
    assert more.spot.box_xyxy[0] >= 46
    assert every.further_things(search, [proposal(box(28, 30, 66, 50))]) == ()


def test_the_rim_of_a_mask_that_is_too_tight_is_no_other_one():
    heat = heat_of({(4, 4): 0.9, (2, 4): 0.9, (2, 6): 0.9, (4, 6): 0.9})
    assert every.further_things(search_for(heat), [proposal(box(34, 18, 62, 46))]) == ()


def test_nothing_is_asked_about_again_where_nothing_was_found():
    assert every.further_things(search_for(heat_of({(4, 4): 0.9})), []) == ()


def test_a_thing_whose_best_mask_does_not_fit_is_the_heat_around_it():
    search = search_for(heat_of({(1, 1): 0.9, (6, 8): 0.85, (1, 15): 0.8}))
    proposals = [proposal(box(8, 8, 24, 24)), proposal(box(0, 0, 150, 70), thing=1, density=0.1)]
    first, second, third = every.best_of_each(search, proposals, range(3))
    assert [one.candidate.source for one in (first, second, third)] == ["peak", "heat", "heat"]
    assert second.candidate.mask.unpack()[54, 70]
    assert second.candidate.area < 0.05


def test_masks_that_show_the_same_thing_are_one():
    good, tight, other = box(10, 10, 30, 30), box(11, 11, 29, 29), box(50, 10, 70, 30)
    kept = every.distinct([proposal(tight, 3.0), proposal(good, 5.0), proposal(other, 4.0)])
    assert [one.candidate.score for one in kept] == [5.0, 4.0]


def test_a_mask_of_several_things_gives_way_to_those_of_each():
    both, left, right = box(10, 10, 50, 30), box(10, 10, 29, 30), box(31, 10, 50, 30)
    kept = every.distinct([proposal(both, 6.0), proposal(left, 4.0), proposal(right, 4.0)])
    assert [one.candidate.box_xyxy for one in kept] == [bounding_box(left), bounding_box(right)]


def test_what_fits_far_worse_than_the_others_is_none_of_them():
    far = proposal(box(100, 50, 110, 60), -2.9)
    kept = every.distinct([proposal(box(10, 10, 30, 30)), proposal(box(50, 10, 70, 30), 3.0), far])
    assert far not in kept
    assert len(kept) == 2
    assert every.distinct([far]) == [far]  # alone it is the best there is


def test_no_pixel_is_in_two_masks():
    first, second = every.disjoint([proposal(box(10, 10, 30, 30)), proposal(box(28, 10, 50, 30))])
    assert not (first.candidate.mask.unpack() & second.candidate.mask.unpack()).any()
    assert second.candidate.box_xyxy == (30, 10, 50, 30)
    assert second.candidate.area == pytest.approx(box(30, 10, 50, 30).mean())


def test_a_mask_that_others_cover_is_left_out():
    assert len(every.disjoint([proposal(box(10, 10, 30, 30)), proposal(box(12, 12, 20, 20))])) == 1


THREE = [proposal(box(left, 10, left + 10, 30)) for left in (10, 70, 140)]


@pytest.mark.parametrize(
    ("wording", "kept"),
    [
        (EVERY, [0, 1, 2]),
        (Wording("coin", every=True, count=3), [0, 1, 2]),
        (Wording("coin", every=True, among=Order("x")), [0, 1]),
        (Wording("coin", every=True, among=Order("x", descending=True)), [2]),
        (Wording("coin", every=True, relation=Relation("right_of", "cup")), [2]),
        (Wording("coin", every=True, relation=Relation("left_of", "cup")), [0, 1]),
    ],
    ids=repr,
)
def test_words_of_place_say_which_of_them(wording, kept):
    search = search_for(heat_of({(4, 4): 0.9}), wording)
    assert every.meant(search, THREE) == [THREE[index] for index in kept]


@pytest.mark.parametrize(
    ("wording", "message"),
    [
        (Wording("coin", every=True, count=2), "`target` names 2 of 'coin', and 3 were found"),
        (Wording("coin", every=True, relation=Relation("near", "cup")), "how near is not said"),
        (Wording("coin", every=True, among=Order("upper_middle"), relation=Relation("right_of", "cup")), "shows none"),
    ],
    ids=repr,
)
def test_words_that_do_not_fit_what_was_found_are_refused(wording, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        every.meant(search_for(heat_of({(4, 4): 0.9}), wording), THREE)
    assert caught.value.param == "target"


def test_too_many_are_refused_and_none_is_taken():
    many = [proposal(box(4 * n, 10, 4 * n + 3, 20)) for n in range(every.MOST_THINGS + 1)]
    with pytest.raises(InvalidInput, match="17 were found"):
        every.meant(search_for(heat_of({(4, 4): 0.9})), many)


def test_nothing_fits_where_nothing_is():
    assert spatial.fitting(EVERY, [], None, (160, 80)) == []


def answers(*parts):
    """SAM's answers to one question for each part."""
    small = np.stack([part[::2, ::2] for part in parts])
    packed = tuple(map(PackedMask.of, parts))
    return Masks(packed, small, np.full(len(parts), 0.9, np.float32), tuple(range(len(parts))))


LEFT, RIGHT, BOTH = box(30, 30, 47, 50), box(48, 30, 64, 50), box(30, 30, 64, 50)


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        ((LEFT, RIGHT), [LEFT, RIGHT]),
        ((BOTH, LEFT, RIGHT), [LEFT, RIGHT]),
        ((BOTH, BOTH), [BOTH]),
        ((LEFT, LEFT), [BOTH]),
        ((box(30, 30, 36, 50), box(58, 30, 64, 50)), [BOTH]),  # two wheels of a car
        ((box(30, 30, 34, 50), box(34, 30, 64, 50)), [BOTH]),  # a stalk and its apple
        ((LEFT, box(48, 30, 64, 50) | box(100, 30, 140, 50)), [BOTH]),  # reaches beyond
    ],
    ids=["two", "two and both", "one", "one part", "wheels", "stalk", "beyond"],
)
def test_a_mask_that_holds_two_things_is_parted(parts, kept):
    asked = [Question(Prompt(((0, 0),), (1,), several=True), "peak", 0)] * len(parts)
    found = every.parted([proposal(BOTH, thing=0)], asked, answers(*parts))
    assert sorted(bounding_box(mask) for mask in masks(found)) == sorted(map(bounding_box, kept))
    assert {one.candidate.box_xyxy for one in found} == set(map(bounding_box, kept))


def test_sam_is_asked_about_each_point_of_a_thing_that_has_several():
    search = search_for(heat_of({(4, 4): 0.9, (4, 6): 0.9, (1, 15): 0.8}))
    asked = every.part_questions(search, [proposal(BOTH), proposal(box(120, 8, 136, 24), thing=1)])
    points = [question.prompt.points_xy for question in asked]
    assert len(points) > 1
    assert all(len(one) == 1 for one in points)
    assert all(question.prompt.several for question in asked)


def test_the_halves_of_a_mask_have_points_of_their_own():
    asked = [Question(Prompt(((x, 40),), (1,), several=True), "peak", 0) for x in (30, 70)]
    (left, right) = sorted(
        every.parted([proposal(BOTH, thing=0)], asked, answers(LEFT, RIGHT)), key=lambda one: one.candidate.box_xyxy
    )
    assert (left.candidate.point_xy, right.candidate.point_xy) == ((30, 40), (70, 40))


def test_what_is_seen_from_nearby_does_not_swallow_another_one():
    one, other, both = (proposal(mask) for mask in (box(20, 20, 50, 60), box(50, 20, 80, 60), box(18, 18, 82, 62)))
    sharp = proposal(box(18, 18, 54, 62))
    assert every.sharpened(one, both, [other]) is one
    assert every.sharpened(one, sharp, [other]) is sharp
    assert every.sharpened(one, both, []) is both
