"""The entry point: runs the command that a command line names, and turns errors into messages and exit statuses."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import httpx

from retouch.async_client import AsyncRetouch
from retouch.cli.display import Display
from retouch.cli.options import parse
from retouch.cli.outputs import UsageError
from retouch.cli.wording import advice
from retouch.errors import RetouchError


def main(
    argv: Sequence[str] | None = None,
    *,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], object] = time.sleep,
    async_transport: httpx.AsyncBaseTransport | None = None,
    async_sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> int:
    """Do what `argv` says (by default the arguments of this process) and return the exit status.

    The commands that send several requests at a time use `async_transport` and `async_sleep`.
    """
    try:
        options = parse(argv, os.environ)
    except SystemExit as stop:
        return int(stop.code or 0)
    display = Display(options)
    try:
        if options.client is None:
            return int(options.run(options, display))
        if options.client is AsyncRetouch:
            settings = {"max_retries": options.retries, "transport": async_transport, "sleep": async_sleep}
            return int(options.run(options, _connect(options, **settings), display))
        with _connect(options, transport=transport, sleep=partial(display.pause, sleep=sleep)) as client:
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
    except KeyboardInterrupt as stop:
        display.complain(str(stop) or "stopped, and the connection to the service is closed")
        return 130


def _connect(options: argparse.Namespace, **settings: Any) -> Any:
    """Return the client that the command needs."""
    try:
        return options.client(options.url, options.api_key, timeout_s=options.timeout, **settings)
    except ValueError as error:
        names = str(error).replace("base_url", "--url").replace("api_key", "--api-key")
        raise UsageError(names) from None


if __name__ == "__main__":
    sys.exit(main())
