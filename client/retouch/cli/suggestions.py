"""What a mistyped word probably stands for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

_CHOICES = re.compile(r"invalid choice: '(?P<word>.*)' \(choose from (?P<choices>.*)\)", re.DOTALL)
"""The part of a message of argparse that quotes a word and lists what it may be."""


def did_you_mean(word: str, names: Mapping[str, str]) -> str:
    """Return the question whether the closest one of `names` is meant by `word`, or "" if none is close.

    The question has the word that stands beside the name, so that several names may lead to one word.
    """
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {names[close[0]]}?" if close else ""


def suggestion_for_choice(message: str) -> str:
    """Return the suggestion for the word that `message`, an error of argparse, calls no valid choice, or ""."""
    refused = _CHOICES.search(message)
    names = re.findall(r"[\w-]+", refused["choices"]) if refused else []
    return did_you_mean(refused["word"], {name: name for name in names}) if refused else ""


def suggestion_for_flag(unknown: Sequence[str], known: Iterable[str], others: dict[str, str]) -> str:
    """Return the suggestion for the first flag among the words that no command knows, or "".

    `others` are further names that somebody may think of, and the flag for each.
    """
    # Without the dashes, which all flags share and which would make any two of them alike.
    names = {flag.lstrip("-"): flag for flag in known} | others
    flags = [word.partition("=")[0] for word in unknown if word.startswith("--")]
    return did_you_mean(flags[0].lstrip("-"), names) if flags else ""
