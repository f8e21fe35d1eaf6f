"""The entry point: runs the command that a command line names, and turns errors into messages and exit statuses."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import httpx

from retouch.cli.display import Display
from retouch.cli.options import parse
from retouch.cli.outputs import UsageError
from retouch.cli.wording import advice
from retouch.client import Retouch
from retouch.errors import RetouchError


def main(
    argv: Sequence[str] | None = None,
    *,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Do what `argv` says (by default the arguments of this process) and return the exit status."""
    try:
        options = parse(argv, os.environ)
    except SystemExit as stop:
        return int(stop.code or 0)
    display = Display(options)
    try:
        with _connect(options, transport, partial(display.pause, sleep=sleep)) as client:
            return int(options.run(options, client, display))
    except UsageError as error:
        display.complain(str(error))
        return 2
    except RetouchError as error:
        display.failed(error, advice(error, options))
        return 1
    except OSError as error:
        why = f"{error.filename} cannot be read or written: {error.strerror}" if error.filename else str(error)
        display.complain(why)
        return 1
    except KeyboardInterrupt:
        display.complain("stopped, and the connection to the service is closed")
        return 130


def _connect(
    options: argparse.Namespace, transport: httpx.BaseTransport | None, sleep: Callable[[float], object]
) -> Retouch:
    try:
        return Retouch(options.url, options.api_key, timeout_s=options.timeout, transport=transport, sleep=sleep)
    except ValueError as error:
        names = str(error).replace("base_url", "--url").replace("api_key", "--api-key")
        raise UsageError(names) from None


if __name__ == "__main__":
    sys.exit(main())
