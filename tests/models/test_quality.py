"""The quality benchmark: its cases and figures mean what they say, and photographs go in as COCO has them."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from benchmarks import calibration, contact_sheet, quality
from benchmarks.quality_cases import PHOTOGRAPHS, QualityCase, coco_cases, named_by, pocket_cases
from benchmarks.quality_outcomes import Outcome, found, means
from benchmarks.quality_rows import DEFAULT, rows
from deployments.config import ClipSettings, DriverSettings
from deployments.messages import Candidate, Location, PackedMask
from pocket import hard, world
from pocket.vocabulary import BY_NAME, STICKERS


def test_hard_scenes_mean_one_thing_beyond_doubt():
    for number, kind in enumerate(hard.KINDS):
        for seed in range(3):
            drawn = hard.challenge(world.training_rng(7, number, seed), kind, world.TRAINING_PHOTOGRAPHS)
            if kind == "absent":
                assert drawn.wanted is None
                name = drawn.target.removeprefix("the ")
                assert BY_NAME[name].noun not in {placed.sticker.noun for placed in drawn.scene.placed}
                continue
            same = [placed for placed in drawn.scene.placed if placed.sticker == drawn.wanted.sticker]
            assert (len(same) > 1) == (kind == "doubles")
            assert drawn.wanted.mask.any()
            assert drawn.painted != drawn.wanted.sticker


def test_hidden_things_are_partly_seen_and_edges_cut():
    drawn = hard.challenge(world.training_rng(7, 0, 1), "hidden", world.TRAINING_PHOTOGRAPHS)
    whole = drawn.wanted.ink[..., 3] > 127
    assert 0.45 <= drawn.wanted.mask.sum() / whole.sum() <= 0.8
    cut = hard.challenge(world.training_rng(7, 6, 1), "edge", world.TRAINING_PHOTOGRAPHS)
    height, width = cut.scene.image.shape[:2]
    left, top, right, bottom = cut.wanted.box_xyxy
    assert left == 0 or top == 0 or right == width or bottom == height


def test_the_pocket_judge_knows_the_right_picture_from_the_old_one():
    case = next(case for case in pocket_cases(1) if case.kind == "huge")
    assert not case.judged(case.image)
    drawn = hard.challenge(world.evaluation_rng(21, 3, 0), "huge", PHOTOGRAPHS)
    picture = drawn.scene.without(drawn.wanted)
    left, top, right, bottom = drawn.wanted.box_xyxy
    sticker = world.sticker_image(drawn.painted)
    scale = min((right - left) / sticker.width, (bottom - top) / sticker.height)
    ink = np.array(sticker.resize((round(sticker.width * scale), round(sticker.height * scale))))
    world.paste(picture, ink, (left, top, left + ink.shape[1], top + ink.shape[0]))
    assert case.judged(picture)


def box_mask(left, top, right, bottom):
    mask = np.zeros((40, 60), bool)
    mask[top:bottom, left:right] = True
    return mask


def location(mask, point, heat=None):
    candidate = Candidate(point, (0, 0, 1, 1), 0.1, 1.0, 0.9, "peak", PackedMask.of(mask))
    return Location("x", "x", point, 0.9, 2.0, True, heat, (candidate,))


TRUTH, DOUBLE = box_mask(10, 10, 20, 20), box_mask(40, 10, 50, 20)
CASE = QualityCase(
    "doubles", np.zeros((40, 60, 3), np.uint8), "x", TRUTH, (TRUTH, DOUBLE), "y", lambda picture: False, 0
)


def test_what_is_found_is_held_against_the_truth():
    told = found(CASE, location(box_mask(10, 10, 20, 15), (12, 12)))
    assert told["point"]
    assert told["instance"]
    assert told["iou"] == pytest.approx(0.5)
    told = found(CASE, location(DOUBLE, (42, 12)))
    assert told["point"]  # it is one of them ...
    assert not told["instance"]  # ... but not the one that is meant
    assert told["iou"] == 0


def test_a_mask_is_compared_with_the_heat_maps():
    heat = np.zeros((8, 12), np.float32)
    heat[2:4, 2:4] = 0.9  # right on the truth
    assert not found(CASE, location(TRUTH, (12, 12), heat))["worse"]
    assert found(CASE, location(box_mask(10, 10, 12, 12), (11, 11), heat))["worse"]


def test_nothing_found_is_a_miss_and_right_where_nothing_is():
    assert found(CASE, None) == {"point": False, "iou": 0.0, "worse": True, "instance": False}
    absent = QualityCase("absent", CASE.image, "x", None, (), "y", lambda picture: False, 0)
    assert found(absent, None)["absent"]
    assert not found(absent, location(TRUTH, (12, 12)))["absent"]


def test_means_are_over_those_that_say_something():
    told = means([Outcome("a", iou=0.5, changed_px=0, locate_s=1.0), Outcome("a", iou=1.0, changed_px=7), Outcome("b")])
    assert (told["iou"], told["changed_px"], told["locate_s"], told["edited"]) == (0.75, 7, 1.0, None)


def test_margins_that_are_log_odds_need_no_calibration_and_others_get_theirs():
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 2, 4000)
    there = rng.random(4000) < 1 / (1 + np.exp(-margins))
    scale, shift = calibration.fit(margins[there], margins[~there])
    assert (scale, shift) == pytest.approx((1, 0), abs=0.1)
    scale, shift = calibration.fit(3 * margins[there] + 5, 3 * margins[~there] + 5)
    assert (scale, shift) == pytest.approx((1 / 3, -5 / 3), abs=0.1)


def test_margins_that_part_cleanly_still_have_a_scale():
    scale, shift = calibration.fit([2.0, 3.0], [-2.0, -1.0])
    assert 0.3 < scale < 5
    assert 1 / (1 + np.exp(-shift - 0.5 * scale)) == pytest.approx(0.5, abs=0.2)


def test_the_rows_end_in_the_defaults():
    default = next(row for row in rows() if row.name == DEFAULT)
    assert (default.clip, default.driver) == (ClipSettings(), DriverSettings())
    assert len({row.name for row in rows()}) == len(rows())


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Pocket scenes in the clothes of a COCO data set, with polygons and run lengths of both kinds."""
    folder = tmp_path_factory.mktemp("coco")
    names = sorted({sticker.name for sticker in STICKERS})
    content = {"images": [], "annotations": [], "categories": [{"id": k, "name": name} for k, name in enumerate(names)]}
    scenes = [
        hard.challenge(world.training_rng(8, k), kind, ["brick"]).scene
        for k, kind in enumerate(("huge", "doubles", "look-alikes"))
    ]
    for number, scene in enumerate(scenes):
        Image.fromarray(scene.image).save(folder / f"{number}.png")
        content["images"].append({"id": number, "file_name": f"{number}.png"})
        for placed in scene.placed:
            segmentation = coco.encode(np.asfortranarray(placed.mask.astype(np.uint8)))
            segmentation["counts"] = segmentation["counts"].decode()
            content["annotations"].append(
                {"image_id": number, "category_id": names.index(placed.sticker.name), "segmentation": segmentation}
            )
    (folder / "instances.json").write_text(json.dumps(content))
    return folder, scenes


def test_coco_annotations_become_cases(photographs):
    folder, scenes = photographs
    cases = coco_cases(folder / "instances.json", folder, 9, lambda name, box: lambda picture: False)
    assert {case.kind for case in cases} == {"one", "doubles", "absent"}
    for case in cases:
        scene = next(
            scene for scene in scenes if (scene.image.shape == case.image.shape) and (scene.image == case.image).all()
        )
        there = {placed.sticker.name for placed in scene.placed}
        name = next(name for name in sorted(BY_NAME, key=len, reverse=True) if case.target.endswith(name))
        assert (name in there) == (case.truth is not None)
        assert case.prompt.removeprefix("a ") not in there
        if case.kind == "doubles":
            assert len(case.same) > 1
            assert case.target.split()[1] in ("left", "right", "top")


def test_polygons_are_read_too(photographs, tmp_path):
    folder, scenes = photographs
    height, width = scenes[0].image.shape[:2]
    square = [10.0, 10.0, width - 10.0, 10.0, width - 10.0, height - 10.0, 10.0, height - 10.0]
    content = {
        "images": [{"id": 0, "file_name": "0.png"}],
        "annotations": [{"image_id": 0, "category_id": 0, "segmentation": [square]}],
        "categories": [{"id": 0, "name": "house"}, {"id": 1, "name": "lemon"}, {"id": 2, "name": "bus"}],
    }
    (tmp_path / "polygons.json").write_text(json.dumps(content))
    case = coco_cases(tmp_path / "polygons.json", folder, 1, lambda name, box: lambda picture: False)[0]
    assert case.truth[20, 20]
    assert not case.truth[5, 5]
    assert case.truth.sum() == pytest.approx((width - 20) * (height - 20), rel=0.02)


def test_a_clip_model_judges_photographs(photographs):
    folder, scenes = photographs
    judged = named_by("pocket", folder / "instances.json")
    wanted = scenes[0].placed[0]
    assert judged(wanted.sticker.name, wanted.box_xyxy)(scenes[0].image)
    assert not judged("guitar", wanted.box_xyxy)(scenes[0].image)


def test_one_command_makes_the_table_of_anybodys_photographs(photographs, tmp_path, capsys):
    folder, _ = photographs
    flags = ["--coco", str(folder / "instances.json"), "--images", str(folder), "--judge", "pocket"]
    flags += ["--cases", "1", "--edits", "1", "--only", "switches off", "colours", "--out", str(tmp_path / "table")]
    assert quality.main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["all switches off", DEFAULT]
    content = json.loads((tmp_path / "table.json").read_text())
    assert content["rows"][DEFAULT]["changed_px"] == 0
    assert content["rows"][DEFAULT]["iou"] > 0.5
    assert (tmp_path / "table.md").exists()


def test_one_command_makes_the_contact_sheet(tmp_path, capsys):
    assert contact_sheet.main(["--edits", "1", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("hidden: the ")
    with Image.open(tmp_path / "sheet.jpg") as sheet, Image.open(tmp_path / "strip.jpg") as strip:
        assert sheet.width == 2 * strip.width
        assert np.ptp(np.asarray(strip)) > 200


def test_wrong_use_is_refused():
    for flags in (["--coco", "x.json"], ["--coco", "x.json", "--images", "y"]):
        with pytest.raises(SystemExit):
            quality.parse(flags)
