"""Every parameter that the installed SDK has for edits, with every value that it lists: each acts or is refused.

What is ignored in silence cannot always be seen from outside. Where it can, it is a failure: a format, a size, a number
of pictures, a transparent background, a link instead of a picture, an identifier that is not echoed.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from typing import Any, Literal

from openai.types import ImagesResponse, image_edit_params

from benchmarks.conformance import pictures
from benchmarks.conformance.answers import edited, served_or_refused
from benchmarks.conformance.rows import Group, NotAsked, check
from benchmarks.conformance.server import Server

ROWS = Group("parameters", "Parameters: each acts, or is refused by its name with 400")

# They have rows of their own: those of the picture, of models and of streams.
ELSEWHERE = {"image", "prompt", "mask", "model", "partial_images", "stream"}
UNKNOWN = "a value that nobody knows yet"  # of a parameter that is newer than this suite
# The SDK lists no values of these.
SAMPLES: dict[str, tuple[Any, ...]] = {
    "n": (1, 3),
    "output_compression": (100,),
    "frame_count": (4,),
    "frame_duration_ms": (100,),
    "svg": ({"model": "gpt-5"},),
    "user": ("someone",),
    "safety_identifier": ("someone-7f3a",),
}


def _values() -> Iterator[tuple[str, Any]]:
    """Yield every parameter with every value that the SDK lists for it, or with samples."""
    hints = typing.get_type_hints(image_edit_params.ImageEditParamsBase)
    for name in sorted(hints.keys() - ELSEWHERE - {"markup"}):
        listed = tuple(_listed(hints[name]))
        yield from ((name, value) for value in listed or SAMPLES.get(name, (UNKNOWN,)))


def _listed(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) is Literal:
        yield from typing.get_args(hint)
    for part in typing.get_args(hint):
        yield from _listed(part)


CASES = {f"{name}={value}": (name, value) for name, value in _values()}


@ROWS.each(CASES)
def acts_or_is_refused(server: Server, case: tuple[str, Any]) -> None:
    """{}"""
    name, value = case
    if value == UNKNOWN:
        raise NotAsked("the installed SDK has this parameter, and these rows know no value for it")
    answer = served_or_refused(lambda: server.edit(**{name: value}), name)
    if answer is None:
        return
    if name in _EFFECTS:
        _EFFECTS[name](answer, value)
    else:
        edited(answer)


@ROWS.row
def markup_acts_or_is_refused(server: Server) -> None:
    """markup, a transparent picture with painted strokes, without a mask"""
    markup = ("markup.png", pictures.strokes(), "image/png")
    answer = served_or_refused(lambda: server.edit(mask=None, markup=markup), "markup")
    if answer is not None:
        edited(answer)


@ROWS.row
def compression_acts_or_is_refused(server: Server) -> None:
    """output_compression=30 makes a JPEG smaller than output_compression=90"""

    def length(compression: int) -> int:
        answer = server.edit(output_format="jpeg", output_compression=compression)
        edited(answer)
        return sum(len(image.b64_json or "") for image in answer.data or ())

    small, large = length(30), length(90)
    check(small < large, f"the files have {small} and {large} characters of base64")


@ROWS.row
def safety_identifier_wins(server: Server) -> None:
    """safety_identifier wins over user, and the answer has it"""
    answer = served_or_refused(lambda: server.edit(user="old", safety_identifier="new"), "safety_identifier")
    if answer is not None:
        _echoed(answer, "new")


def _has_format(answer: ImagesResponse, value: str) -> None:
    if value in ("png", "jpeg", "webp", "gif"):
        (image,) = edited(answer)
        check((image.format or "").lower() == value, f"the picture is a {image.format}")
    check(answer.output_format == value, f"the answer says {answer.output_format!r}")


def _has_size(answer: ImagesResponse, value: str) -> None:
    (image,) = edited(answer)
    shown = f"{image.width}x{image.height}"
    check(value in ("auto", shown), f"the picture has {shown} pixels")


def _has_background(answer: ImagesResponse, value: str) -> None:
    (image,) = edited(answer)
    check(value != "transparent" or image.has_transparency_data, "the picture has no transparency")


def _has_link(answer: ImagesResponse, value: str) -> None:
    check(answer.data and getattr(answer.data[0], value, None), f"the answer has no `{value}`")


def _has_number(answer: ImagesResponse, value: int) -> None:
    edited(answer, n=value)


def _echoed(answer: ImagesResponse, value: str) -> None:
    edited(answer)
    echo = getattr(answer, "safety_identifier", None)
    check(echo == value, f"the answer has the `safety_identifier` {echo!r} instead of {value!r}")


_EFFECTS: dict[str, Callable[[ImagesResponse, Any], None]] = {
    "output_format": _has_format,
    "size": _has_size,
    "background": _has_background,
    "response_format": _has_link,
    "n": _has_number,
    "safety_identifier": _echoed,
}
