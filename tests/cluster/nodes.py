"""A Ray cluster as an operator starts it: `ray start` on each machine, `serve deploy`, and the dashboard's REST API."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.machines import Machine, machines, short_folder

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "serve_config.yaml"
BIN = Path(sys.executable).parent
APP = "retouch"
STARTS_S = 240.0  # what starts here starts in seconds on a quiet machine
CODE = ("deployments", "pocket", "graph.py")
PACE = {
    # At the pace of a test: each handle reports its requests twice a second, not every ten seconds.
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
    "RAY_worker_niceness": "0",
    "OMP_NUM_THREADS": "1",
}


def pocket_config() -> dict[str, Any]:
    """Return serve_config.yaml with the pocket models; nothing but its `args` is changed."""
    config: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    application = config["applications"][0]
    application["args"] = {stage: {"model": "pocket"} for stage in application["args"]}
    return config


def deployment(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the section of a deployment in a config, to be changed."""
    (found,) = [each for each in config["applications"][0]["deployments"] if each["name"] == name]
    return found


def copy_code(to: Path) -> Path:
    """Copy the code and the pocket models to a folder, as an image of the service holds them, and return it."""
    to.mkdir(parents=True)
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, to / name)
    return to


class Cluster:
    """The first machine is Ray's head. Each has a folder of code on its path, as from an image; None has none."""

    def __init__(self, folder: Path, at: Sequence[Machine], env: dict[str, str]) -> None:
        self.folder = folder
        self.machines = at
        self.env = env
        self.dashboard = f"http://{at[0].address}:8265"
        self.urls = [f"http://{machine.address}:8000" for machine in at]
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._api = httpx.Client(
            base_url=self.dashboard, timeout=60, headers={"Authorization": f"Bearer {env['RAY_AUTH_TOKEN']}"}
        )

    def start_node(self, number: int, gpus: int, code: Path | None, **env: str) -> None:
        """Start Ray on a machine; without `code` its processes find the project's code nowhere."""
        head = number == 0
        machine = self.machines[number]
        role = ["--head", "--dashboard-host=0.0.0.0"] if head else [f"--address={self.machines[0].address}:6379"]
        options = ["--num-cpus=8", f"--num-gpus={gpus}", "--object-store-memory=200000000", "--block"]
        where = [f"--node-ip-address={machine.address}", f"--temp-dir={self.folder / str(number)}"]
        path = {} if code is None else {"PYTHONPATH": str(code)}
        with (self.folder / f"node{number}.log").open("ab") as log:
            command = [BIN / "ray", "start", *role, *where, *options]
            self._nodes.append(machine.start(command, self.env | path | env, log))
        wait_for(lambda: self._nodes_alive() > number, f"node {number} has not started")

    def deploy(self, config: dict[str, Any], running: bool = True) -> None:
        """Hand a config to `serve deploy`, and wait until it runs."""
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        self.machines[0].output([BIN / "serve", "deploy", "-a", self.dashboard, path], self.env, STARTS_S)
        if running:
            wait_for(self.runs, "the application does not run", self.state)

    def state(self) -> dict[str, Any]:
        """Return what Serve says of the application."""
        applications: dict[str, Any] = self._details()["applications"]
        return applications.get(APP, {})

    def runs(self) -> bool:
        """Whether everything that was deployed last runs, and nothing that came before does."""
        state = self.state()
        each = state.get("deployments", {}).values()
        replicas = [one["state"] for deployment in each for one in deployment["replicas"]]
        return (
            state.get("status") == "RUNNING"
            and all(one["status"] == "HEALTHY" for one in each)
            and set(replicas) <= {"RUNNING"}
        )

    def replicas(self, name: str, *states: str) -> list[str]:
        """Return the ids of a deployment's replicas that are in one of the states, RUNNING where none is given."""
        wanted = states or ("RUNNING",)
        found = self.state()["deployments"][name]["replicas"]
        return sorted(one["replica_id"] for one in found if one["state"] in wanted)

    def nodes_of(self, name: str) -> set[str]:
        """Return the addresses of the machines on which a deployment runs."""
        return {one["node_ip"] for one in self.state()["deployments"][name]["replicas"]}

    def proxies(self) -> dict[str, str]:
        """Address of each machine -> status of its proxy."""
        return {one["node_ip"]: one["status"] for one in self._details()["proxies"].values()}

    def close(self) -> None:
        """End the nodes, the head last, and what they have started with them."""
        self._api.close()
        for node in reversed(self._nodes):
            node.terminate()
            node.wait(timeout=60)

    def _nodes_alive(self) -> int:
        try:
            answer = self._api.get("/nodes?view=summary")
        except httpx.TransportError:
            return 0
        if answer.status_code != 200:
            return 0
        return sum(one["raylet"].get("state") == "ALIVE" for one in answer.json()["data"]["summary"])

    def _details(self) -> dict[str, Any]:
        details: dict[str, Any] = self._api.get("/api/serve/applications/").json()
        return details


def wait_for(
    condition: Callable[[], object], why: str, shown: Callable[[], object] = str, timeout_s: float = STARTS_S
) -> None:
    """Wait until the condition holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"{why}: {shown()}"
        time.sleep(0.3)


@contextmanager
def cluster(hidden: Sequence[tuple[Path, ...]] = ((), ())) -> Iterator[Cluster]:
    """Yield a cluster on which no node runs yet, with a machine for each entry of `hidden`."""
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        at = stack.enter_context(machines(hidden))
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        env = {**kept, **PACE, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        env |= {"RAY_USAGE_STATS_ENABLED": "0", "RETOUCH_CACHE_DIR": os.environ["RETOUCH_CACHE_DIR"]}
        env["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] = "deployments.http.proxy:middleware"
        made = Cluster(folder, at, env)
        stack.callback(made.close)
        yield made
