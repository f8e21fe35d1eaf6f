"""What a person can do about an error."""

from __future__ import annotations

import argparse
import shlex

from retouch.cli.facts import listed
from retouch.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    InvalidResponse,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RetouchError,
    TargetNotFound,
)


def advice(error: RetouchError, options: argparse.Namespace) -> str | None:
    """The next thing to try after `error`, if there is one."""
    if isinstance(error, TargetNotFound):
        return _look_where(error, options)
    if isinstance(error, APITimeoutError):
        return "It may be busy: try again, or allow more seconds with --timeout."
    if isinstance(error, APIConnectionError):
        return "Start the service with `make serve`, or say where it is with --url or RETOUCH_URL."
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        return "Give a key with RETOUCH_API_KEY."
    if isinstance(error, (NotFoundError, InvalidResponse)):
        return f"Is {options.url} a Retouch service?"
    if isinstance(error, RateLimitError):
        return "It is busy now: try again in a moment."
    return None


def _look_where(error: TargetNotFound, options: argparse.Namespace) -> str:
    if options.command == "locate":
        return "Name it in other words."
    if options.point or options.box:
        return "Point somewhere else, or draw a --mask."
    looked_for = error.location.target if error.location else ""
    target = looked_for or options.target or options.prompt
    command = shlex.join(["retouch", "locate", str(options.image), target, "--heat", "heat.png"])
    lines = [f"Name it in other words with --target, or see where the service looks:\n{command}"]
    if error.location:
        lines.insert(0, f"If the best guess is right after all, add --point {listed(error.location.point_xy)}.")
    return "\n".join(lines)
