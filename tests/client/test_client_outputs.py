"""Which files may be written, how they are written, and the heat map over a picture."""

from __future__ import annotations

import argparse
from array import array
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from retouch.cli.outputs import UsageError, check_masks_folder, check_outputs, edit_outputs
from retouch.cli.overlay import heat_overlay
from retouch.drawing import HEAT_COLOURS
from retouch.pictures import ranked, write_picture


def options(image: Path, **more: Any) -> argparse.Namespace:
    given = {
        "image": image,
        **dict.fromkeys(["out", "mask", "markup", "mask_out", "strip", "n", "partial_images"]),
        **more,
    }
    return argparse.Namespace(**given)


def test_the_default_lies_beside_the_picture(photo: Path) -> None:
    outputs = edit_outputs(options(photo, n=2))
    assert outputs.pictures == (photo.with_name("photo.edited.png"), photo.with_name("photo.edited-2.png"))
    assert outputs.mask is None


def test_ranks() -> None:
    assert [str(ranked(Path("a/b.c.png"), rank)) for rank in (1, 2, 10)] == ["a/b.c.png", "a/b.c-2.png", "a/b.c-10.png"]


def test_the_picture_is_recognised_behind_any_name(photo: Path) -> None:
    link = photo.with_name("link.png")
    link.symlink_to(photo)
    hard = photo.with_name("hard.png")
    hard.hardlink_to(photo)
    detour = photo.parent / ".." / photo.parent.name / photo.name
    for path in (link, hard, detour):
        with pytest.raises(UsageError, match="never overwritten"):
            check_outputs([path], photo)


def test_a_numbered_output_may_not_be_the_picture_either(tmp_path: Path) -> None:
    source = tmp_path / "new-2.png"
    Image.new("RGB", (4, 4)).save(source)
    edit_outputs(options(source, out=tmp_path / "new.png", n=1))
    with pytest.raises(UsageError, match="never overwritten"):
        edit_outputs(options(source, out=tmp_path / "new.png", n=2))


def test_two_outputs_may_not_be_one_file(photo: Path) -> None:
    out = photo.with_name("new.png")
    with pytest.raises(UsageError, match="named twice"):
        edit_outputs(options(photo, out=out, mask_out=photo.parent / "." / "new.png"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("new.gif", "must end in one of .png, .jpg, .jpeg, .webp"),
        ("new", "must end in one of"),
        ("none/new.png", "there is no folder"),
        ("folder.png", "is a folder"),
    ],
)
def test_outputs_that_cannot_be(photo: Path, name: str, reason: str) -> None:
    photo.with_name("folder.png").mkdir()
    with pytest.raises(UsageError, match=reason):
        check_outputs([photo.parent / name], photo)


def test_an_earlier_result_is_replaced(photo: Path) -> None:
    earlier = photo.with_name("photo.edited.png")
    earlier.write_bytes(b"old")
    assert edit_outputs(options(photo)).pictures == (earlier,)


@pytest.mark.parametrize(
    ("name", "form"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP")]
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_the_name_says_the_format(tmp_path: Path, name: str, form: str, mode: str) -> None:
    write_picture(Image.new(mode, (6, 4), "white"), tmp_path / name)
    with Image.open(tmp_path / name) as written:
        assert (written.format, written.size) == (form, (6, 4))


def test_a_failure_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="mode"):
        write_picture(Image.new("F", (2, 2)), path)
    assert path.read_bytes() == b"old"


def test_unfinished_pictures_lie_beside_the_best_one(photo: Path) -> None:
    (photo.parent / "new").mkdir()
    outputs = edit_outputs(options(photo, out=photo.parent / "new" / "best.webp", partial_images=2))
    assert outputs.partials == (photo.parent / "new" / "partial-1.png", photo.parent / "new" / "partial-2.png")
    assert edit_outputs(options(photo)).partials == ()


def test_an_unfinished_picture_never_overwrites_what_goes_in(tmp_path: Path) -> None:
    source = tmp_path / "partial-2.png"
    Image.new("RGB", (4, 4)).save(source)
    edit_outputs(options(source, partial_images=1))
    with pytest.raises(UsageError, match=r"partial-2\.png is the picture itself"):
        edit_outputs(options(source, partial_images=2))


@pytest.mark.parametrize("what", ["mask", "markup"])
@pytest.mark.parametrize("as_link", [False, True])
def test_what_is_drawn_and_goes_in_is_never_overwritten(photo: Path, as_link: bool, what: str) -> None:
    mask = photo.with_name("mask.png")
    Image.new("L", (48, 32)).save(mask)
    out = photo.with_name("out.png") if as_link else mask
    if as_link:
        out.symlink_to(mask)
    for outputs in ({"out": out}, {"mask_out": out}):
        with pytest.raises(UsageError, match=f"is the {what} itself, which is never overwritten"):
            edit_outputs(options(photo, **{what: mask}, **outputs))
    assert edit_outputs(options(photo, **{what: mask})).mask is None
    with pytest.raises(UsageError, match="there is no file"):
        edit_outputs(options(photo, **{what: photo.with_name("none.png")}))


def test_folders_for_masks(photo: Path) -> None:
    check_masks_folder(photo.parent, photo)
    check_masks_folder(photo.with_name("new"), photo)
    for folder, reason in ((photo, "is no folder"), (photo.with_name("none") / "new", "there is no folder")):
        with pytest.raises(UsageError, match=reason):
            check_masks_folder(folder, photo)


def test_masks_never_overwrite_the_picture(photo: Path) -> None:
    photo.with_name("mask-1.png").symlink_to(photo)
    with pytest.raises(UsageError, match=r"mask-1.png is the picture itself"):
        check_masks_folder(photo.parent, photo)
    markup = photo.with_name("mask-2.png")
    Image.new("RGBA", (48, 32)).save(markup)
    photo.with_name("mask-1.png").unlink()
    check_masks_folder(photo.parent, photo)
    with pytest.raises(UsageError, match=r"mask-2.png is the markup itself"):
        check_masks_folder(photo.parent, photo, markup)


def grid(heat: list[list[float]]) -> Image.Image:
    cells = array("f", (cell for row in heat for cell in row)).tobytes()
    return Image.frombytes("F", (len(heat[0]), len(heat)), cells)


def test_heat_is_seen_where_it_is_hot(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("RGB", (200, 100), (100, 100, 100)).save(path)
    overlay = heat_overlay(path, grid([[0, 0, 0, 1]]), (5, 5))
    assert overlay.size == (200, 100)
    assert overlay.getpixel((40, 60)) == (100, 100, 100)
    red, green, blue = overlay.getpixel((195, 60))  # type: ignore[misc]
    hottest = HEAT_COLOURS[-1]
    assert red == pytest.approx(0.8 * hottest[0] + 0.2 * 100, abs=3)
    assert green == pytest.approx(0.8 * hottest[1] + 0.2 * 100, abs=3)
    assert blue == pytest.approx(0.8 * hottest[2] + 0.2 * 100, abs=3)


def test_the_point_has_a_ring(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("RGB", (200, 100), (100, 100, 100)).save(path)
    overlay = heat_overlay(path, grid([[0.0, 0.0]]), (5, 5))
    column = [overlay.getpixel((5, y)) for y in range(12)]
    assert column[5] == (100, 100, 100)
    assert (255, 255, 255) in column
    assert (0, 0, 0) in column


def test_the_picture_is_turned_upright_as_the_service_does(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (60, 40), "red").save(path, exif=exif)
    assert heat_overlay(path, grid([[0.0]]), (5, 5)).size == (40, 60)
