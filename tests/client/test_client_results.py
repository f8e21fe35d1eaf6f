"""From answers to results: what is there, what is missing, what is saved."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import retouch
from PIL import Image


def test_an_edit(service: Any, photo: Path) -> None:
    result = service.client().edit(photo, "a lemon", target="the apple")
    assert (result.image.size, result.image.getpixel((0, 0))) == ((48, 32), (200, 190, 10))
    assert (result.mask.mode, result.mask.size) == ("L", (48, 32))
    assert (result.mask.getpixel((20, 10)), result.mask.getpixel((0, 0))) == (255, 0)
    assert (result.target, result.point_xy, result.confidence) == ("the apple", (20, 10), 0.83)
    assert result.score == retouch.Score(before=0.2, after=0.29, region_before=0.18, region_after=0.31)
    assert result.score.delta == pytest.approx(0.09)
    assert (result.seed, result.num_inference_steps, result.guidance_scale) == (1234, 20, 7.5)
    assert (result.changed_outside_px, result.converted) == (0, ())
    assert result.timings_s == {"locate": 0.25, "segment": 0.5, "score": 0.125, "inpaint": 2.0, "total": 2.875}
    assert result.request_id == "req-1"
    assert result.usage == retouch.Usage(6, 20, 26, retouch.InputTokens(image_tokens=2, text_tokens=4))
    assert result.safety_identifier is None


def test_several_edits_come_best_first(service: Any, photo: Path) -> None:
    result = service.client().edit(photo, "a lemon", n=3, seed=7)
    assert [edit.seed for edit in result.edits] == [7, 8, 9]
    assert result.image is result.images[0]
    assert [image.getpixel((0, 0))[0] for image in result.images] == [200, 199, 198]
    assert [score.after for score in result.scores] == pytest.approx([0.29, 0.28, 0.27])


def test_an_edit_tells_where_it_went(service: Any, photo: Path) -> None:
    result = service.client().edit(photo, "a lemon", target="the apple")
    assert (result.mode, result.method, result.improved, result.filtered_seeds) == ("replace", "diffusion", True, ())
    assert (result.phrase, result.margin, result.low_confidence, result.chosen) == ("apple", 1.5, False, 0)
    assert [candidate.box_xyxy for candidate in result.candidates] == [(10, 5, 31, 16 + k) for k in range(3)]
    assert [(candidate.mask, candidate.features) for candidate in result.candidates] == [(None, {})] * 3
    assert result.edits[0].seam == 1.5
    assert (result.edits[0].execution, result.edits[0].precision) == ("openvino", "float32")


def test_an_edit_tells_how_a_mask_was_read(service: Any, photo: Path) -> None:
    assert service.client().edit(photo, "a lemon").mask_read is None
    service.changes = {"mask_read": {"mode": "alpha", "marks": "transparent", "threshold": 128, "marked_px": 400}}
    read = service.client().edit(photo, "a lemon", mask=photo).mask_read
    assert read == retouch.MaskRead(mode="alpha", threshold=128, marked_px=400)


def test_an_edit_tells_how_a_markup_was_read(service: Any, photo: Path) -> None:
    assert service.client().edit(photo, "a lemon").markup_read is None
    service.changes = {"markup_read": {"box": [1, 2, 30, 20], "points": [], "marked_px": 90}}
    assert service.client().edit(photo, "a lemon").markup_read == retouch.MarkupRead((1, 2, 30, 20), (), 90)
    service.changes = {"markup_read": {"box": None, "points": [[20, 10], [5, 6]], "marked_px": 90}}
    assert service.client().edit(photo, "a lemon").markup_read == retouch.MarkupRead(None, ((20, 10), (5, 6)), 90)


def test_what_was_held_back_and_what_did_not_help(service: Any, photo: Path) -> None:
    filtered = [{"seed": seed, "code": "moderation_blocked"} for seed in (8, 9)]
    service.changes = {"improved": False, "filtered": filtered, "low_confidence": True, "chosen": 2}
    result = service.client().edit(photo, "a lemon")
    assert (result.improved, result.filtered_seeds, result.low_confidence, result.chosen) == (False, (8, 9), True, 2)


def test_what_reading_the_file_converted(service: Any, photo: Path) -> None:
    service.changes = {"converted": ["profile", "metadata"]}
    assert service.client().edit(photo, "a lemon").converted == ("profile", "metadata")


def test_a_removal_has_no_seed_and_a_score_only_for_a_text(service: Any, photo: Path) -> None:
    named = service.client().remove(photo, "the apple")
    pointed = service.client().remove(photo, points=[(20, 10)])
    assert (named.mode, named.method, named.fill_method, named.seed) == ("remove", "classical fill", "classical", None)
    assert named.score.delta == pytest.approx(-0.09)
    assert (pointed.seed, pointed.score, pointed.scores) == (None, None, (None,))
    assert pointed.image.size == (48, 32)


def test_a_score(service: Any, photo: Path) -> None:
    assert service.client().score(photo, "a lemon") == 0.27


def test_results_are_frozen_and_show_no_pixels(service: Any, photo: Path) -> None:
    result = service.client().edit(photo, "a lemon")
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.target = "another"
    assert "PIL" not in repr(result)
    assert "point_xy=(20, 10)" in repr(result)


def test_save_writes_every_picture_and_the_mask(service: Any, photo: Path, tmp_path: Path) -> None:
    result = service.client().edit(photo, "a lemon", n=2)
    home = tmp_path / "new" / "folder"
    saved = result.save(str(home))
    assert saved == (home / "edited.png", home / "edited-2.png", home / "mask.png")
    for path, image in zip(saved, (*result.images, result.mask), strict=True):
        with Image.open(path) as written:
            assert (written.mode, written.tobytes()) == (image.mode, image.tobytes())
    assert result.save(home) == saved


@pytest.mark.parametrize(
    "key",
    [
        "data",
        "mask_b64",
        "mask_read",
        "markup_read",
        "mode",
        "method",
        "target",
        "phrase",
        "point",
        "confidence",
        "margin",
        "low_confidence",
        "candidates",
        "candidates[0].box",
        "chosen",
        "instances",
        "num_inference_steps",
        "guidance_scale",
        "changed_outside_px",
        "converted",
        "improved",
        "filtered",
        "timings",
        "usage",
        "usage.total_tokens",
        "usage.input_tokens_details.image_tokens",
        "safety_identifier",
        "data[0].b64_json",
        "data[0].seed",
        "data[0].seam",
        "data[0].execution",
        "data[0].precision",
        "data[0].score",
        "data[0].score.before",
        "data[0].score.after",
        "data[0].score.region_before",
        "data[0].score.region_after",
    ],
)
def test_a_missing_key_is_named(service: Any, photo: Path, good_edit: dict[str, Any], key: str) -> None:
    put(good_edit, key, None, remove=True)
    service.instead = [httpx.Response(200, json=good_edit, headers={"x-request-id": "req-5"})]
    with pytest.raises(retouch.InvalidResponse) as caught:
        service.client().edit(photo, "a lemon")
    assert str(caught.value) == f"The answer has no {key!r}."
    assert caught.value.request_id == "req-5"
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("data", {}, "a list of objects"),
        ("data", ["x"], "a list of objects"),
        ("target", None, "a text"),
        ("point", [1], "two whole numbers"),
        ("point", [1, 2.5], "two whole numbers"),
        ("point", "12", "two whole numbers"),
        ("confidence", "0.8", "a number"),
        ("confidence", True, "a number"),
        ("confidence", float("nan"), "a number"),
        ("confidence", 10**400, "a number"),
        ("num_inference_steps", 20.5, "a whole number"),
        ("changed_outside_px", False, "a whole number"),
        ("converted", "alpha", "a list of texts"),
        ("converted", ["alpha", 1], "a list of texts"),
        ("timings", [], "an object"),
        ("timings.locate", None, "a number"),
        ("mask_read", "alpha", "an object"),
        ("markup_read.points", [[1, 2], 3], "a list of pairs of whole numbers"),
        ("markup_read.box", [1, 2, 3], "four whole numbers"),
        ("mask_b64", "no base64!", "a picture in base64"),
        ("mask_b64", base64.b64encode(b"no picture").decode(), "a picture in base64"),
        ("data[0].b64_json", 5, "a picture in base64"),
        ("data[0].score", 0.3, "an object"),
        ("data[0].seed", "7", "a whole number"),
        ("improved", 1, "true or false"),
        ("filtered", None, "a list of objects"),
        ("usage", None, "an object"),
        ("usage.output_tokens", 20.5, "a whole number"),
        ("safety_identifier", 7, "a text"),
        ("candidates", {}, "a list of objects"),
        ("candidates[0].box", [1, 2, 3], "four whole numbers"),
        ("candidates[0].box", [1, 2, 3, 4.5], "four whole numbers"),
    ],
)
def test_a_wrong_value_is_named(
    service: Any, photo: Path, good_edit: dict[str, Any], key: str, value: Any, wanted: str
) -> None:
    if key.startswith("markup_read."):
        good_edit["markup_read"] = {"box": None, "points": [], "marked_px": 4}
    put(good_edit, key, value)
    service.instead = [httpx.Response(200, content=dumps(good_edit))]
    with pytest.raises(retouch.InvalidResponse) as caught:
        service.client().edit(photo, "a lemon")
    assert str(caught.value) == f"{key!r} in the answer is not {wanted}."


def test_an_edit_without_a_picture_is_refused(service: Any, photo: Path, good_edit: dict[str, Any]) -> None:
    service.instead = [httpx.Response(200, json=good_edit | {"data": []})]
    with pytest.raises(retouch.InvalidResponse, match="'data' in the answer is empty"):
        service.client().edit(photo, "a lemon")


def test_a_picture_that_was_cut_off_is_refused(service: Any, photo: Path, good_edit: dict[str, Any]) -> None:
    whole = base64.b64decode(good_edit["mask_b64"])
    good_edit["mask_b64"] = base64.b64encode(whole[: len(whole) // 2]).decode()
    service.instead = [httpx.Response(200, json=good_edit)]
    with pytest.raises(retouch.InvalidResponse, match="mask_b64"):
        service.client().edit(photo, "a lemon")


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, text="<h1>Hello</h1>"), httpx.Response(200, json=[]), httpx.Response(204)]
)
def test_another_service_is_recognised(service: Any, photo: Path, answer: httpx.Response) -> None:
    service.instead = [answer]
    with pytest.raises(retouch.InvalidResponse, match=r"http://127.0.0.1:8000/v1/score .* is it a Retouch service\?"):
        service.client().score(photo, "a lemon")


def test_unknown_keys_are_left_alone(service: Any, photo: Path, good_edit: dict[str, Any]) -> None:
    plain = service.client()
    service.instead = [httpx.Response(200, json=good_edit)]
    known = plain.edit(photo, "a lemon")
    more = copy.deepcopy(good_edit)
    more["previews"] = {"new": 1}
    more["candidates"][0]["new"] = 1
    more["data"][0]["revised_prompt"] = "a lemon!"
    more["data"][0]["score"]["style"] = None
    service.instead = [httpx.Response(200, json=more)]
    assert plain.edit(photo, "a lemon") == known


def put(answer: dict[str, Any], key: str, value: Any, remove: bool = False) -> None:
    """Set or remove what lies at a key such as `data[0].score`."""
    *path, last = key.replace("[0]", ".0").split(".")
    place: Any = answer
    for step in path:
        place = place[0] if step == "0" else place[step]
    if remove:
        del place[last]
    else:
        place[last] = value


def dumps(answer: dict[str, Any]) -> bytes:
    """As a lenient server would write it: NaN and all."""
    return json.dumps(answer).encode()
