"""The words of the command line. An error in them is one line, with exit status 2.

The options of a call come from `retouch.options`, with the same names and sentences. Only those in `_FLAGS` have other
names, and `_add_search` splits the points by their labels.
"""

from __future__ import annotations

import argparse
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from retouch import __version__
from retouch.calls import is_header_value
from retouch.cli.commands import edit, locate, remove, score
from retouch.connection import BASE_URL, TIMEOUT_S
from retouch.options import (
    About,
    FillOption,
    PainterOptions,
    PaintingOptions,
    PreviewOption,
    RegionOptions,
    RequestOptions,
    SearchOptions,
    TargetOption,
    options_of,
)
from retouch.pictures import ImageInput
from retouch.results import Box, Point

Commands = argparse._SubParsersAction
"""What `add_subparsers` returns; argparse has no public name for it."""

EPILOG = """\
exit status:
  0    done
  1    the service refused, failed or is away; `locate` found nothing
  2    wrong use
  130  stopped with Ctrl-C
"""

_FLAGS = {"negative_prompt": "--negative", "num_inference_steps": "--steps", "guidance_scale": "--guidance"}
"""The options whose names are shorter here."""

_MAY_BE_EMPTY = {"negative_prompt"}
"""The texts that a script may leave empty."""


class OneLineParser(argparse.ArgumentParser):
    """An argparse parser that prints no usage text in front of an error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parse(argv: Sequence[str] | None, environment: Mapping[str, str]) -> argparse.Namespace:
    """Return the options of one command; `run` is the function that does what the command says."""
    parser = OneLineParser(
        prog="retouch",
        description="Edit pictures by words, with a Retouch service.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"retouch {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    for add in (_add_edit, _add_remove, _add_locate, _add_score):
        _add_shared(add(commands), environment)
    return parser.parse_args(argv)


def _add_edit(commands: Commands[OneLineParser]) -> OneLineParser:
    parser = _add_command(commands, "edit", edit, "Find something in a picture and repaint it.")
    parser.add_argument("prompt", type=text, help='What to paint, such as "a lemon".')
    _add_outputs(parser)
    _add_search(parser, TargetOption, RegionOptions)
    _add_options(parser.add_argument_group("how to paint it"), PaintingOptions, FillOption)
    _add_options(parser.add_argument_group("request"), RequestOptions)
    return parser


def _add_remove(commands: Commands[OneLineParser]) -> OneLineParser:
    what = "Find something in a picture and fill its place as if it had never stood there."
    parser = _add_command(commands, "remove", remove, what)
    _add_outputs(parser)
    _add_search(parser, TargetOption, RegionOptions)
    _add_options(parser.add_argument_group("how to fill it"), FillOption)
    _add_options(parser.add_argument_group("with --fill-method painter"), PainterOptions)
    _add_options(parser.add_argument_group("request"), RequestOptions)
    return parser


def _add_locate(commands: Commands[OneLineParser]) -> OneLineParser:
    parser = _add_command(commands, "locate", locate, "Say where something is, without painting.")
    parser.add_argument("target", type=text, nargs="?", help='What to find, such as "the apple".')
    parser.add_argument("--heat", type=Path, metavar="FILE", help="Save the picture with its heat map over it.")
    masks = "Save the masks of the candidates there: mask-0.png, mask-1.png, ..."
    parser.add_argument("--masks-out", type=Path, metavar="FOLDER", help=masks)
    _add_search(parser, SearchOptions)
    return parser


def _add_score(commands: Commands[OneLineParser]) -> OneLineParser:
    parser = _add_command(commands, "score", score, "Say how well a text describes a picture.")
    parser.add_argument("text", type=text, help='The text, such as "a lemon".')
    return parser


def _add_command(commands: Commands[OneLineParser], name: str, run: Callable[..., int], what: str) -> OneLineParser:
    parser = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.set_defaults(run=run)
    parser.add_argument("image", type=Path, help="The picture: a PNG, JPEG or WebP file. It is never written to.")
    return parser


def _add_outputs(parser: OneLineParser) -> None:
    where = "Where to save the picture (default: IMAGE.edited.png). The second of several goes to FILE-2."
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help=where)
    mask = "Save the mask too. It is white where the picture was repainted."
    parser.add_argument("--mask-out", type=Path, metavar="FILE", help=mask)
    strip = "Save before, mask and after side by side too."
    parser.add_argument("--strip", type=Path, metavar="FILE", help=strip)
    _add_options(parser, PreviewOption, also="They are saved beside the picture: partial-1.png, partial-2.png, ...")


def _add_search(parser: OneLineParser, *kinds: type) -> None:
    """Add the options of `kinds`, and one option for the points of each label."""
    meant = parser.add_argument_group("what is meant")
    _add_options(meant, *kinds)
    pixel: dict[str, Any] = {"type": point, "action": "append", "default": [], "metavar": "X,Y"}
    meant.add_argument("--point", **pixel, help="A pixel on what is meant, in place of a search by words; repeatable.")
    meant.add_argument("--not-point", **pixel, help="A pixel beside what is meant; repeatable.")


def _add_options(group: argparse._ActionsContainer, *kinds: type, also: str = "") -> None:
    """Add an option for each one of the typed dictionaries `kinds`. Their help ends with `also`."""
    for name, (hint, about) in [option for kind in kinds for option in options_of(kind).items()]:
        if name not in ("points", "labels"):
            words = " ".join(filter(None, [about.sentence, f"({about.limits})" if about.limits else "", also]))
            flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
            group.add_argument(flag, dest=name, help=words.replace("%", "%%"), **_argument(name, hint, about))


def _argument(name: str, hint: Any, about: About) -> dict[str, Any]:
    """Return how argparse reads the option `name`."""
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction, "default": None}
    if hint is int:
        return {"type": partial(whole, least=int(about.least or 0), most=about.most), "metavar": "N"}
    if about.header:
        return {"type": visible, "metavar": "KEY"}
    if name in _MAY_BE_EMPTY:
        return {"type": utf8, "metavar": "TEXT"}
    known = {str: (text, "TEXT"), float: (float, "X"), Box: (box, "L,T,R,B"), ImageInput: (Path, "FILE")}
    convert, metavar = known[hint]
    return {"type": convert, "metavar": metavar}


def _add_shared(parser: OneLineParser, environment: Mapping[str, str]) -> None:
    """Add the options that all commands have."""
    service = parser.add_argument_group("service")
    url = environment.get("RETOUCH_URL") or BASE_URL
    service.add_argument("--url", default=url, help=f"Where it is (default: $RETOUCH_URL or {BASE_URL}).")
    key = environment.get("RETOUCH_API_KEY")
    service.add_argument("--api-key", default=key, metavar="KEY", help="Its key; better set as $RETOUCH_API_KEY.")
    service.add_argument(
        "--timeout", type=seconds, default=TIMEOUT_S, metavar="S", help=f"Seconds to wait (default: {TIMEOUT_S:g})."
    )
    output = parser.add_argument_group("output").add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="Print one JSON object, also for errors.")
    output.add_argument(
        "--quiet", action="store_true", help="Print the bare result: the path, the point or the number."
    )


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
