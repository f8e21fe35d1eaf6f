"""The words of the command line. Whatever is wrong with them is said in one line, with exit status 2."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from retouch import __version__
from retouch.choices import Fill, MaskMode, MaskShape
from retouch.cli.commands import edit, locate, remove, score
from retouch.cli.values import box, count, number_from_zero, point, seconds, text
from retouch.connection import BASE_URL, TIMEOUT_S

Commands = argparse._SubParsersAction
"""What `add_subparsers` returns; argparse has no public name for it."""

MEANT = "what is meant"
"""The title of a group of options; argparse makes one group of those that share it."""

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
    _add_remove(commands, shared)
    _add_locate(commands, shared)
    _add_score(commands, shared)
    return parser.parse_args(argv)


def _add_edit(commands: Commands[OneLineParser], shared: OneLineParser) -> None:
    what = "Find something in a picture and repaint it."
    about_target = "what to repaint (default: what PROMPT names)"
    parents = [_region_options(about_target), _search_options(), _painting_options(), shared]
    parser = commands.add_parser("edit", help=what, description=what, parents=parents, allow_abbrev=False)
    parser.set_defaults(run=edit)
    parser.add_argument("image", type=Path, help="the picture: PNG, JPEG or WebP; never written to")
    parser.add_argument("prompt", type=text, help='what to paint, such as "a lemon"')


def _add_remove(commands: Commands[OneLineParser], shared: OneLineParser) -> None:
    what = "Find something in a picture and fill its place from the surroundings, without a model."
    parents = [_region_options("what to remove"), _search_options(), shared]
    parser = commands.add_parser("remove", help=what, description=what, parents=parents, allow_abbrev=False)
    parser.set_defaults(run=remove, n=None)
    parser.add_argument("image", type=Path, help="the picture: PNG, JPEG or WebP; never written to")


def _add_locate(commands: Commands[OneLineParser], shared: OneLineParser) -> None:
    what = "Say where something is, without painting."
    parser = commands.add_parser(
        "locate", help=what, description=what, parents=[_search_options(), shared], allow_abbrev=False
    )
    parser.set_defaults(run=locate)
    parser.add_argument("image", type=Path, help="the picture: PNG, JPEG or WebP")
    parser.add_argument("target", type=text, nargs="?", help='what to find, such as "the apple"')
    parser.add_argument("--heat", type=Path, metavar="FILE", help="save the picture with its heat map over it")
    parser.add_argument(
        "--masks-out", type=Path, metavar="FOLDER", help="save the candidates' masks there: mask-0.png, mask-1.png, ..."
    )


def _add_score(commands: Commands[OneLineParser], shared: OneLineParser) -> None:
    what = "Say how well a text describes a picture."
    parser = commands.add_parser("score", help=what, description=what, parents=[shared], allow_abbrev=False)
    parser.set_defaults(run=score)
    parser.add_argument("image", type=Path, help="the picture: PNG, JPEG or WebP")
    parser.add_argument("text", type=text, help='the text, such as "a lemon"')


def _region_options(about_target: str) -> OneLineParser:
    """What `edit` and `remove` have in common."""
    parser = OneLineParser(add_help=False)
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="where to save (default: IMAGE.edited.png)")
    parser.add_argument("--mask-out", type=Path, metavar="FILE", help="save the mask too: white is what was repainted")
    meant = parser.add_argument_group(MEANT)
    meant.add_argument("--target", type=text, metavar="TEXT", help=about_target)
    meant.add_argument("--candidate", type=number_from_zero, metavar="K", help="another of those that `locate` lists")
    meant.add_argument(
        "--mask", type=Path, metavar="FILE", help="what is white in FILE, or transparent; no search then"
    )
    meant.add_argument("--mask-mode", choices=get_args(MaskMode), help="which of the two (auto: alpha if it has any)")
    region = parser.add_argument_group("how much of it")
    region.add_argument("--mask-shape", choices=get_args(MaskShape), help="its outline, the hull of that, or its box")
    region.add_argument(
        "--dilation", type=float, metavar="X", help="how far that grows, as a share of its longest side"
    )
    return parser


def _search_options() -> OneLineParser:
    """What is meant, beside a target."""
    parser = OneLineParser(add_help=False)
    meant = parser.add_argument_group(MEANT)
    meant.add_argument("--avoid", type=text, metavar="TEXT", help="what is not meant, though it looks like the target")
    meant.add_argument(
        "--all", action=argparse.BooleanOptionalAction, default=None, help="every one of the things of that name"
    )
    pixel: dict[str, Any] = {"type": point, "action": "append", "default": [], "metavar": "X,Y"}
    meant.add_argument("--point", **pixel, help="a pixel on it, instead of a search by words")
    meant.add_argument("--not-point", **pixel, help="a pixel not on it")
    meant.add_argument("--box", type=box, metavar="L,T,R,B", help="the pixels around it: left, top, right, bottom")
    return parser


def _painting_options() -> OneLineParser:
    parser = OneLineParser(add_help=False)
    paint = parser.add_argument_group("how to paint it")
    paint.add_argument("--negative", metavar="TEXT", help="what not to paint")
    paint.add_argument("--n", type=count, metavar="N", help="paint N pictures, best first; the second is FILE-2")
    paint.add_argument("--seed", type=int, metavar="N", help="the same seed paints the same picture again")
    paint.add_argument("--steps", type=count, metavar="N", help="denoising steps: more take longer")
    paint.add_argument("--guidance", type=float, metavar="X", help="how strictly to follow the prompt")
    paint.add_argument("--strength", type=float, metavar="X", help="less than 1 keeps more of the picture")
    paint.add_argument("--fill", choices=get_args(Fill), help="what the painting starts from")
    paint.add_argument("--scheduler", type=text, metavar="NAME", help='such as "euler" (default: the service decides)')
    paint.add_argument("--min-score", type=float, metavar="X", help="try further seeds while the region scores less")
    return parser


def _shared_options(environment: Mapping[str, str]) -> OneLineParser:
    parser = OneLineParser(add_help=False)
    service = parser.add_argument_group("service")
    url = environment.get("RETOUCH_URL") or BASE_URL
    service.add_argument("--url", default=url, help=f"where it is (default: $RETOUCH_URL or {BASE_URL})")
    key = environment.get("RETOUCH_API_KEY")
    service.add_argument("--api-key", default=key, metavar="KEY", help="better set as $RETOUCH_API_KEY")
    service.add_argument(
        "--timeout", type=seconds, default=TIMEOUT_S, metavar="S", help=f"seconds to wait (default: {TIMEOUT_S:g})"
    )
    output = parser.add_argument_group("output").add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object, also for errors")
    output.add_argument("--quiet", action="store_true", help="print the bare result: the path, the point, the number")
    return parser
