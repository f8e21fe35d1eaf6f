"""The words of the command line. An error in them is one line, with exit status 2.

The options of a call come from `retouch.options`, with the same names and sentences. Only those in `words.FLAGS` have
other names, and `_add_search` splits the points by their labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from retouch import __version__
from retouch.async_client import AsyncRetouch
from retouch.cli.batch.command import batch
from retouch.cli.commands import edit, locate, remove, score
from retouch.cli.completion import SHELLS, completion
from retouch.cli.suggestions import suggestion_for_choice, suggestion_for_flag
from retouch.cli.words import FLAGS, argument, point, seconds, text, whole
from retouch.client import Retouch
from retouch.connection import BASE_URL, TIMEOUT_S
from retouch.options import (
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
from retouch.retries import MAX_RETRIES

Commands = argparse._SubParsersAction
"""What `add_subparsers` returns; argparse has no public name for it."""

EPILOG = """\
exit status:
  0    done
  1    the service refused, failed or is away; `locate` found nothing; a row of a batch was not done
  2    wrong use
  130  stopped with Ctrl-C
"""

BATCH_EPILOG = """\
The same command goes on where an earlier run was stopped, and tries again what has failed. `results.csv` has a row for
each edit that has ended.
"""


class OneLineParser(argparse.ArgumentParser):
    """An argparse parser that says in one line what is wrong, without the usage text and with a suggestion."""

    def error(self, message: str) -> NoReturn:
        self._refuse(message, suggestion_for_choice(message))

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Stop because of words that this command does not know."""
        others = {name.replace("_", "-"): flag for name, flag in FLAGS.items()}
        suggestion = suggestion_for_flag(unknown, self._option_string_actions, others)
        self._refuse(f"unrecognized arguments: {' '.join(unknown)}", suggestion)

    def _refuse(self, message: str, suggestion: str) -> NoReturn:
        advice = f"{suggestion} See" if suggestion else "see"
        self.exit(2, f"{self.prog}: {message} ({advice} {self.prog} --help)\n")


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
    for add in (_add_edit, _add_remove, _add_locate, _add_score, _add_batch):
        _add_shared(add(commands), environment)
    _add_completion(commands, parser)
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        commands.choices[options.command].refuse(unknown)
    return options


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


def _add_batch(commands: Commands[OneLineParser]) -> OneLineParser:
    what = "Edit many pictures: all of a folder alike, or each as a row of a table says."
    parser = commands.add_parser("batch", help=what, description=what, epilog=BATCH_EPILOG, allow_abbrev=False)
    parser.set_defaults(run=batch, client=AsyncRetouch)
    source = "A folder of pictures, or a CSV file with a column `image` and columns named like the options of an edit."
    parser.add_argument("source", type=Path, help=source)
    prompt = "What to paint in each picture whose row has no prompt of its own."
    parser.add_argument("prompt", type=text, nargs="?", help=prompt)
    where = "Where to save the pictures and `results.csv` (default: SOURCE-edited)."
    parser.add_argument("-o", "--out", type=Path, metavar="FOLDER", help=where)
    parser.add_argument("--remove", action="store_true", help="Remove what is meant, in place of painting a PROMPT.")
    parser.add_argument("--again", action="store_true", help="Edit also what an earlier run has done.")
    at_least_one: dict[str, Any] = {"type": partial(whole, least=1), "metavar": "N"}
    parser.add_argument("--workers", default=4, **at_least_one, help="How many edits run at a time (default: 4).")
    tries = f"How often an edit is tried again while the service is busy or away (default: {MAX_RETRIES})."
    parser.add_argument("--retries", type=partial(whole, least=0), default=MAX_RETRIES, metavar="N", help=tries)
    _add_search(parser, TargetOption, RegionOptions)
    _add_options(parser.add_argument_group("how to paint it"), PaintingOptions, FillOption)
    _add_options(parser.add_argument_group("request"), RequestOptions, without=("idempotency_key",))
    return parser


def _add_completion(commands: Commands[OneLineParser], parser: OneLineParser) -> None:
    what = "Print the script by which a shell completes the words of this command."
    added = commands.add_parser("completion", help=what, description=what, allow_abbrev=False)
    added.add_argument("shell", choices=SHELLS, help="For bash: source <(retouch completion bash)")
    added.set_defaults(run=completion, client=None, parser=parser, json=False, quiet=False)


def _add_command(commands: Commands[OneLineParser], name: str, run: Callable[..., int], what: str) -> OneLineParser:
    parser = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.set_defaults(run=run, client=Retouch)
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


def _add_options(group: argparse._ActionsContainer, *kinds: type, also: str = "", without: Sequence[str] = ()) -> None:
    """Add an option for each one of the typed dictionaries `kinds`. Their help ends with `also`."""
    for name, (hint, about) in [option for kind in kinds for option in options_of(kind).items()]:
        if name not in ("points", "labels", *without):
            words = " ".join(filter(None, [about.sentence, f"({about.limits})" if about.limits else "", also]))
            flag = FLAGS.get(name, "--" + name.replace("_", "-"))
            group.add_argument(flag, dest=name, help=words.replace("%", "%%"), **argument(name, hint, about))


def _add_shared(parser: OneLineParser, environment: Mapping[str, str]) -> None:
    """Add the options that all commands have."""
    service = parser.add_argument_group("service")
    url = environment.get("RETOUCH_URL") or BASE_URL
    service.add_argument(
        "--url", default=url, help=f"Where it is, with or without /v1 at the end (default: $RETOUCH_URL or {BASE_URL})."
    )
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
