"""The graph for one program: it starts, serves this program alone, and leaves nothing behind.

Where `RAY_ADDRESS` names a running cluster the graph runs there, as an application of its own among others; else it
runs on a Ray of its own on this machine, whatever other Ray is running here.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray import serve

from deployments import status
from deployments.status import StageStatus

POLL_S = 0.2
CONTROLLER = {"name": "SERVE_CONTROLLER_ACTOR", "namespace": "serve"}

OnStart = Callable[[Mapping[str, StageStatus]], None]


class StartFailed(RuntimeError):
    """The graph cannot start. `causes` has the reason for each deployment that failed."""

    def __init__(self, causes: Mapping[str, str]) -> None:
        # A cause that starts with the name of a setting names the deployment already.
        told = [
            cause if cause.startswith(f"{stage}.") else f"{stage} cannot start: {cause}"
            for stage, cause in causes.items()
        ]
        super().__init__("; ".join(told))
        self.causes = dict(causes)


@contextmanager
def running(application: serve.Application, on_start: OnStart = lambda stages: None) -> Iterator[Any]:
    """Yield the handle of the application's driver once all its deployments run. `on_start` watches them start.

    Raises StartFailed as soon as a replica has said why it cannot start.
    """
    with _ray() as own, _application(own) as name:
        target = serve.RunTarget(application, name=name, route_prefix=None)
        serve.run_many([target], wait_for_applications_running=False)
        _wait(name, on_start)
        yield serve.get_app_handle(name)


def joins_a_cluster() -> bool:
    """Say whether the graph would run on a cluster that runs already, whose machines may have other files."""
    return ray.is_initialized() or bool(os.environ.get("RAY_ADDRESS"))


@contextmanager
def _ray() -> Iterator[bool]:
    """Connect this process to Ray for a while; yield whether that Ray was started for it alone."""
    if ray.is_initialized():
        yield False
        return
    own = not joins_a_cluster()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.disable(logging.WARNING)  # Ray reports on its start; whoever waits for a picture need not know
    try:
        options: dict[str, Any] = {"address": "local", "include_dashboard": False} if own else {}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        # In place of Ray's own handler, which prints a stack trace: leave in an orderly way, as Ctrl-C does.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        yield own
    finally:
        ray.shutdown()
        logging.disable(logging.NOTSET)


@contextmanager
def _application(own: bool) -> Iterator[str]:
    """Yield a name that no other application has, and take down what was deployed under it."""
    name = f"retouch-once-{uuid.uuid4().hex[:8]}"
    if own:
        # All of this Ray ends soon. Taking Serve down before it would only add complaints about lost calls.
        serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
        yield name
        return
    served_before = CONTROLLER in ray.util.list_named_actors(all_namespaces=True)
    try:
        yield name
    finally:
        serve.delete(name)
        if not served_before and not serve.status().applications:
            serve.shutdown()


def _wait(name: str, on_start: OnStart) -> None:
    while True:
        stages = status.read(name)
        causes = {stage: one.cause for stage, one in stages.items() if one.cause is not None}
        if causes:
            raise StartFailed(causes)
        on_start(stages)
        if stages and all(one.running for one in stages.values()):
            return
        time.sleep(POLL_S)
