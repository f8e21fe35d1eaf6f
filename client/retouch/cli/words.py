"""How the words of a command line, and the cells of a table of edits, become the values of options.

A word that cannot be read raises `ArgumentTypeError`, which says why.
"""

from __future__ import annotations

import argparse
from argparse import ArgumentTypeError
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from retouch.calls import is_header_value
from retouch.options import About
from retouch.pictures import ImageInput
from retouch.results import Box, Point

FLAGS: Mapping[str, str] = {
    "negative_prompt": "--negative",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
}
"""The options whose names are shorter here."""

MAY_BE_EMPTY = {"negative_prompt"}
"""The texts that a script may leave empty."""


def argument(name: str, hint: Any, about: About) -> dict[str, Any]:
    """Return how argparse reads the option `name`."""
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction, "default": None}
    if hint is int:
        return {"type": partial(whole, least=int(about.least or 0), most=about.most), "metavar": "N"}
    if about.header:
        return {"type": visible, "metavar": "KEY"}
    if name in MAY_BE_EMPTY:
        return {"type": utf8, "metavar": "TEXT"}
    known = {str: (text, "TEXT"), float: (float, "X"), Box: (box, "L,T,R,B"), ImageInput: (Path, "FILE")}
    convert, metavar = known[hint]
    return {"type": convert, "metavar": metavar}


def text(word: str) -> str:
    """Return a text that can be looked for or painted."""
    if not word.strip():
        raise ArgumentTypeError("the text is empty")
    return utf8(word)


def utf8(word: str) -> str:
    """Return a text that can be sent."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError("the text is not UTF-8") from None
    return word


def visible(word: str) -> str:
    """Return a text that can be sent as a header."""
    if not is_header_value(word):
        raise ArgumentTypeError(f"{word!r} is not 1 to 255 visible ASCII characters")
    return word


def whole(word: str, least: int, most: float | None = None) -> int:
    """Return a whole number of `least` or more, and of no more than `most`."""
    if not word.isascii() or not word.isdecimal() or not least <= int(word) <= (most or float("inf")):
        limit = "or more" if most is None else f"to {most:g}"
        raise ArgumentTypeError(f"{word!r} is not a whole number of {least} {limit}")
    return int(word)


def seconds(word: str) -> float:
    """Return a number of seconds above 0."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{word!r} is not a number of seconds above 0")
    return value


def point(word: str) -> Point:
    """Return the point that is written as X,Y."""
    try:
        x, y = map(int, word.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{word!r} is not X,Y in whole pixels, such as 120,80") from None
    return x, y


def box(word: str) -> Box:
    """Return the box that is written as LEFT,TOP,RIGHT,BOTTOM."""
    try:
        left, top, right, bottom = map(int, word.split(","))
    except ValueError:
        message = f"{word!r} is not LEFT,TOP,RIGHT,BOTTOM in whole pixels, such as 40,30,220,160"
        raise ArgumentTypeError(message) from None
    return left, top, right, bottom
