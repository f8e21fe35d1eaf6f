"""The connection of one program to Ray.

Where `RAY_ADDRESS` names a running cluster the program joins it; else it gets a Ray of its own on this machine,
whatever other Ray is running here.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from deployments.launch.preloaded import can_fork, preloaded

PRESTART = "RAY_prestart_worker_first_driver"
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
CPUS = 5  # of a Ray of our own: it starts no more processes at once than it is said to have CPUs, and these wait mostly


def joins_a_cluster() -> bool:
    """Return whether the graph would run on a cluster that runs already, whose machines may have other files."""
    return _connected() or os.environ.get("RAY_ADDRESS", "") not in ("", "local")


@contextmanager
def ray_session(meanwhile: Callable[[], object] = lambda: None) -> Iterator[bool]:
    """Connect this process to Ray for a while; yield whether that Ray was started for it alone.

    `meanwhile` runs in a thread while Ray starts: that takes seconds in which this process has nothing to do.
    """
    if _connected():
        meanwhile()
        yield False
        return
    own = not joins_a_cluster()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.disable(logging.WARNING)  # Ray reports on its start; whoever waits for a picture need not know
    try:
        with _options(own) as options, _connection(options, meanwhile), _orderly_endings():
            yield own
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _options(own: bool) -> Iterator[dict[str, Any]]:
    """Yield the options of `ray.init`; the workers of a Ray of our own come preloaded where that can be."""
    options = {"address": "local", "include_dashboard": False, "num_cpus": CPUS} if own else {}
    if not own or not can_fork():
        yield options
        return
    os.environ[PRESTART] = "0"  # those processes would not be preloaded, and nobody would use them
    with preloaded() as python:
        yield {**options, "runtime_env": {"py_executable": python}}


@contextmanager
def _connection(options: dict[str, Any], meanwhile: Callable[[], object]) -> Iterator[None]:
    import ray

    try:
        with ThreadPoolExecutor(max_workers=1) as beside:
            done = beside.submit(meanwhile)
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
            done.result()
        yield
    finally:
        ray.shutdown()


def _connected() -> bool:
    # To import Ray takes half a second. Who has not imported it is not connected.
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


@contextmanager
def _orderly_endings() -> Iterator[None]:
    """Let the signals that end a program do so as Ctrl-C does, so that everything is taken down.

    Ray's own handler of SIGTERM prints a stack trace, and Ray makes exit code 1 of a SystemExit that reaches it while
    it waits. Python allows handlers in the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
