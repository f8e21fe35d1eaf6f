"""The graph for one program: it starts, serves this program alone, and leaves nothing behind.

On somebody's cluster it runs as an application of its own among others.
"""

from __future__ import annotations

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

POLL_S = 0.5  # each reading takes the controller some 20 ms, of the cores that the models are loaded with
CONTROLLER = {"name": "SERVE_CONTROLLER_ACTOR", "namespace": "serve"}

OnStart = Callable[[Mapping[str, StageStatus]], None]


@contextmanager
def running(application: serve.Application, own_ray: bool, on_start: OnStart = lambda stages: None) -> Iterator[Any]:
    """Yield the handle of the application's driver once all its deployments run. `on_start` watches them start.

    This process has to be connected to Ray; `own_ray` says that it ends soon. Raises StartFailed as soon as a replica
    has said why it cannot start.
    """
    with _application(own_ray) as name:
        target = serve.RunTarget(application, name=name, route_prefix=None)
        serve.run_many([target], wait_for_applications_running=False)
        wait(name, on_start)
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


def wait(name: str, on_start: OnStart) -> None:
    """Wait until all deployments of an application run. `on_start` watches them start. Raises StartFailed."""
    known = False
    while True:
        graph = status.read_graph(name)
        stages = graph.stages
        causes = {stage: one.cause for stage, one in stages.items() if one.cause is not None}
        if not causes and graph.given_up is not None:
            causes = {"the graph": graph.given_up}
        if known and not stages:
            causes = {"the graph": "somebody deleted it"}
        if causes:
            raise StartFailed(causes)
        known = bool(stages)
        on_start(stages)
        if stages and all(one.running for one in stages.values()):
            return
        time.sleep(POLL_S)
