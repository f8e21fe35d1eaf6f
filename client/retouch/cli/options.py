"""The words of the command line. Whatever is wrong with them is said in one line, with exit status 2."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from retouch.cli.commands import edit, locate, score
from retouch.defaults import BASE_URL, TIMEOUT_S
from retouch.version import __version__

Commands = argparse._SubParsersAction
"""What `add_subparsers` returns; argparse has no public name for it."""

EPILOG = """\
exit status:
  0    done
  1    the service refused, failed or is away; `locate` found nothing
  2    wrong use
  130  stopped with Ctrl-C
"""


class OneLineParser(argparse.ArgumentParser):
    """argparse, less the usage text in front of each error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parse(argv: Sequence[str] | None, environment: Mapping[str, str]) -> argparse.Namespace:
    """The options of one command; `run` is the function that does it."""
    parser = OneLineParser(
        prog="retouch",
        description="Edit pictures by words, with a Retouch service.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"retouch {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    shared = _shared_options(environment)
    _add_edit(commands, shared)
    _add_locate(commands, shared)
    _add_score(commands, shared)
    return parser.parse_args(argv)


def _add_edit(commands: Commands[OneLineParser], shared: OneLineParser) -> None:
    what = "Find something in a picture and repaint it."
    parser = commands.add_parser("edit", help=what, description=what, parents=[shared], allow_abbrev=False)
    parser.set_defaults(run=edit)
    parser.add_argument("image", type=Path, help="the picture: PNG, JPEG or WebP; never written to")
    parser.add_argument("prompt", type=_words, help='what to paint, such as "a lemon"')
    parser.add_argument("--target", type=_words, metavar="TEXT", help="what to repaint (default: what PROMPT names)")
    parser.add_argument("--negative", metavar="TEXT", help="what not to paint")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="where to save (default: IMAGE.edited.png)")
    parser.add_argument("--mask-out", type=Path, metavar="FILE", help="save the mask too: white is what was repainted")
    parser.add_argument("--n", type=_count, metavar="N", help="paint N pictures, best first; the second is FILE-2")
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed paints the same picture again")
    parser.add_argument("--steps", type=_count, metavar="N", help="denoising steps: more take longer")
    parser.add_argument("--guidance", type=float, metavar="X", help="how strictly to follow the prompt")
    parser.add_argument("--strength", type=float, metavar="X", help="less than 1 keeps more of the picture")
    parser.add_argument(
        "--scheduler", type=_words, metavar="NAME", help='such as "euler" (default: the service decides)'
    )


def _add_locate(commands: Commands[OneLineParser], shared: OneLineParser) -> None:
    what = "Say where something is, without painting."
    parser = commands.add_parser("locate", help=what, description=what, parents=[shared], allow_abbrev=False)
    parser.set_defaults(run=locate)
    parser.add_argument("image", type=Path, help="the picture: PNG, JPEG or WebP")
    parser.add_argument("target", type=_words, help='what to find, such as "the apple"')
    parser.add_argument("--heat", type=Path, metavar="FILE", help="save the picture with its heat map over it")


def _add_score(commands: Commands[OneLineParser], shared: OneLineParser) -> None:
    what = "Say how well a text describes a picture."
    parser = commands.add_parser("score", help=what, description=what, parents=[shared], allow_abbrev=False)
    parser.set_defaults(run=score)
    parser.add_argument("image", type=Path, help="the picture: PNG, JPEG or WebP")
    parser.add_argument("text", type=_words, help='the text, such as "a lemon"')


def _shared_options(environment: Mapping[str, str]) -> OneLineParser:
    parser = OneLineParser(add_help=False)
    service = parser.add_argument_group("service")
    url = environment.get("RETOUCH_URL") or BASE_URL
    service.add_argument("--url", default=url, help=f"where it is (default: $RETOUCH_URL or {BASE_URL})")
    key = environment.get("RETOUCH_API_KEY")
    service.add_argument("--api-key", default=key, metavar="KEY", help="better set as $RETOUCH_API_KEY")
    service.add_argument(
        "--timeout", type=_seconds, default=TIMEOUT_S, metavar="S", help=f"seconds to wait (default: {TIMEOUT_S:g})"
    )
    output = parser.add_argument_group("output").add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object, also for errors")
    output.add_argument("--quiet", action="store_true", help="print the bare result: the path, the point, the number")
    return parser


def _words(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the text is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("the text is not UTF-8") from None
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
