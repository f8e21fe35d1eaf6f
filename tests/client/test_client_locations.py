"""From a locate's answer to a location and its candidates."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import httpx
import pytest
import retouch
from PIL import Image


def test_a_location(service: Any, photo: Path) -> None:
    location = service.client().locate(photo, "the apple")
    assert (location.target, location.phrase, location.found) == ("the apple", "apple", True)
    assert (location.confidence, location.margin, location.low_confidence) == (0.83, 1.5, False)
    assert (location.point_xy, location.size, location.request_id) == ((20, 10), (48, 32), "req-1")
    assert location.timings_s == {"locate": 0.25, "segment": 0.5}
    assert (location.heat.mode, location.heat.size) == ("F", (3, 2))
    cells = [location.heat.getpixel((x, y)) for y in range(2) for x in range(3)]
    assert cells == [0.0, 0.25, 1.0, 0.5, 0.0, 0.125]


def test_candidates_come_best_first_with_their_masks(service: Any, photo: Path) -> None:
    service.changes = {"chosen": 1}
    location = service.client().locate(photo, "the apple")
    assert (location.chosen, [candidate.score for candidate in location.candidates]) == (1, [0.75, 0.5, 0.25])
    second = location.candidates[1]
    assert (second.point_xy, second.box_xyxy, second.area) == ((21, 10), (10, 5, 31, 17), 0.125)
    assert (second.sam_score, second.source, second.features) == (0.9, "box", {"inside": 0.5, "sam": 0.9})
    assert (second.mask.mode, second.mask.size) == ("L", (48, 32))
    assert (second.mask.getpixel((20, 10)), second.mask.getpixel((0, 0))) == (255, 0)
    assert "PIL" not in repr(location)


def test_all_that_are_meant_are_listed(service: Any, photo: Path) -> None:
    service.changes = {"instances": [0, 2]}
    assert service.client().locate(photo, "the apples").instances == (0, 2)
    assert service.client().edit(photo, "a lemon", target="the apples", all=True).instances == (0, 2)
    assert service.seen[-1].texts["all"] == "true"


def test_a_candidates_mask_can_be_sent_back(service: Any, photo: Path) -> None:
    location = service.client().locate(photo, "the apple")
    service.client().edit(photo, "a lemon", mask=location.candidates[0].mask)
    assert service.seen[1].form["mask"].media_type == "image/png"


def test_nothing_found_is_an_answer(service: Any, photo: Path) -> None:
    service.is_found = False
    location = service.client().locate(photo, "the pear")
    assert (location.found, location.confidence, location.candidates) == (False, 0.12, ())


def test_what_was_pointed_at_has_no_heat(service: Any, photo: Path) -> None:
    location = service.client().locate(photo, points=[(20, 10)])
    assert (location.heat, location.target) == (None, "")


def test_masks_are_saved_by_their_numbers(service: Any, photo: Path, tmp_path: Path) -> None:
    location = service.client().locate(photo, "the apple")
    home = tmp_path / "new" / "folder"
    saved = location.save_masks(str(home))
    assert saved == tuple(home / f"mask-{number}.png" for number in range(3))
    for path, candidate in zip(saved, location.candidates, strict=True):
        with Image.open(path) as written:
            assert (written.mode, written.tobytes()) == ("L", candidate.mask.tobytes())


KEYS = ["target", "phrase", "found", "point", "confidence", "margin", "size", "heat", "low_confidence", "chosen"]
KEYS += ["candidates", "timings"]
CANDIDATE_KEYS = ["point", "box", "area", "score", "sam_score", "source", "features", "mask_b64"]


@pytest.mark.parametrize("key", KEYS + CANDIDATE_KEYS)
def test_a_missing_key_is_named(service: Any, photo: Path, good_location: dict[str, Any], key: str) -> None:
    answer = copy.deepcopy(good_location)
    name = key if key in KEYS and key != "point" else f"candidates[2].{key}"
    del (answer if name == key else answer["candidates"][2])[key]
    service.instead = [httpx.Response(200, json=answer)]
    with pytest.raises(retouch.InvalidResponse) as caught:
        service.client().locate(photo, "the apple")
    assert str(caught.value) == f"The answer has no {name!r}."


def test_a_candidate_of_a_location_has_a_mask(service: Any, photo: Path, good_location: dict[str, Any]) -> None:
    good_location["candidates"][1]["mask_b64"] = None
    service.instead = [httpx.Response(200, json=good_location)]
    wrong = r"^'candidates\[1\]\.mask_b64' in the answer is not a picture in base64\.$"
    with pytest.raises(retouch.InvalidResponse, match=wrong):
        service.client().locate(photo, "the apple")


@pytest.mark.parametrize("heat", [[], [[]], [[1, 2], [3]], [[1, 2], [3], [4, 5, 6]], [[1, "2"]], 3, [3], [[None]]])
def test_heat_is_a_grid(service: Any, photo: Path, heat: Any) -> None:
    service.changes = {"heat": heat}
    with pytest.raises(retouch.InvalidResponse, match="'heat' in the answer is not rows of numbers"):
        service.client().locate(photo, "the apple")
