"""The graph for one program: it starts, serves this program alone, and leaves nothing behind.

Where `RAY_ADDRESS` names a running cluster the graph runs there, as an application of its own among others; else it
runs on a Ray of its own on this machine, whatever other Ray is running here.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import RayServeException

from deployments.errors import ServiceError, StartFailed
from deployments.messages import EditRequest, EditResult, Progress
from deployments.serving import status
from deployments.serving.status import StageStatus

POLL_S = 0.2
CONTROLLER = {"name": "SERVE_CONTROLLER_ACTOR", "namespace": "serve"}
ENDINGS = (signal.SIGTERM, signal.SIGHUP)

OnStart = Callable[[Mapping[str, StageStatus]], None]


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


def edit(handle: Any, request: EditRequest, on_progress: Callable[[Progress], None]) -> EditResult:
    """Return the result of an edit through the handle of `running`. `on_progress` is called with its progress.

    Raises the ServiceErrors of an edit, and RuntimeError where the graph itself fails.
    """
    news = handle.options(stream=True).edit_stream.remote(request)
    try:
        for item in news:
            if isinstance(item, EditResult):
                return item
            on_progress(item)
    except ServiceError:
        raise
    except RayActorError as error:
        raise RuntimeError("The graph's driver died during the edit.") from error
    except (RayError, RayServeException) as error:
        raise RuntimeError(f"The graph failed: {str(error).strip().splitlines()[-1]}") from error
    finally:
        # After an interruption nobody waits for the painting. A call that never reached the driver raises why here.
        with suppress(Exception):
            news.cancel()
    raise RuntimeError("The graph ended without a result.")


def joins_a_cluster() -> bool:
    """Return whether the graph would run on a cluster that runs already, whose machines may have other files."""
    return ray.is_initialized() or os.environ.get("RAY_ADDRESS", "") not in ("", "local")


@contextmanager
def _ray() -> Iterator[bool]:
    """Connect this process to Ray for a while; yield whether that Ray was started for it alone."""
    if ray.is_initialized():
        yield False
        return
    own = not joins_a_cluster()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.disable(logging.WARNING)  # Ray reports on its start, which does not help the user
    try:
        options: dict[str, Any] = {"address": "local", "include_dashboard": False} if own else {}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        with _orderly_endings():
            yield own
    finally:
        ray.shutdown()
        logging.disable(logging.NOTSET)


@contextmanager
def _orderly_endings() -> Iterator[None]:
    """Let the signals that end a program act as Ctrl-C does, so that everything is taken down.

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


@contextmanager
def _application(own: bool) -> Iterator[str]:
    """Yield a name that no other application has, and take down what was deployed under it."""
    name = f"retouch-once-{uuid.uuid4().hex[:8]}"
    if own:
        # All of this Ray ends soon. Taking Serve down before it would only add complaints about lost calls.
        serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
        yield name
        return
    served_before = _serve_runs()
    try:
        yield name
    finally:
        if _serve_runs():
            _take_down(name, also_serve=not served_before)


def _serve_runs() -> bool:
    return CONTROLLER in ray.util.list_named_actors(all_namespaces=True)


def _take_down(name: str, also_serve: bool) -> None:
    """Delete the application; and Serve, if it was not there before and nobody else has deployed anything since."""
    try:
        serve.delete(name)
    finally:
        if also_serve and set(serve.status().applications) <= {name}:
            serve.shutdown()


def _wait(name: str, on_start: OnStart) -> None:
    known = False
    while True:
        stages = status.read(name)
        causes = {stage: one.cause for stage, one in stages.items() if one.cause is not None}
        if not causes and (given_up := status.given_up(name)) is not None:
            causes = {"the graph": given_up}
        if known and not stages:
            causes = {"the graph": "somebody deleted it"}
        if causes:
            raise StartFailed(causes)
        known = bool(stages)
        on_start(stages)
        if stages and all(one.running for one in stages.values()):
            return
        time.sleep(POLL_S)
