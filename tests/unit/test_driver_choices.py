"""What a request may choose, seen from the stages that it reaches."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from deployments.driver.painter import MOST_SCORED_AT_ONCE
from deployments.errors import ContentFiltered, InvalidInput, TargetNotFound
from deployments.messages import LocateRequest
from deployments.pixels import regions

ANYWHERE = np.zeros((80, 100), bool)
ANYWHERE[50:70, 60:90] = True


def prompts(graph):
    return [prompt for request in graph.sam.stage.requests for prompt in request.prompts]


async def test_all_candidates_are_told_and_another_one_can_be_taken(graph):
    location = await graph.driver.locate(LocateRequest(graph.image, "x"))
    assert len(location.candidates) >= 2
    assert {candidate.source for candidate in location.candidates} <= {"peak", "peaks", "box"}
    first, second = [await graph.edit(candidate=k) for k in (0, 1)]
    for k, result in enumerate((first, second)):
        assert result.location.chosen == k
        assert (result.mask & location.candidates[k].mask.unpack()).sum() == location.candidates[k].mask.unpack().sum()
    assert (first.mask != second.mask).any()
    with pytest.raises(InvalidInput, match="candidate"):
        await graph.edit(candidate=len(location.candidates))


async def test_points_go_to_sam_and_clip_is_not_asked(graph):
    result = await graph.edit(target=None, points=((70, 60), (20, 20)), labels=(1, 0))
    assert not graph.clip.stage.requests
    assert prompts(graph)[0].points_xy == ((70, 60), (20, 20))
    assert prompts(graph)[0].labels == (1, 0)
    assert result.location.candidates[0].source == "points"
    assert result.location.heat is None
    assert result.mask[60, 70]
    assert not result.mask[20, 20]


async def test_arrays_of_points_go_to_sam_as_pairs(graph):
    """And a picture that lies in memory the other way round gets what its copy would."""
    image = graph.image[:, ::-1].copy()[:, ::-1]
    points, labels = np.array([[70, 60], [20, 20]], np.float32), np.array([1.0, 0.0])
    result = await graph.edit(image=image, target=None, points=points, labels=labels)
    assert prompts(graph)[0].points_xy == ((70, 60), (20, 20))
    assert prompts(graph)[0].labels == (1, 0)
    same = await graph.edit(target=None, points=((70, 60), (20, 20)), labels=(1, 0))
    np.testing.assert_array_equal(result.edits[0].image, same.edits[0].image)


async def test_from_nearby_only_points_that_are_seen_count(graph):
    """Moved to the edge of the view, a far point would be a wrong one."""
    await graph.driver.locate(LocateRequest(graph.image, points=((70, 60), (72, 62), (3, 3)), labels=(1, 1, 0)))
    whole, nearby = (request.prompts[0] for request in graph.sam.stage.requests)
    assert whole.labels == (1, 1, 0)
    assert nearby.labels == (1, 1)
    (x0, y0), (x1, y1) = nearby.points_xy
    assert (x1 - x0, y1 - y0) == (2, 2)


async def test_a_mask_beside_the_point_is_no_answer(graph):
    """The issue's cactus: SAM cuts out what stands in another corner."""

    def beside(size, prompt):
        mask = np.zeros(size, bool)
        mask[70:78, 90:98] = True
        return np.zeros_like(mask), mask

    graph.sam.stage._masks = beside
    location = await graph.driver.locate(LocateRequest(graph.image, points=((2, 2),)))
    (candidate,) = location.candidates
    assert (location.found, location.low_confidence, location.confidence) == (True, True, 0.0)
    assert (candidate.source, candidate.sam_score, candidate.point_xy) == ("around", 0.0, (2, 2))
    assert candidate.box_xyxy == (0, 0, 7, 7)  # 4 pixels around: a twentieth of the shorter side
    assert len(graph.sam.stage.images) == 1  # nothing was found that could be seen from nearby
    removed = await graph.edit(target=None, mode="remove", prompt="", seed=None, points=((2, 2),))
    assert removed.mask[2, 2]
    assert not removed.mask[40:, 40:].any()


async def test_points_on_two_things_mean_both(graph):
    result = await graph.edit(target=None, points=((20, 20), (80, 60)), mask_shape="silhouette")
    best = result.location.candidates[0].mask.unpack()
    assert best[20, 20]
    assert best[60, 80]
    assert best.sum() == 2 * 20 * 20
    assert not result.location.low_confidence
    assert result.mask[20, 20]
    assert result.mask[60, 80]


async def test_the_target_has_to_be_what_is_pointed_at(graph):
    """This CLIP sees whatever it is asked for around (40, 30), but a dog around (80, 30)."""
    mask = np.zeros((80, 100), bool)
    mask[22:38, 32:48] = True
    for pointer in ({"points": ((40, 30),)}, {"box": (30, 20, 50, 40)}, {"mask": mask}):
        assert (await graph.edit(target="the apple", **pointer)).location.target == "the apple"
        with pytest.raises(InvalidInput, match="does not see 'the dog' there") as refused:
            await graph.edit(target="the dog", **pointer)
        assert refused.value.param == "target"
    with pytest.raises(InvalidInput, match="does not see 'the apple' there"):
        await graph.driver.locate(LocateRequest(graph.image, "the apple", points=((80, 30),)))
    assert (await graph.driver.locate(LocateRequest(graph.image, "the dog", points=((80, 30),)))).found
    # What cannot be found at all lies nowhere.
    graph.clip.stage.found = False
    with pytest.raises(InvalidInput, match="does not see 'the apple' there"):
        await graph.edit(target="the apple", mask=mask)


async def test_a_removal_by_mask_is_scored_by_the_target_that_lies_there(graph):
    mask = np.zeros((80, 100), bool)
    mask[22:38, 32:48] = True
    fields = {"mode": "remove", "prompt": "", "seed": None, "mask": mask}
    assert (await graph.edit(target="the apple", **fields)).edits[0].score is not None
    with pytest.raises(InvalidInput, match="does not see 'the dog' there"):
        await graph.edit(target="the dog", **fields)


async def test_a_prompt_may_ask_to_remove_what_is_marked(graph):
    """This CLIP sees whatever it is asked for around (40, 30), but a dog around (80, 30)."""
    mask = np.zeros((80, 100), bool)
    mask[22:38, 32:48] = True
    result = await graph.edit(prompt="remove the apple on the left", target=None, seed=None, mask=mask)
    assert result.mode == "remove"
    assert (result.mask == mask).all()
    assert not graph.inpaint.responses
    with pytest.raises(InvalidInput, match="does not see 'dog' there") as refused:
        await graph.edit(prompt="remove the dog", target=None, seed=None, mask=mask)
    assert refused.value.param == "prompt"


async def test_a_lone_point_may_mean_several_things(graph):
    await graph.driver.locate(LocateRequest(graph.image, points=((70, 60),)))
    assert prompts(graph)[0].several


async def test_a_box_goes_to_sam(graph):
    result = await graph.edit(target=None, box=(50, 40, 90, 70))
    assert prompts(graph)[0].box_xyxy == (50, 40, 90, 70)
    assert result.location.candidates[0].source == "box"
    assert result.mask[40:70, 50:90].all()


async def test_a_mask_is_repainted_as_it_is_and_nobody_is_asked_where(graph):
    result = await graph.edit(target=None, mask=ANYWHERE)
    assert (result.mask == ANYWHERE).all()
    assert not graph.clip.stage.requests
    assert not graph.sam.responses
    grown = await graph.edit(target=None, mask=ANYWHERE, dilation=0.2)
    assert grown.mask.sum() > ANYWHERE.sum()


async def test_what_is_to_be_avoided_reaches_clip(graph):
    await graph.edit(avoid="the dog, a cat")
    assert graph.clip.stage.requests[0].avoid == ("the dog", "a cat")


async def test_a_prompt_alone_is_looked_for_by_its_head_and_as_a_whole(graph):
    await graph.edit(target=None, prompt="a cat wearing sunglasses")
    first, *others = graph.clip.stage.requests[0].phrases
    assert first == "cat"
    assert any("sunglasses" in phrase for phrase in others)


async def test_the_other_thing_of_a_relation_shares_the_look_and_has_to_be_there(graph):
    await graph.edit(target="the apple left of the dog")
    assert graph.clip.stage.requests[0].phrases == ("apple", "dog")
    search = graph.clip.stage.locate

    async def no_dog(request):
        found = await search(request)
        apple, dog = found.maps
        return type(found)((apple, type(dog)(dog.phrase, dog.point_xy, 0.1, -2.0, False, dog.heat)))

    graph.clip.stage.locate = no_dog
    with pytest.raises(TargetNotFound, match="dog"):
        await graph.edit(target="the apple left of the dog")


async def test_the_second_of_what_is_not_there_is_not_found(graph):
    graph.clip.stage.found = False
    for target in ("the second apple", "the apple left of the dog"):
        with pytest.raises(TargetNotFound, match="apple"):
            await graph.edit(target=target)


async def test_the_other_thing_may_have_a_place_of_its_own(graph):
    await graph.edit(target="the apple left of the dog on the right")
    assert graph.clip.stage.requests[0].phrases == ("apple", "dog")


async def test_the_third_of_one_is_refused(graph):
    with pytest.raises(InvalidInput, match="target"):
        await graph.edit(target="the third apple")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"target": "the third apple from the left", "prompt": "a lemon"}, "target"),
        ({"target": None, "prompt": "replace the third apple from the left with a lemon"}, "prompt"),
        ({"target": None, "prompt": "replace all four apples with lemons"}, "prompt"),
    ],
)
async def test_words_that_do_not_fit_what_is_found_are_refused_by_the_field_that_was_sent(graph, fields, named):
    with pytest.raises(InvalidInput, match=f"^`{named}` ") as refused:
        await graph.edit(**fields)
    assert refused.value.param == named


async def test_fill_shape_and_strength_reach_the_painter(graph):
    plain = (await graph.edit()).mask
    boxed = (await graph.edit(mask_shape="box", dilation=0.0, fill="blur", strength=0.5)).mask
    request = graph.inpaint.stage.requests[-1]
    assert (request.options.fill, request.options.strength) == ("blur", 0.5)
    assert boxed.sum() == boxed.any(axis=0).sum() * boxed.any(axis=1).sum()  # a box
    assert plain.sum() != boxed.sum()


async def test_a_removal_asks_no_painter_and_says_what_it_is(graph):
    result = await graph.edit(mode="remove", prompt="", seed=None)
    assert (result.mode, result.num_inference_steps, result.guidance_scale) == ("remove", 0, 0.0)
    assert not graph.inpaint.responses
    (edit,) = result.edits
    assert edit.seed is None
    assert (edit.image[result.mask] != graph.image[result.mask]).any()
    assert result.changed_outside_px == 0
    assert edit.score is not None
    unnamed = await graph.edit(mode="remove", prompt="", seed=None, target=None, mask=ANYWHERE)
    assert unnamed.edits[0].score is None


def unreadable(graph, text):
    """Lets CLIP refuse to score `text`, as it does where it would not read the end of it."""
    score = graph.clip.stage.score

    async def refuse(request):
        if request.text == text:
            raise InvalidInput("too long", request.param)
        return await score(request)

    graph.clip.stage.score = refuse


async def test_a_prompt_that_the_painter_can_read_and_clip_cannot_is_refused_before_it_is_painted(graph):
    unreadable(graph, "a lemon")
    graph.inpaint.stage.may_answer.clear()  # no painting is ever finished here
    with pytest.raises(InvalidInput) as caught:
        await graph.edit()
    assert caught.value.param == "prompt"
    # Refused so early that it may not even have begun.
    assert all(response.cancelled for response in graph.inpaint.responses)


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"prompt": "", "mode": "remove", "target": "dog"}, "target"), ({"prompt": "remove the dog"}, "prompt")],
)
async def test_a_removal_that_clip_cannot_score_is_refused_by_the_field_that_was_sent(graph, fields, named):
    unreadable(graph, "dog")
    with pytest.raises(InvalidInput) as caught:
        await graph.edit(**{"target": None, "seed": None} | fields)
    assert caught.value.param == named
    assert {request.param for request in graph.clip.stage.requests} == {named}


async def test_a_search_says_which_field_it_comes_from(graph):
    await graph.edit()
    await graph.edit(target=None)
    await graph.driver.locate(LocateRequest(graph.image, "x"))
    assert [request.param for request in graph.clip.stage.requests] == ["target", "prompt", "target"]


async def test_a_flagged_picture_is_held_back_and_told(graph):
    graph.inpaint.stage.flagged = (201,)
    result = await graph.edit(n=3)
    assert {edit.seed for edit in result.edits} == {200, 202}
    assert result.filtered_seeds == (201,)


async def test_nothing_but_flagged_pictures_is_an_error(graph):
    graph.inpaint.stage.flagged = (200, 201)
    with pytest.raises(ContentFiltered) as caught:
        await graph.edit(n=2)
    assert caught.value.seeds == (200, 201)


async def test_under_a_floor_other_seeds_are_tried_and_the_best_is_kept(graph):
    low = await graph.edit(seed=40, min_score=0.9)
    assert len(graph.inpaint.stage.requests) == 1 + graph.driver.settings.painting.max_retries
    assert [edit.seed for edit in low.edits] == [42]  # the brightest, as this CLIP scores
    graph.inpaint.stage.requests.clear()
    await graph.edit(seed=250, min_score=0.1)
    assert len(graph.inpaint.stage.requests) == 1


async def test_the_work_of_all_rounds_is_counted(graph, monkeypatch):
    paint = graph.inpaint.stage.inpaint

    async def counted(request):
        return replace(await paint(request), row_steps=10 * len(request.seeds), text_tokens=3)

    monkeypatch.setattr(graph.inpaint.stage, "inpaint", counted)
    rounds = 1 + graph.driver.settings.painting.max_retries
    low = await graph.edit(seed=40, n=2, min_score=0.9)
    assert (low.row_steps, low.text_tokens) == (rounds * 20, rounds * 3)
    filled = await graph.edit(prompt="", seed=None, mode="remove")
    assert (filled.row_steps, filled.text_tokens) == (0, 0)


async def test_the_unedited_picture_competes(graph):
    assert (await graph.edit(seed=250)).improved
    assert not (await graph.edit(seed=1)).improved


async def test_a_small_thing_is_looked_at_again_from_nearby(graph):
    await graph.edit()
    whole, nearby = graph.sam.stage.images
    assert whole.shape == graph.image.shape
    assert nearby.shape[0] == nearby.shape[1] < graph.image.shape[0]
    graph.sam.stage.images.clear()
    graph.driver.reconfigure({"grounding": {"look_closer": False}})
    await graph.edit()
    assert len(graph.sam.stage.images) == 1


TWO = np.zeros((80, 400), bool)
TWO[10:40, 10:40] = TWO[30:70, 340:380] = True
WIDE = np.random.default_rng(1).integers(0, 256, (80, 400, 3), dtype=np.uint8)


async def test_distant_parts_of_a_mask_are_painted_in_one_request_and_scored_one_by_one(graph):
    """This CLIP scores brightness: the region's score is the mean over both squares, not that of one around both."""
    graph.driver.reconfigure({"painting": {"fit_colours": False}})
    result = await graph.edit(image=WIDE, target=None, mask=TWO, n=2)
    (request,) = graph.inpaint.stage.requests
    assert len(request.squares) == 2
    assert request.seeds == (200, 201)
    assert (result.mask == TWO).all()
    assert result.changed_outside_px == 0
    best = result.edits[0]
    assert (best.image[12:38, 12:38] == 201).all()
    assert (best.image[32:68, 342:378] == 201).all()
    plan = regions.plan(TWO, "silhouette", dilation=0)
    expected = np.mean([region.crop(best.image).mean() / 255 for region in plan.regions])
    assert best.score.region_after == pytest.approx(expected)
    assert best.score.region_before == pytest.approx(
        np.mean([region.crop(WIDE).mean() / 255 for region in plan.regions])
    )


async def test_distant_parts_of_a_mask_are_removed_without_a_look_at_each_other(graph):
    image = np.full((80, 400, 3), 90, np.uint8)
    image[TWO] = (250, 20, 20)
    fields = {"target": None, "mask": TWO, "mode": "remove", "prompt": "", "seed": None, "dilation": 0.06}
    result = await graph.edit(image=image, **fields)
    assert (result.edits[0].image == 90).all()


async def test_pixels_are_moved_in_threads(graph, monkeypatch):
    """The event loop answers others meanwhile."""
    crop, places = regions.Region.crop, []

    def watched(self, array):
        places.append(threading.current_thread())
        return crop(self, array)

    monkeypatch.setattr(regions.Region, "crop", watched)
    await graph.edit(n=2)
    await graph.edit(mode="remove", prompt="", seed=None)
    assert len(places) > 5
    assert threading.main_thread() not in places


# All of them


async def test_all_things_of_a_name_are_repainted_in_one_request(graph):
    graph.driver.reconfigure({"painting": {"fit_colours": False}})
    result = await graph.edit(target="the coin", all=True, n=2)
    (request,) = graph.inpaint.stage.requests
    assert len(request.squares) == 2
    assert request.seeds == (200, 201)
    location = result.location
    assert location.instances == location.repainted == (0, 1)
    first, second = (candidate.mask.unpack() for candidate in location.candidates)
    assert not (first & second).any()
    for mask in (first, second):
        y, x = np.argwhere(mask).mean(axis=0).astype(int)
        assert (result.edits[0].image[y, x] == 201).all()
        assert result.mask[y, x]
    assert result.changed_outside_px == 0


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"target": "the coin"}, 1),
        ({"target": "the coins"}, 2),
        ({"target": "both coins"}, 2),
        ({"target": "each coin"}, 2),
        ({"target": "all the coins on the left"}, 1),
        ({"target": "the coins", "all": False}, 1),
        ({"target": None, "prompt": "replace the coins with lemons"}, 2),
        ({"target": None, "prompt": "remove all coins", "seed": None}, 2),
        ({"prompt": "", "mode": "remove", "target": "the coins", "seed": None}, 2),
    ],
    ids=repr,
)
async def test_the_words_say_how_many_are_repainted(graph, fields, count):
    result = await graph.edit(**fields)
    assert len(result.location.repainted) == count
    assert ndimage.label(result.mask)[1] == count


async def test_all_or_nothing(graph):
    for target, message in (
        ("the three coins", "names 3 of 'coin', and 2 were found"),
        ("the coins near the dog", "how near is not said"),
    ):
        with pytest.raises(InvalidInput, match=message) as caught:
            await graph.edit(target=target)
        assert caught.value.param == "target"
    assert not graph.inpaint.responses
    graph.clip.stage.found = False
    with pytest.raises(TargetNotFound):
        await graph.edit(target="the coins")


async def test_a_search_lists_all_that_are_meant(graph):
    location = await graph.driver.locate(LocateRequest(graph.image, "coins"))
    assert (location.instances, location.chosen) == ((0, 1), 0)
    assert location.phrase == "coin"
    one = await graph.driver.locate(LocateRequest(graph.image, "coin"))
    assert (one.instances, one.repainted) == ((), (0,))


async def test_a_request_of_many_regions_and_pictures_leaves_room_in_the_queue_before_clip(graph):
    image = np.tile(graph.image, (4, 4, 1))
    mask = np.zeros(image.shape[:2], bool)
    mask[20::80, 25::100] = True  # sixteen distant things
    sizes = []
    score = graph.clip.stage.score_views

    async def counted(request):
        sizes.append(len(request.views))
        return await score(request)

    graph.clip.stage.score_views = counted
    result = await graph.edit(image=image, target=None, mask=mask, n=8)
    assert len(graph.inpaint.stage.requests[0].squares) == 16
    assert len(result.edits) == 8
    assert sum(sizes) == 17 + 8 * 17  # the picture and its regions, before and after
    assert max(sizes) == MOST_SCORED_AT_ONCE


async def test_an_edit_would_repaint_nothing_of_what_was_not_found(graph):
    graph.clip.stage.found = False
    location = await graph.driver.locate(LocateRequest(graph.image, "x"))
    assert location.candidates
    assert location.repainted == ()
