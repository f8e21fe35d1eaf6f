"""The previews of an edit that is watched (the stages stand in conftest.py)."""

import numpy as np
import pytest
from ray.exceptions import ActorDiedError

from deployments.errors import InvalidInput
from deployments.messages import EditRequest, EditResult, PartialImage, Preview, Progress

STEPS = 8


async def watched(graph, partial_images=3, **fields):
    """Return everything that comes of an edit."""
    given = {"image": graph.image, "prompt": "a lemon", "target": "x", "seed": 200, "num_inference_steps": STEPS}
    request = EditRequest(**given | fields)
    return [item async for item in graph.driver.edit_stream(request, partial_images)]


def previews_in(items):
    return [item for item in items if isinstance(item, PartialImage)]


@pytest.fixture
def graph(graph):
    graph.driver.reconfigure({"painting": {"fit_colours": False}})  # this painter knows nothing of surroundings
    return graph


async def test_previews_come_in_order_and_evenly_spread_before_the_result(graph):
    items = await watched(graph)
    result = items[-1]
    assert isinstance(result, EditResult)
    previews = previews_in(items)
    assert [preview.index for preview in previews] == [0, 1, 2]
    assert [preview.image[30, 40, 0] for preview in previews] == [2, 4, 6]
    before = [items[items.index(preview) - 1] for preview in previews]
    assert [progress.done for progress in before if isinstance(progress, Progress)] == [2, 4, 6]


async def test_outside_the_mask_a_preview_is_the_picture(graph):
    *items, result = await watched(graph)
    assert previews_in(items)
    for preview in previews_in(items):
        assert (preview.image[~result.mask] == graph.image[~result.mask]).all()
        assert (preview.image[result.mask] != graph.image[result.mask]).any()


async def test_a_preview_fades_into_the_picture_as_the_painting_does(graph):
    """Where the painter would stop now with what it makes in the end, the preview is the result."""
    stage = graph.inpaint.stage

    async def inpaint_stream(request, previews):
        painted = await stage.inpaint(request)
        for number, images in enumerate(painted.images):
            yield Preview(number, 4, images[0])
        yield painted

    stage.inpaint_stream = inpaint_stream
    for fit_colours in (False, True):
        graph.driver.reconfigure({"painting": {"fit_colours": fit_colours}})
        *items, result = await watched(graph, 1)
        (preview,) = previews_in(items)
        assert (preview.image == result.edits[0].image).all()


async def test_a_preview_of_several_squares_waits_for_the_last_of_them(graph):
    stage = graph.inpaint.stage
    seen = []

    async def inpaint_stream(request, previews):
        assert len(request.squares) == 2
        for number, step, level in [(0, 2, 20), (0, 4, 40), (1, 2, 21), (1, 4, 41)]:
            seen.append((number, step))
            yield Preview(number, step, np.full(request.squares[number].image.shape, level, np.uint8))
        yield await stage.inpaint(request)

    stage.inpaint_stream = inpaint_stream
    *items, result = await watched(graph, 2, target="both coins")
    first, second = (set(np.unique(each.image[result.mask])) for each in previews_in(items))
    assert {20, 21} <= first
    assert {40, 41} <= second
    assert len(result.location.instances) == 2


async def test_with_several_pictures_the_number_asked_for_is_that_of_previews_in_all(graph):
    items = await watched(graph, 2, n=3)
    assert len(previews_in(items)) == 2
    assert len(items[-1].edits) == 3


async def test_further_rounds_for_a_better_score_show_no_more_previews(graph):
    items = await watched(graph, 2, min_score=1.0)
    assert graph.inpaint.stage.previews == [2, 0, 0]
    assert [preview.index for preview in previews_in(items)] == [0, 1]


@pytest.mark.parametrize("lost_at", range(1, STEPS + 1))
async def test_a_painting_begun_anew_shows_no_preview_twice(graph, lost_at):
    graph.inpaint.stage.failures = [ActorDiedError()]
    graph.inpaint.stage.fails_at = lost_at
    items = await watched(graph)
    assert len(graph.inpaint.responses) == 2
    assert [preview.image[30, 40, 0] for preview in previews_in(items)] == [2, 4, 6]
    assert [preview.index for preview in previews_in(items)] == [0, 1, 2]


async def test_the_result_is_the_same_with_and_without_previews(graph):
    plain = await graph.edit(num_inference_steps=STEPS)
    result = (await watched(graph))[-1]
    assert (plain.edits[0].image == result.edits[0].image).all()


async def test_a_classical_fill_has_no_previews(graph):
    *items, result = await watched(graph, 3, prompt="", seed=None, num_inference_steps=None, mode="remove")
    assert result.fill_method == "classical"
    assert previews_in(items) == []


async def test_without_a_wish_for_previews_none_are_made(graph):
    assert previews_in(await watched(graph, 0)) == []
    assert graph.inpaint.stage.previews == [0]


@pytest.mark.parametrize("count", [-1, 4, 1.5, True, "2", None, float("nan")])
async def test_a_number_of_previews_that_is_never_given_is_refused_before_any_stage_is_asked(graph, count):
    with pytest.raises(InvalidInput, match="`partial_images` must be an integer from 0 to 3") as refused:
        await watched(graph, count)
    assert refused.value.param == "partial_images"
    assert not graph.responses


async def test_a_number_of_numpy_counts_previews_too(graph):
    assert len(previews_in(await watched(graph, np.int64(1)))) == 1
