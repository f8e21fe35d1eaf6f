"""A removal by the pocket painter, through the whole graph without Ray; and the table of removals against the truth."""

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import quality, quality_removal
from benchmarks.in_process import InProcessGraph
from benchmarks.quality_removal import METHODS, Removal
from deployments.config import POCKET_WEIGHTS, GraphArgs, InpaintArgs
from deployments.inpaint import defaults
from deployments.messages import EditRequest
from pocket import world
from pocket.vocabulary import BY_NAME


@pytest.fixture(scope="module")
def scene():
    stickers = [BY_NAME["dog"], BY_NAME["cactus"]]
    return world.compose(world.evaluation_rng(40, 3), stickers=stickers, ground="graded")


def results_of(*requests):
    """Return the results of edits by the pocket models, one after the other."""

    async def run():
        graph = InProcessGraph(GraphArgs(inpaint=InpaintArgs(execution="eager")))
        return [await graph.driver.edit(request) for request in requests]

    return asyncio.run(run())


def test_the_painter_fills_the_place_alone_and_a_seed_repeats_it(scene):
    dog = next(placed for placed in scene.placed if placed.sticker.name == "dog").mask
    removal = EditRequest(
        scene.image, target="the dog", mode="remove", fill_method="painter", n=2, seed=11, num_inference_steps=6
    )
    by_words = replace(removal, mode="replace", prompt="remove the dog", target=None)
    first, again, said = results_of(removal, replace(removal), by_words)
    assert (first.mode, first.fill_method, first.num_inference_steps) == ("remove", "painter", 6)
    assert first.guidance_scale == defaults.read(POCKET_WEIGHTS / "inpaint").guidance_scale
    assert (first.mask & dog).sum() > 0.9 * dog.sum()
    assert {edit.seed for edit in first.edits} == {11, 12}
    after = [edit.score.region_after for edit in first.edits]
    assert after == sorted(after)
    assert first.improved == (after[0] < first.edits[0].score.region_before)
    for edit, same in zip(first.edits, again.edits, strict=True):
        assert (edit.image[~first.mask] == scene.image[~first.mask]).all()
        assert (edit.image[dog] != scene.image[dog]).any()
        assert edit.seed == same.seed
        assert (edit.image == same.image).all()
    assert (first.edits[0].image != first.edits[1].image).any()
    assert (said.mode, said.fill_method) == ("remove", "painter")
    assert (said.mask == first.mask).all()


# The table


def test_the_table_has_a_row_for_each_ground_and_method():
    removals = [
        Removal(ground, method, 20.0 + number, 3.0, 0.5)
        for number, ground in enumerate(world.GROUNDS)
        for method in METHODS
        for _ in range(2)
    ]
    _, _, *lines = quality_removal.table(removals).splitlines()
    assert len(lines) == len(world.GROUNDS) * len(METHODS)
    assert lines[-1] == "| photographic ground, painter | 2 | 22.0 | 3.0 | 500 |"


def test_the_figure_is_of_the_region_alone():
    truth = np.full((8, 8, 3), 100, np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    picture = truth.copy()
    picture[~mask] = 0
    assert quality_removal.psnr(picture, truth, mask) == pytest.approx(60, abs=0.1)
    picture[mask] = 110
    assert quality_removal.psnr(picture, truth, mask) == pytest.approx(20 * np.log10(25.5))


def test_one_command_measures_removals_alone(tmp_path, capsys):
    assert quality.main(["--only", "removal", "--edits", "1", "--out", str(tmp_path / "quality")]) == 0
    assert "| plain ground, classical | 1 | " in capsys.readouterr().out
    outcomes = json.loads((tmp_path / "quality-removal.json").read_text())["outcomes"]
    assert [(one["ground"], one["method"]) for one in outcomes] == [
        (ground, method) for ground in world.GROUNDS for method in METHODS
    ]
    by_ground = {one["ground"]: one["psnr"] for one in outcomes if one["method"] == "classical"}
    assert by_ground["plain"] > 40  # one colour, continued
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quality-removal.json", "quality-removal.md"]
