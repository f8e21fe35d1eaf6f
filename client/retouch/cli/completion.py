"""The scripts by which shells complete the command line. They are made from the parser."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab

from retouch.cli.display import Display

SHELLS = ("bash", "zsh", "fish")


def completion(options: argparse.Namespace, display: Display) -> int:
    """Do `retouch completion`."""
    _mark_files(options.parser)
    print(shtab.complete(options.parser, options.shell))
    return 0


def _mark_files(parser: argparse.ArgumentParser) -> None:
    """Let the arguments that are paths be completed with the names of files."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _mark_files(command)
        elif action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
