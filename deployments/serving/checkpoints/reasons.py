"""A library's reason in one line that an operator can read."""

from __future__ import annotations

import re
from textwrap import shorten

LONGEST = 300  # characters
ANSI_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# The folders of an absolute path, but not of an address. They concern only this machine.
FOLDERS = re.compile(r"(?<![\w.:/~])/(?:[^\s'\"`:,;()/]+/)*(?=[^\s'\"`:,;()/])")


def reason(error: BaseException) -> str:
    """Return what `error` says, without colours, folders and further lines; its type where it says nothing."""
    lines = [line.strip() for line in ANSI_CODE.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    announces_the_next = lines[0].endswith(":")
    text = " ".join(lines[: 2 if announces_the_next else 1])
    return shorten(FOLDERS.sub("", text), LONGEST, placeholder=" ...").rstrip(". ")
