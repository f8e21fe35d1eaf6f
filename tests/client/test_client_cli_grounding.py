"""The command line where it is about what is meant: pointing, masks, candidates, removals, and what it says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

Capture = pytest.CaptureFixture[str]
REGION = ["--point", "20,10", "--not-point", "3,4", "--point", "21, 11", "--box", "1,2,30,20"]
ALWAYS_SENT = {"response_format": "b64_json", "stream": "true", "progress": "true"}
REGION_SENT = {"points": "20,10; 21,11; 3,4", "labels": "1,1,0", "box": "1,2,30,20"}
HEADING = "     #  place   size  score  source  box"


@pytest.fixture
def mask(photo: Path) -> Path:
    path = photo.with_name("drawn.png")
    Image.new("L", (48, 32), 255).save(path)
    return path


def best_guess(location: dict[str, Any]) -> httpx.Response:
    """The service's answer where it found nothing but has an idea."""
    error = {"message": "Found nothing.", "type": "x", "param": "target", "code": "target_not_found"}
    found = {"found": False, "confidence": 0.12, "candidates": []}
    return httpx.Response(422, json={"error": error, "location": location | found}, headers={"x-request-id": "req-9"})


def test_edit_passes_what_is_meant_on(service: Any, photo: Path) -> None:
    words = ["--avoid", "the pear", "--candidate", 0, "--mask-shape", "box", "--dilation", 0.25]
    assert service.run("edit", photo, "a lemon", *REGION, *words, "--fill", "blur", "--min-score", -0.25) == 0
    assert service.seen[0].texts == {
        "prompt": "a lemon",
        "avoid": "the pear",
        **REGION_SENT,
        "candidate": "0",
        "mask_shape": "box",
        "dilation": "0.25",
        "fill": "blur",
        "min_score": "-0.25",
        **ALWAYS_SENT,
    }


def test_points_alone_need_no_labels(service: Any, photo: Path) -> None:
    service.run("edit", photo, "a lemon", "--point", "20,10", "--point", "5,6")
    service.run("edit", photo, "a lemon")
    assert service.seen[0].texts["points"] == "20,10; 5,6"
    assert "labels" not in service.seen[0].texts
    assert set(service.seen[1].texts) == {"prompt", *ALWAYS_SENT}


@pytest.mark.parametrize("command", [["edit", "a lemon"], ["remove"]])
def test_a_mask_is_sent_as_it_is(service: Any, photo: Path, mask: Path, command: list[str]) -> None:
    name, *prompt = command
    assert service.run(name, photo, *prompt, "--mask", mask, "--mask-mode", "luminance") == 0
    assert service.seen[0].form["mask"].content == mask.read_bytes()
    assert service.seen[0].texts["mask_mode"] == "luminance"


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (("alpha", 128, 400), "400 pixels of the mask: what is transparent"),
        (("luminance", 1, 1400), "1,400 pixels of the mask: what is light, from level 1 on"),
    ],
)
def test_how_a_mask_was_read_is_told(
    service: Any, photo: Path, mask: Path, capsys: Capture, read: tuple[str, int, int], told: str
) -> None:
    service.changes = {"mask_read": dict(zip(("mode", "threshold", "marked_px"), read, strict=True))}
    assert service.run("edit", photo, "a lemon", "--mask", mask) == 0
    out = capsys.readouterr().out
    assert f"  marked  {told}\n" in out
    assert "note" not in out
    service.run("edit", photo, "a lemon", "--mask", mask, "--json")
    assert json.loads(capsys.readouterr().out)["mask_read"] == service.changes["mask_read"]
    service.changes = {}
    service.run("edit", photo, "a lemon")
    assert "marked" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("read", "meaning"),
    [
        ({"box": [1, 2, 30, 20], "points": [], "marked_px": 1234}, "the box 1,2,30,20"),
        ({"box": None, "points": [[20, 10]], "marked_px": 1234}, "the point 20,10"),
        ({"box": None, "points": [[20, 10], [5, 6]], "marked_px": 1234}, "the points 20,10; 5,6"),
    ],
)
def test_how_a_markup_was_read_is_told(
    service: Any, photo: Path, mask: Path, capsys: Capture, read: dict[str, Any], meaning: str
) -> None:
    service.changes = {"markup_read": read}
    assert service.run("remove", photo, "--markup", mask) == 0
    assert f"\n  marked  1,234 pixels of the markup, read as {meaning}\n" in capsys.readouterr().out
    assert service.run("remove", photo, "--markup", mask, "--json") == 0
    assert json.loads(capsys.readouterr().out)["markup_read"] == read


def test_a_removal_is_said_to_be_a_classical_fill(service: Any, photo: Path, capsys: Capture) -> None:
    assert service.run("remove", photo, "--target", "the apple", "--avoid", "the pear", "--candidate", 1) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1:-1] == [
        "  found   the apple at (20, 10), confidence 0.83, one of 3 candidates",
        "  how     classical fill from the surroundings, without a model",
        "  match   0.290 → 0.200 (-0.090), less is better",
        "  region  0.310 → 0.180 (-0.130), less is better",
    ]
    assert err == 'Removing "the apple" ...\n'
    assert service.seen[0].texts == {
        "mode": "remove",
        "target": "the apple",
        "avoid": "the pear",
        "candidate": "1",
        **ALWAYS_SENT,
    }
    assert photo.with_name("photo.edited.png").exists()


def test_a_removal_by_the_painter_is_said_to_be_one(service: Any, photo: Path, capsys: Capture) -> None:
    how = ["--fill-method", "painter", "--n", 2, "--seed", 7, "--steps", 9]
    assert service.run("remove", photo, "--target", "the apple", *how) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  how     the painter continued the ground" in lines
    assert "  seed    7" in lines
    assert "  match   0.200 → 0.290 (+0.090), less is better" in lines
    (seen,) = service.seen
    sent = {"mode": "remove", "target": "the apple", **ALWAYS_SENT}
    assert seen.texts == sent | {"fill_method": "painter", "n": "2", "seed": "7", "num_inference_steps": "9"}
    assert photo.with_name("photo.edited-2.png").exists()
    assert service.run("edit", photo, "remove the apple", "--fill-method", "painter", "--json") == 0
    assert service.seen[1].texts["fill_method"] == "painter"
    assert json.loads(capsys.readouterr().out)["fill_method"] == "painter"


def test_a_removal_of_what_has_no_name(service: Any, photo: Path, capsys: Capture) -> None:
    assert service.run("remove", photo, *REGION) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1:-1] == [
        "  found  what is at (20, 10), confidence 0.83, one of 3 candidates",
        "  how    classical fill from the surroundings, without a model",
    ]
    assert err == "Removing what was pointed at ...\n"
    assert service.seen[0].texts == {"mode": "remove", **REGION_SENT, **ALWAYS_SENT}


def test_an_edit_of_one_candidate_counts_none(service: Any, photo: Path, capsys: Capture) -> None:
    service.changes = {"candidates": []}
    service.run("edit", photo, "a lemon")
    out = capsys.readouterr().out
    assert "  found   a lemon at (20, 10), confidence 0.83\n" in out
    assert "note" not in out


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"improved": False}, "nothing improved: the region matches the prompt no better than it did"),
        (
            {"mask_read": {"mode": "alpha", "threshold": 128, "marked_px": 800}},
            "most of the mask is transparent, which marks it, as OpenAI has it: --mask-mode luminance goes by what is "
            "light",
        ),
        (
            {"low_confidence": True},
            "low confidence: no cut-out fits, so the mask is the heat map, a region around the points, or the box",
        ),
        ({"filtered": [{"seed": 8}]}, "the safety checker held back 1 picture: seed 8"),
        ({"filtered": [{"seed": 8}, {"seed": 9}]}, "the safety checker held back 2 pictures: seeds 8, 9"),
    ],
)
def test_what_should_not_be_overlooked_is_said(
    service: Any, photo: Path, capsys: Capture, changes: dict[str, Any], note: str
) -> None:
    service.changes = changes
    assert service.run("edit", photo, "a lemon") == 0
    assert f"  note    {note}\n" in capsys.readouterr().out


def test_a_removal_that_did_not_help_is_said_to_be_one(service: Any, photo: Path, capsys: Capture) -> None:
    service.changes = {"improved": False}
    service.run("remove", photo, "--target", "the apple")
    assert "note    nothing improved: the region matches what was to be removed no less" in capsys.readouterr().out


def test_all_that_are_meant_are_marked_and_counted(service: Any, photo: Path, capsys: Capture) -> None:
    service.changes = {"instances": [0, 1, 2]}
    assert service.run("locate", photo, "the apple", "--all") == 0
    told = capsys.readouterr().out
    assert "  instances   3: an edit takes all of them\n" in told
    assert told.count("\n  >  ") == 3
    assert service.run("remove", photo, "--target", "the apple", "--all") == 0
    assert "the apple at (20, 10), confidence 0.83, and 2 more" in capsys.readouterr().out
    assert service.run("remove", photo, "--target", "the apples", "--no-all") == 0
    assert [seen.texts["all"] for seen in service.seen] == ["true", "true", "false"]


def test_locate_lists_the_candidates(service: Any, photo: Path, capsys: Capture) -> None:
    service.changes = {"chosen": 1, "instances": [1]}
    assert service.run("locate", photo, "the apple") == 0
    assert capsys.readouterr() == (
        "✔ the apple at (20, 10)\n"
        "  confidence  0.83\n"
        "  looked for  apple\n"
        "  candidates  3: an edit takes the one marked >, or another with --candidate\n"
        f"{HEADING}\n"
        "     0  20,10  12.5%   0.75  peaks   10,5,31,16\n"
        "  >  1  21,10  12.5%   0.50  box     10,5,31,17\n"
        "     2  22,10  12.5%   0.25  peak    10,5,31,18\n",
        'Looking for "the apple" ...\n',
    )


def test_one_candidate_is_no_choice(service: Any, photo: Path, capsys: Capture, good_location: dict[str, Any]) -> None:
    service.changes = {"candidates": good_location["candidates"][:1], "phrase": "the apple", "low_confidence": True}
    service.run("locate", photo, "the apple")
    assert capsys.readouterr().out.splitlines()[1:4] == [
        "  confidence  0.83",
        "  note        low confidence: no cut-out fits, so the mask is the heat map, "
        "a region around the points, or the box",
        HEADING,
    ]


def test_locate_what_was_pointed_at(service: Any, photo: Path, capsys: Capture) -> None:
    assert service.run("locate", photo, *REGION) == 0
    out, err = capsys.readouterr()
    assert out.startswith("✔ what is at (20, 10)\n  confidence  0.83\n  candidates")
    assert err == "Looking for what was pointed at ...\n"
    assert service.seen[0].texts == REGION_SENT


def test_locate_saves_heat_and_masks(service: Any, photo: Path, capsys: Capture) -> None:
    heat, folder = photo.with_name("heat.png"), photo.with_name("masks")
    words = ["locate", photo, "the apple", "--avoid", "the pear", "--heat", heat, "--masks-out", folder]
    assert service.run(*words) == 0
    out = capsys.readouterr().out
    assert f"  heat        {heat}\n  masks       {folder / 'mask-0.png'} to mask-2.png\n" in out
    assert service.seen[0].texts == {"target": "the apple", "avoid": "the pear"}
    with Image.open(heat) as overlay, Image.open(folder / "mask-2.png") as mask:
        assert overlay.size == (48, 32)
        assert (mask.getpixel((20, 10)), mask.getpixel((0, 0))) == (255, 0)


def test_locate_as_json(service: Any, photo: Path, capsys: Capture) -> None:
    heat, folder = photo.with_name("heat.png"), photo.with_name("masks")
    assert service.run("locate", photo, "the apple", "--heat", heat, "--masks-out", folder, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    candidates = answer.pop("candidates")
    assert candidates[2] == {
        "point": [22, 10],
        "box": [10, 5, 31, 18],
        "area": 0.125,
        "score": 0.25,
        "sam_score": 0.9,
        "source": "peak",
        "features": {"inside": 0.5, "sam": 0.9},
    }
    assert answer == {
        "target": "the apple",
        "phrase": "apple",
        "point": [20, 10],
        "confidence": 0.83,
        "margin": 1.5,
        "low_confidence": False,
        "chosen": 0,
        "instances": [0],
        "found": True,
        "size": [48, 32],
        "heat": str(heat),
        "masks": [str(folder / f"mask-{number}.png") for number in range(3)],
        "timings": {"locate": 0.25, "segment": 0.5},
        "request_id": "req-1",
    }


def test_nothing_found_is_status_1(service: Any, photo: Path, capsys: Capture) -> None:
    service.is_found = False
    folder = photo.with_name("masks")
    assert service.run("locate", photo, "the pear", "--masks-out", folder) == 1
    told = "✘ the pear: not found\n  best guess  (20, 10)\n  confidence  0.12\n  looked for  apple\n"
    assert capsys.readouterr().out == told
    assert not folder.exists()
    assert service.run("locate", photo, "the pear", "--quiet") == 1
    assert capsys.readouterr() == ("", "")


def test_target_not_found_shows_the_best_guess(
    service: Any, photo: Path, capsys: Capture, good_location: dict[str, Any]
) -> None:
    service.instead = [best_guess(good_location)]
    assert service.run("edit", photo, "replace the apple with a lemon") == 1
    assert capsys.readouterr().err.splitlines()[1:] == [
        "retouch: Found nothing.",
        "  If the best guess is right after all, add --point 20,10.",
        "  Name it in other words with --target, or see where the service looks:",
        f"  retouch locate {photo} 'the apple' --heat heat.png",
        "  (422 target_not_found, request req-9)",
    ]


def test_target_not_found_as_json_has_the_best_guess(
    service: Any, photo: Path, capsys: Capture, good_location: dict[str, Any]
) -> None:
    service.instead = [best_guess(good_location)]
    assert service.run("edit", photo, "a lemon", "--json") == 1
    location = json.loads(capsys.readouterr().out)["error"]["location"]
    assert (location["point"], location["confidence"], location["found"]) == ([20, 10], 0.12, False)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["remove", "{photo}", "--box", "1,2,3,4"], "Point somewhere else, or draw a --mask."),
        (["edit", "{photo}", "a lemon", "--point", "1,2"], "Point somewhere else, or draw a --mask."),
        (["locate", "{photo}", "the apple left of the dog"], "Name it in other words."),
    ],
)
def test_other_commands_that_find_nothing(
    service: Any, photo: Path, capsys: Capture, good_location: dict[str, Any], words: list[str], advice: str
) -> None:
    service.instead = [best_guess(good_location)]
    assert service.run(*[word.format(photo=photo) for word in words], "--quiet") == 1
    assert capsys.readouterr().err.splitlines()[1] == f"  {advice}"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["edit", "{photo}", "x", "--point", "1"], "argument --point: '1' is not X,Y in whole pixels, such as 120,80"),
        (["edit", "{photo}", "x", "--not-point", "1,2,3"], "argument --not-point: '1,2,3' is not X,Y"),
        (["edit", "{photo}", "x", "--box", "1,2,3"], "argument --box: '1,2,3' is not LEFT,TOP,RIGHT,BOTTOM"),
        (["edit", "{photo}", "x", "--box", "1,2,3,4.5"], "argument --box: '1,2,3,4.5' is not LEFT,TOP,RIGHT,BOTTOM"),
        (
            ["edit", "{photo}", "x", "--candidate", "-1"],
            "argument --candidate: '-1' is not a whole number of 0 to 31",
        ),
        (["edit", "{photo}", "x", "--mask-shape", "star"], "argument --mask-shape: invalid choice: 'star'"),
        (["edit", "{photo}", "x", "--mask-mode", "red"], "argument --mask-mode: invalid choice: 'red'"),
        (["edit", "{photo}", "x", "--fill", "grey"], "argument --fill: invalid choice: 'grey'"),
        (["edit", "{photo}", "x", "--mask", "{folder}/none.png"], "there is no file {folder}/none.png"),
        (["remove", "{photo}", "a lemon"], "unrecognized arguments: a lemon"),
        (["remove", "{photo}", "--target", "x", "--min-score", "3"], "unrecognized arguments: --min-score 3"),
        (["remove", "{photo}", "--fill-method", "telea"], "argument --fill-method: invalid choice: 'telea'"),
        (["remove", "{photo}", "--mask", "{photo}", "--mask-out", "{photo}"], "is the picture itself"),
        (["remove", "{photo}"], "say what to remove with --target, --point, --box, --mask or --markup"),
        (["remove", "{photo}", "--not-point", "1,2"], "say what to remove with"),
        (["locate", "{photo}"], "say what to find: a TARGET, --point, --box or --markup"),
        (["locate", "{photo}", "--box", "1,2,3,4", "--heat", "{folder}/h.png"], "--heat is for a TARGET alone"),
        (["locate", "{photo}", "x", "--point", "1,2", "--heat", "{folder}/h.png"], "--heat is for a TARGET alone"),
        (["locate", "{photo}", "--markup", "{photo}", "--heat", "{folder}/h.png"], "--heat is for a TARGET alone"),
        (["locate", "{photo}", "--markup", "{folder}/none.png"], "there is no file {folder}/none.png"),
        (["locate", "{photo}", "x", "--masks-out", "{photo}"], "{photo} is no folder"),
    ],
)
def test_wrong_use_is_status_2_and_one_line(
    service: Any, photo: Path, capsys: Capture, words: list[str], reason: str
) -> None:
    places = {"photo": photo, "folder": photo.parent}
    assert service.run(*[word.format(**places) for word in words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), service.seen) == ("", 1, [])
    assert reason.format(**places) in err
    assert [path.name for path in photo.parent.iterdir()] == ["photo.jpg"]
