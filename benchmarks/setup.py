"""Which graph is measured, the default one or that of a Serve config file, and the Ray on which it runs."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import yaml
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

from deployments.config import GraphArgs
from deployments.inpaint.executions import settled
from graph import DEFAULTS, build_app

START_S = 900


@contextmanager
def local_service(request_timeout_s: float | None = None) -> Iterator[str]:
    """Start a Ray of its own with Serve on a free port, and yield its URL.

    Serve's proxy ends a request after `request_timeout_s` seconds; None leaves it all the time it needs.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    options = {"host": "127.0.0.1", "port": port, "request_timeout_s": request_timeout_s}
    serve.start(http_options=options, logging_config={"log_level": "ERROR"})
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


@dataclass(frozen=True)
class Setup:
    """`args` of the graph, and `application` as the config file has it; empty for the defaults.

    What is measured paints in one execution from the start, the one that a service comes to.
    """

    args: GraphArgs = field(default_factory=lambda: _settled(GraphArgs()))
    application: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Setup:
        """The first application of the file."""
        if path is None:
            return cls()
        application = yaml.safe_load(path.read_text())["applications"][0]
        args = _settled(GraphArgs.model_validate(application.get("args", {})))
        return cls(args, {**application, "args": args.model_dump(mode="json")})

    def options(self, deployment: str) -> Mapping[str, Any]:
        """Ray's options for a replica of that deployment: CPUs, GPU share, threads."""
        for configured in self.application.get("deployments", []):
            if configured["name"] == deployment:
                options: Mapping[str, Any] = configured["ray_actor_options"]
                return options
        default: Mapping[str, Any] = DEFAULTS[deployment]["ray_actor_options"]
        return default

    def start(self, name: str, route_prefix: str | None) -> Any:
        """Deploys the graph; returns the handle of its driver once it answers."""
        if not self.application:
            return serve.run(build_app(self.args), name=name, route_prefix=route_prefix)
        application = {**self.application, "name": name, "route_prefix": route_prefix}
        config = ServeDeploySchema.model_validate({"applications": [application]})
        _get_global_client().deploy_apps(config, _blocking=False)
        until = time.monotonic() + START_S
        while serve.status().applications[name].status != "RUNNING":
            if time.monotonic() > until:
                raise TimeoutError(f"{name} does not start: {serve.status().applications[name].message}")
            time.sleep(1)
        return serve.get_app_handle(name)


def _settled(args: GraphArgs) -> GraphArgs:
    return args.model_copy(update={"inpaint": settled(args.inpaint)})
