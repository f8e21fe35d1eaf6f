"""Builds the application: the only file that turns classes into Serve deployments and binds them.

    serve run graph:build_app                 # the pocket models
    serve deploy serve_config.yaml            # production

What stands here are the defaults for one machine without a GPU. A Serve config file replaces them
deployment by deployment: replicas, GPU shares, queues and autoscaling are its business.
"""

# No `from __future__ import annotations` here: Serve reads the class of `build_app`'s parameter at run time.
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from deployments.clip.server import ClipServer
from deployments.config import GraphArgs
from deployments.driver.server import Driver
from deployments.errors import NotOnThisMachine
from deployments.http.api import build_api
from deployments.inpaint.server import InpaintServer
from deployments.launch import preflight
from deployments.ledger.remote import RemoteBook, RemoteLedger
from deployments.ledger.server import LedgerServer
from deployments.sam.server import SamServer

# Ray gives an operator a thread for each whole CPU of its replica, and at least one. Small models gain little from a
# second one and, where the stages share two cores, lose a lot by waiting for it. The inpaint engine uses the other
# cores by whole rows instead (`row_threads`). An environment of their own (`runtime_env`) would keep the replicas from
# taking over the processes that Ray has started ahead.
# Nobody calls the models but the driver, which logs each request; a line for each of their calls cost as much as a hop.
QUIET = {"logging_config": {"enable_access_log": False}}

DEFAULTS: dict[str, dict[str, Any]] = {
    "clip": {"ray_actor_options": {"num_cpus": 0.2}, "max_ongoing_requests": 64, **QUIET},
    "sam": {"ray_actor_options": {"num_cpus": 0.2}, "max_ongoing_requests": 32, **QUIET},
    "inpaint": {"ray_actor_options": {"num_cpus": 0.4}, "max_ongoing_requests": 64, **QUIET},
    # It only remembers: its calls take a millisecond, and many of them wait for an answer that is being worked on.
    "ledger": {"ray_actor_options": {"num_cpus": 0}, "max_ongoing_requests": 10_000, **QUIET},
    "driver": {"ray_actor_options": {"num_cpus": 0.1}, "max_ongoing_requests": 64, "max_queued_requests": 128},
}


class HttpDriver(Driver):
    """The driver with its HTTP face; the same object answers Python handles.

    `ledger` is the handle of the ledger that all replicas share, with its book of the work under way; without it, each
    has its own.
    """

    def __init__(self, clip: Any, sam: Any, inpaint: Any, ledger: Any = None) -> None:
        super().__init__(clip, sam, inpaint, book=None if ledger is None else RemoteBook(ledger))
        self._ledger = None if ledger is None else RemoteLedger(ledger)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self, ledger=self._ledger)


def build_app(args: GraphArgs) -> Application:
    """Return the graph for these models; `GraphArgs()` takes the pocket models.

    Raises SettingError where a model cannot be loaded by any machine. What is only missing here may lie on another one:
    the replica that loads it finds out.
    """
    for problem in preflight.problems(args, reach_hub=False):
        if not isinstance(problem, NotOnThisMachine):
            raise problem
    return build(args, ledger=_deployment(LedgerServer, "ledger").bind())


def build(args: GraphArgs, settings: dict[str, Any] | None = None, ledger: Application | None = None) -> Application:
    """Return the graph for these models. `settings` is the driver's `user_config` where no config file has one.

    A graph that answers HTTP needs a `ledger`, so that its driver's replicas know of each other's answers and work.
    """
    clip = _deployment(ClipServer, "clip").bind(args.clip)
    sam = _deployment(SamServer, "sam").bind(args.sam)
    inpaint = _deployment(InpaintServer, "inpaint").bind(args.inpaint)
    driver = _deployment(serve.ingress()(HttpDriver), "driver", user_config=settings)
    return driver.bind(clip, sam, inpaint, ledger)


def _deployment(cls: type, name: str, user_config: dict[str, Any] | None = None) -> serve.Deployment:
    # Not None: where a config file drops its `user_config`, Serve would leave the old one in force.
    return serve.deployment(cls, name=name, user_config=user_config or {}, **DEFAULTS[name])
