"""What Serve says of the deployments of an application: which would answer a request, and why one cannot start."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.serve.schema import DeploymentStatusOverview

# A replica in one of these states is there for requests. One that is UPDATING takes new settings, for a moment.
# RECOVERING is what a controller that was just restarted calls the replicas it finds, which never stopped serving.
SERVING = ("RUNNING", "UPDATING", "PENDING_MIGRATION", "RECOVERING")
# A deployment in one of these states that has no replica is scaled to zero: Serve starts one for the next request.
AT_REST = ("HEALTHY", "UPSCALING", "DOWNSCALING")
MOST_CHARS = 1000

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FAILURE = re.compile(r"Error:\n(.+)", re.DOTALL)
_RESOURCES = re.compile(r"Resources required for each replica: (.+?), total resources available: (.+?)\. Use")
_LAST_FRAME = re.compile(r'.*^ +File "[^\n]*\n(?: [^\n]*\n)*', re.DOTALL | re.MULTILINE)
_CLASS_PATH = re.compile(r"^(?:deployments\.errors\.\w+: |(?:\w+\.)+(?=\w+(?::|$)))")
_SETTING = re.compile(r"[a-z]\w*(?:\.\w+)+(?=: )")


@dataclass(frozen=True)
class StageStatus:
    """The status of a deployment: whether it would answer a request now, and how many of its replicas run.

    `cause` says why a replica failed to start, and `lacks` what a replica waits for: a machine that has room for it.
    """

    ready: bool
    running: int
    cause: str | None = None
    lacks: str | None = None

    @property
    def setting(self) -> str | None:
        """The name of the setting that is the cause, such as "sam.model", where the cause names one."""
        named = _SETTING.match(self.cause or "")
        return named and named[0]


@dataclass(frozen=True)
class GraphStatus:
    """The status of each deployment of an application, and why Serve has given up the whole of it, if it has."""

    stages: dict[str, StageStatus]
    given_up: str | None = None


def read_graph(application: str) -> GraphStatus:
    """Return the status of `application`, without stages while Serve does not know it."""
    from ray import serve  # here: whoever runs the graph in one process has no Serve to ask

    overview = serve.status().applications.get(application)
    if overview is None:
        return GraphStatus({})
    stages = {name: stage_status(one) for name, one in overview.deployments.items()}
    return GraphStatus(stages, _short(overview.message) if overview.status == "DEPLOY_FAILED" else None)


def read(application: str) -> dict[str, StageStatus]:
    """Return the status of each deployment of `application`; nothing while Serve does not know it."""
    return read_graph(application).stages


def read_own() -> dict[str, StageStatus]:
    """Return the status of each deployment of the application that this replica belongs to."""
    from ray import serve

    return read(serve.get_replica_context().app_name)


def stage_status(overview: DeploymentStatusOverview) -> StageStatus:
    """Return what Serve's `overview` of a deployment says about it."""
    running = sum(overview.replica_states.get(state, 0) for state in SERVING)
    cause, lacks = cause_in(overview.message), lacks_in(overview.message)
    if overview.status == "DEPLOY_FAILED" and cause is None:
        cause = _short(overview.message)
    resting = overview.status in AT_REST and cause is None and lacks is None
    return StageStatus(ready=running > 0 or resting, running=running, cause=cause, lacks=lacks)


def cause_in(message: str) -> str | None:
    """Return in one line why a replica failed to start, or None if `message` of a deployment does not say it did."""
    failed = _FAILURE.search(message)
    return _last_exception(_COLOUR.sub("", failed[1])) if failed else None


def lacks_in(message: str) -> str | None:
    """Return what a replica waits for, or None if `message` of a deployment does not say that it waits."""
    lacking = _RESOURCES.search(message)
    return f"a replica needs {lacking[1]} and the cluster has {lacking[2]} free" if lacking else None


def _last_exception(text: str) -> str:
    """Return the exception that ends the traceback `text`, without its class path; of our own, the message alone."""
    return _CLASS_PATH.sub("", _short(_LAST_FRAME.sub("", text)))


def _short(text: str) -> str:
    return textwrap.shorten(text, MOST_CHARS, placeholder=" ...")
