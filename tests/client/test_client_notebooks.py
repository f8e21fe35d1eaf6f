"""What a notebook shows of a result, and the strip of before, mask and after."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from retouch import EditResult, Location
from retouch.drawing import MEANT_COLOUR, candidates_map

LEMON, BEFORE = (200, 190, 10), (90, 120, 150)


@pytest.fixture
def result(service: Any, photo: Path) -> EditResult:
    with service.client() as client:
        edited: EditResult = client.edit(photo, "a lemon")
    return edited


@pytest.fixture
def location(service: Any, photo: Path) -> Location:
    with service.client() as client:
        found: Location = client.locate(photo, "the apple")
    return found


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return image


def test_an_edit_is_shown_as_its_best_picture(result: EditResult) -> None:
    shown = opened(result._repr_png_())
    assert (shown.size, shown.getpixel((5, 5))) == ((48, 32), LEMON)


def test_a_location_is_shown_as_its_candidates_over_the_heat(location: Location) -> None:
    shown = location._repr_png_()
    assert shown
    picture = opened(shown).convert("RGB")
    assert picture.size == (48, 32)
    inside, outside = picture.getpixel((15, 10)), picture.getpixel((2, 30))
    assert all(abs(got - colour) < 80 for got, colour in zip(inside, MEANT_COLOUR, strict=True))
    assert inside != outside


def test_a_location_without_candidates_is_shown_as_its_heat(service: Any, photo: Path) -> None:
    service.is_found = False
    with service.client() as client:
        shown = client.locate(photo, "the pear")._repr_png_()
    colours = opened(shown).convert("RGB").getcolors(2000)
    assert colours
    assert len(colours) > 10


def test_a_location_that_has_neither_is_shown_as_text(service: Any, photo: Path) -> None:
    service.is_found = False
    service.changes = {"heat": None}
    with service.client() as client:
        assert client.locate(photo, "the pear")._repr_png_() is None


def test_a_map_of_a_large_picture_is_no_larger_than_it_needs_to_be() -> None:
    shown = candidates_map((4096, 2), None, [Image.new("L", (4096, 2), 255)], [0])
    assert shown.size == (1024, 1)


def test_what_is_meant_lies_on_top() -> None:
    whole = Image.new("L", (64, 64), 255)
    for meant in (0, 1):
        shown = candidates_map((64, 64), None, [whole, whole], [meant])
        red, green, blue = shown.getpixel((2, 2))  # type: ignore[misc]
        assert red > green > blue < 40, "orange, with little of the blue or the green below it"


def test_a_strip_is_before_mask_after(result: EditResult, photo: Path) -> None:
    joined = result.strip(photo)
    assert joined.size == (3 * 48 + 2 * 2, 32)
    assert all(abs(a - b) < 4 for a, b in zip(joined.getpixel((5, 5)), BEFORE, strict=True))  # type: ignore[arg-type]
    assert joined.getpixel((48, 5)) == joined.getpixel((49, 5)) == (255, 255, 255)
    assert joined.getpixel((50 + 20, 10)) == (255, 255, 255)
    assert joined.getpixel((50 + 2, 30)) == (0, 0, 0)
    assert joined.getpixel((100 + 5, 5)) == LEMON


@pytest.mark.parametrize(("mode", "colour", "shown"), [("RGBA", (0, 0, 0, 0), 255), ("I;16", 51400, 200), ("L", 7, 7)])
def test_the_original_of_a_strip_looks_as_the_service_reads_it(
    result: EditResult, mode: str, colour: Any, shown: int
) -> None:
    joined = result.strip(Image.new(mode, (48, 32), colour))
    assert joined.getpixel((5, 5)) == (shown,) * 3


def test_the_original_of_a_strip_is_turned_upright(result: EditResult) -> None:
    sideways = Image.new("RGB", (32, 48), "red")
    exif = sideways.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    sideways.save(file, format="JPEG", exif=exif)
    assert result.strip(file.getvalue()).size == (3 * 48 + 2 * 2, 32)


def test_a_strip_with_another_picture_is_refused(result: EditResult) -> None:
    with pytest.raises(ValueError, match="of different sizes, 10x10 and 48x32: give the picture that was edited"):
        result.strip(Image.new("RGB", (10, 10)))


@pytest.mark.parametrize("command", [["edit", "{photo}", "a lemon"], ["remove", "{photo}", "--target", "the apple"]])
def test_the_command_line_saves_a_strip(
    service: Any, photo: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    strip = photo.with_name("strip.png")
    assert service.run(*[word.format(photo=photo) for word in command], "--strip", strip) == 0
    with Image.open(strip) as joined:
        assert joined.size == (148, 32)
    assert f"  strip   {strip}\n" in capsys.readouterr().out


def test_a_strip_never_overwrites_the_picture(service: Any, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert service.run("edit", photo, "a lemon", "--strip", photo) == 2
    assert f"{photo} is the picture itself, which is never overwritten" in capsys.readouterr().err
    assert service.seen == []
