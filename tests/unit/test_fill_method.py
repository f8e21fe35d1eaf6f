"""A removal is filled from the surroundings or by the painter, as the request says, or else the service."""

import dataclasses

import numpy as np
import pytest

import main
from deployments.config import DriverSettings, PaintingSettings
from deployments.driver.jobs import complete_edit
from deployments.errors import ContentFiltered, InvalidInput
from deployments.messages import EditRequest, PaintOptions

IMAGE = np.zeros((64, 48, 3), np.uint8)
SPOT = np.zeros((80, 100), bool)
SPOT[50:70, 60:90] = True
BY_PAINTER = DriverSettings(painting=PaintingSettings(fill_method="painter"))
REMOVALS = [{"mode": "remove", "prompt": "", "target": "dog"}, {"prompt": "remove the dog", "target": None}]
PAINTERS = {
    **{"n": 2, "seed": 5, "num_inference_steps": 3, "guidance_scale": 2.0, "strength": 0.5, "fill": "blur"},
    **{"scheduler": "euler", "negative_prompt": "a dog"},
}

both_removals = pytest.mark.parametrize("removal", REMOVALS, ids=["mode", "prompt"])


def job(settings=None, **fields):
    request = EditRequest(**{"image": IMAGE, "prompt": "a lemon"} | fields)
    return complete_edit(request, settings or DriverSettings())


def removed(graph, **fields):
    return graph.edit(**{"mode": "remove", "prompt": "", "fill_method": "painter"} | fields)


@both_removals
@pytest.mark.parametrize(
    ("own", "asked", "used"),
    [
        (DriverSettings(), None, "classical"),
        (DriverSettings(), "painter", "painter"),
        (BY_PAINTER, None, "painter"),
        (BY_PAINTER, "classical", "classical"),
    ],
    ids=["default", "asked for the painter", "set to the painter", "asked for the classical one"],
)
def test_the_request_decides_how_a_removal_is_filled_and_else_the_service(removal, own, asked, used):
    done = job(own, **removal, fill_method=asked)
    assert (done.mode, done.fill_method, done.prompt, done.scored) == ("remove", used, None, "dog")
    assert len(done.seeds) == (used == "painter")
    assert (done.options.num_inference_steps is None) == (used == "classical")


@both_removals
@pytest.mark.parametrize("field", PAINTERS)
def test_each_field_of_the_painter_acts_only_where_it_fills(removal, field):
    given = {field: PAINTERS[field]}
    done = job(**removal, fill_method="painter", **given)
    reached = {"n": len(done.seeds), "seed": done.seeds[0]} | dataclasses.asdict(done.options)
    assert reached[field] == PAINTERS[field]
    assert job(BY_PAINTER, **removal, **given).fill_method == "painter"
    for settings, classical in ((DriverSettings(), {}), (BY_PAINTER, {"fill_method": "classical"})):
        with pytest.raises(InvalidInput, match="or send `fill_method` as painter") as refused:
            job(settings, **removal, **classical, **given)
        assert refused.value.param == field


def test_the_fields_that_are_tried_here_are_all_of_the_painters():
    assert set(PAINTERS) == {"n", "seed", *(field.name for field in dataclasses.fields(PaintOptions))}


@both_removals
@pytest.mark.parametrize("method", ["classical", "painter"])
def test_a_removal_takes_no_least_score(removal, method):
    with pytest.raises(InvalidInput, match="is for a painting") as refused:
        job(**removal, fill_method=method, min_score=0.1)
    assert refused.value.param == "min_score"


@pytest.mark.parametrize("method", ["classical", "painter"])
def test_a_removal_takes_no_prompt_and_a_painting_no_method_of_filling(method):
    with pytest.raises(InvalidInput) as refused:
        job(mode="remove", target="dog", fill_method=method)
    assert refused.value.param == "prompt"
    for fields in ({}, {"prompt": "remove the dog", "target": "the dog"}):
        with pytest.raises(InvalidInput, match="paints its `prompt`") as refused:
            job(**fields, fill_method=method)
        assert refused.value.param == "fill_method"
    assert job(BY_PAINTER).fill_method is None


@both_removals
async def test_the_painter_is_asked_for_the_ground_in_the_models_own_words(graph, removal):
    result = await graph.edit(**{**removal, "fill_method": "painter", "seed": 7, "num_inference_steps": 4})
    (request,) = graph.inpaint.stage.requests
    assert (request.prompt, request.seeds, request.options.num_inference_steps) == (None, (7,), 4)
    assert (result.mode, result.fill_method, result.num_inference_steps) == ("remove", "painter", 4)
    assert (result.guidance_scale, result.changed_outside_px) == (3.0, 0)
    assert result.edits[0].seed == 7
    assert (result.edits[0].image[result.mask] != graph.image[result.mask]).any()


async def test_both_methods_fill_the_same_region(graph):
    classical = await removed(graph, seed=None, fill_method="classical")
    painted = await removed(graph)
    assert (classical.fill_method, painted.fill_method) == ("classical", "painter")
    assert (classical.mask == painted.mask).all()
    assert (await graph.edit()).fill_method is None


async def test_the_picture_that_matches_what_was_removed_least_comes_first(graph):
    """This CLIP takes the brighter picture for the better match, and a seed is how bright this painter paints."""
    graph.driver.reconfigure({"painting": {"fit_colours": False}})
    result = await removed(graph, seed=100, n=3)
    assert [edit.seed for edit in result.edits] == [100, 101, 102]
    after = [edit.score.region_after for edit in result.edits]
    assert after == sorted(after)
    assert [edit.seed for edit in (await graph.edit(seed=100, n=3)).edits] == [102, 101, 100]


async def test_a_removal_is_an_improvement_where_less_of_it_is_seen(graph):
    graph.driver.reconfigure({"painting": {"fit_colours": False}})
    assert (await removed(graph, seed=1)).improved
    assert not (await removed(graph, seed=250)).improved


async def test_without_a_name_the_picture_with_the_least_seam_comes_first(graph):
    graph.driver.reconfigure({"painting": {"fit_colours": False}})
    result = await removed(graph, target=None, mask=SPOT, seed=60, n=4)
    seams = [edit.seam for edit in result.edits]
    assert seams == sorted(seams)
    assert len(set(seams)) == 4
    assert {edit.score for edit in result.edits} == {None}
    assert result.improved
    assert not graph.clip.responses


async def test_what_the_safety_checker_holds_back_is_named_by_its_seed(graph):
    graph.inpaint.stage.flagged = (8,)
    result = await removed(graph, seed=7, n=2)
    assert ([edit.seed for edit in result.edits], result.filtered_seeds) == ([7], (8,))
    with pytest.raises(ContentFiltered, match="`fill_method` classical") as refused:
        await removed(graph, seed=8)
    assert (refused.value.param, refused.value.seeds) == ("seed", (8,))


async def test_the_services_own_method_may_change_while_it_runs(graph):
    fields = {"mode": "remove", "prompt": "", "seed": None}
    assert (await graph.edit(**fields)).fill_method == "classical"
    graph.driver.reconfigure({"painting": {"fill_method": "painter"}})
    assert (await graph.edit(**fields)).fill_method == "painter"


async def test_a_watched_removal_by_the_painter_counts_its_steps(graph):
    request = EditRequest(graph.image, target="x", mode="remove", fill_method="painter", num_inference_steps=3)
    *news, result = [item async for item in graph.driver.edit_stream(request)]
    stages = {one.stage for one in news}
    assert "inpaint" in stages
    assert "fill" not in stages
    assert result.fill_method == "painter"


def test_the_command_without_a_server_passes_it_on(capsys):
    words = ["--image", "x.png", "--target", "the dog", "--remove"]
    for more, asked in (([], None), (["--fill_method", "painter"], "painter")):
        request = main.edit_request(main.parse([*words, *more]), IMAGE)
        assert (request.mode, request.fill_method) == ("remove", asked)
    assert main.doing("inpaint", request) == "Painting the ground"
    with pytest.raises(SystemExit):
        main.parse([*words, "--fill_method", "telea"])
    assert "'telea'" in capsys.readouterr().err
