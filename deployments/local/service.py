"""The service on this machine with the pocket models, until Ctrl-C; it ends its start by saying where to click.

`serve run` does the same for any graph and on any cluster, and shows Ray's own log meanwhile.
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module

from deployments.config import GraphArgs
from deployments.errors import StartFailed
from deployments.launch.progress_bar import Show, progress_bar
from deployments.launch.session import joins_a_cluster, ray_session

HOST, PORT = "127.0.0.1", 8000
APPLICATION = "retouch"
PROXY = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"

Say = Callable[[str], None]


def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl-C. Return 0 then, and 1 where the service cannot start."""
    about = "The service with the pocket models on this machine, until Ctrl-C."
    parser = argparse.ArgumentParser(prog="python -m deployments.local", description=about)
    parser.add_argument("--port", type=_port, default=PORT, help="default: %(default)s")
    port = parser.parse_args(argv).port
    try:
        _serve(port, _say)
    except StartFailed as error:
        return _failed(*error.sentences)
    except (OSError, RuntimeError) as error:
        return _failed(error)
    except KeyboardInterrupt:
        _say("Stopped.")
    return 0


def _serve(port: int, say: Say) -> None:
    if joins_a_cluster():
        raise RuntimeError(
            "RAY_ADDRESS names a cluster, and this is for one machine. Unset it; on a cluster use serve deploy."
        )
    _check_port(port)
    os.environ.setdefault(PROXY, "deployments.http.proxy:middleware")
    say("Starting Ray ...")
    with ray_session(meanwhile=lambda: import_module("graph")):
        with progress_bar() as show:
            _start(port, show, say)
        print(f"Retouch is ready: open http://{HOST}:{port} (Ctrl-C stops it)", flush=True)
        threading.Event().wait()


def _start(port: int, show: Show, say: Say) -> None:
    from ray import serve

    from deployments.launch.one_shot import wait
    from deployments.launch.watching import start_watcher
    from graph import build

    serve.start(proxy_location="HeadOnly", http_options={"host": HOST, "port": port})
    target = serve.RunTarget(build(GraphArgs()), name=APPLICATION, route_prefix="/")
    serve.run_many([target], wait_for_applications_running=False)
    wait(APPLICATION, start_watcher(show, say))


def _check_port(port: int) -> None:
    """Raise OSError where another program has the port, before anything starts."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        why = "taken by another program" if error.errno == errno.EADDRINUSE else f"not to be had ({error.strerror})"
        raise OSError(f"port {port} is {why}. Choose another one with --port.") from error


def _port(text: str) -> int:
    """Return the number of a port."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: choose a number from 1 to 65535")
    return int(text)


def _failed(*problems: object) -> int:
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1


def _say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)
