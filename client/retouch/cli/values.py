"""From a word of the command line to a value; argparse puts the option's name in front of what is wrong with it."""

from __future__ import annotations

from argparse import ArgumentTypeError

from retouch.results import Box, Point


def text(word: str) -> str:
    """Something that can be looked for or painted."""
    if not word.strip():
        raise ArgumentTypeError("the text is empty")
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError("the text is not UTF-8") from None
    return word


def count(word: str) -> int:
    return _whole(word, 1)


def number_from_zero(word: str) -> int:
    return _whole(word, 0)


def seconds(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{word!r} is not a number of seconds above 0")
    return value


def point(word: str) -> Point:
    try:
        x, y = map(int, word.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{word!r} is not X,Y in whole pixels, such as 120,80") from None
    return x, y


def box(word: str) -> Box:
    try:
        left, top, right, bottom = map(int, word.split(","))
    except ValueError:
        message = f"{word!r} is not LEFT,TOP,RIGHT,BOTTOM in whole pixels, such as 40,30,220,160"
        raise ArgumentTypeError(message) from None
    return left, top, right, bottom


def _whole(word: str, least: int) -> int:
    if not word.isascii() or not word.isdecimal() or int(word) < least:
        raise ArgumentTypeError(f"{word!r} is not a whole number of {least} or more")
    return int(word)
