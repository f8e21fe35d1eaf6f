"""The ways in which the SDK sends a picture, and masks."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.conformance import pictures
from benchmarks.conformance.answers import edited, refused_sdk, served_or_refused
from benchmarks.conformance.rows import Group, check
from benchmarks.conformance.server import Server

ROWS = Group("inputs", "Pictures and masks")
LEAST_CHANGE = 2.0  # levels of 255, on average: less is what encoding a picture anew does to it

WAYS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda path: path.read_bytes(),
    "a path": lambda path: path,
    "an open file": lambda path: io.BytesIO(path.read_bytes()),
    "a tuple with a name and a type": lambda path: ("photo.png", path.read_bytes(), "image/png"),
    "a list of one": lambda path: [("photo.png", path.read_bytes(), "image/png")],
}


@ROWS.each(WAYS)
def a_picture_is(server: Server, way: Callable[[Path], Any]) -> None:
    """The picture may be {}"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(pictures.picture())
        edited(server.edit(image=way(path)))


@ROWS.row
def two_pictures(server: Server) -> None:
    """Of a list of two the first is edited, or `image` is refused"""
    one = ("photo.png", pictures.picture(), "image/png")
    answer = served_or_refused(lambda: server.edit(image=[one, one]), "image")
    if answer is not None:
        edited(answer)


@ROWS.each({kind: kind for kind in ("JPEG", "WEBP")})
def a_picture_of_format(server: Server, kind: str) -> None:
    """The picture may be a {}"""
    out = io.BytesIO()
    pictures.scene().save(out, kind, quality=95)
    edited(server.edit(image=(f"photo.{kind.lower()}", out.getvalue(), f"image/{kind.lower()}")))


@ROWS.row
def the_mask_counts(server: Server) -> None:
    """A mask counts: the picture changes where it is transparent, and much less elsewhere"""
    (image,) = edited(server.edit())
    inside, outside = pictures.change(image)
    shown = f"levels change by {inside:.1f} inside the mask and by {outside:.1f} outside"
    check(inside > LEAST_CHANGE, f"nothing was edited: {shown}")
    check(outside < inside / 2, shown)


@ROWS.row
def mask_of_another_size(server: Server) -> None:
    """A mask of another size than the picture is refused by its name"""
    mask = ("mask.png", pictures.mask(pictures.SIDE // 2), "image/png")
    refused_sdk(lambda: server.edit(mask=mask), "mask")


@ROWS.row
def mask_that_is_none(server: Server) -> None:
    """A mask that is no picture is refused by its name"""
    mask = ("mask.png", pictures.NO_PICTURE, "image/png")
    refused_sdk(lambda: server.edit(mask=mask), "mask", (400, 415))
