"""A cluster on one machine: a head node and two workers with a raylet each, and the service on it.

The cluster's own records are kept on disk (RocksDB), so that its head service can be killed and started again. Every
node has a proxy. All proxies listen on one port, over which the kernel spreads the connections as a load balancer
before several machines does.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.faults import processes
from benchmarks.faults.processes import wait_until

APPLICATION = "retouch"
REPLICA_ACTOR = f"SERVE_REPLICA::{APPLICATION}#"
PATIENCE_S = 240.0
CPUS = 8  # declared for each worker, however many cores there are: nothing of Ray's scheduling is under test
ORDERS = "RETOUCH_FAULTS_FOLDER"  # an environment variable: where the files lie that order a fault and report it
STORE_BYTES = 256 * 2**20


class Site:
    """The cluster, and the service at `url`. `run` marks all processes that belong to it."""

    def __init__(self, run: str, port: int) -> None:
        from ray.cluster_utils import Cluster

        self.run = run
        self.url = f"http://127.0.0.1:{port}"
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False},
        )
        self._workers = [self._add_worker() for _ in range(2)]

    def start_serve(self) -> None:
        """Connect this process, and start Serve with a proxy on each node."""
        import ray
        from ray import serve

        ray.init(address=self._cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        port = int(self.url.rpartition(":")[2])
        serve.start(
            http_options={"host": "127.0.0.1", "port": port},
            proxy_location="EveryNode",
            logging_config={"log_level": "ERROR"},
        )

    def deploy(
        self, args: Mapping[str, Any], builder: str, deployments: Sequence[Mapping[str, Any]], wait: bool = True
    ) -> None:
        """Deploy what `builder` ("module:function") makes of `args`, in place of what runs now."""
        from ray.serve.context import _get_global_client
        from ray.serve.schema import ServeDeploySchema

        application = {
            "name": APPLICATION,
            "route_prefix": "/",
            "import_path": builder,
            "args": args,
            "deployments": list(deployments),
        }
        config = ServeDeploySchema.model_validate({"applications": [application]})
        _get_global_client().deploy_apps(config, _blocking=False)
        if wait:
            self.settle()

    def status(self) -> Any:
        """Return what Serve says of the application; None where it does not know it."""
        from ray import serve

        return serve.status().applications.get(APPLICATION)

    def settle(self) -> None:
        """Wait until each deployment has all its replicas, each replica a process, and each node with one a proxy."""
        wait_until(self._settled, "the service is complete again", PATIENCE_S)

    def metrics_ports(self) -> list[int]:
        """Return the ports on which the living nodes offer their metrics."""
        import ray

        return [int(node["MetricsExportPort"]) for node in ray.nodes() if node["Alive"]]

    def replica_ids(self) -> set[str]:
        """Return the ids of the living replicas."""
        return {name.rpartition("#")[2] for name in _replica_names()}

    def kill_worker(self) -> list[int]:
        """Kill the raylet of a worker that has replicas; return the ids of its children, replicas among them."""
        parents = [process.parent for process in processes.replicas(self.run)]
        node = max(self._workers, key=lambda node: parents.count(raylet_of(node)))
        children = [process.pid for process in processes.running(self.run) if process.parent == raylet_of(node)]
        processes.kill(raylet_of(node))
        self._workers.remove(node)
        self._cluster.remove_node(node)
        return children

    def add_worker(self) -> None:
        """Add a node for the one that was lost."""
        self._workers.append(self._add_worker())

    def kill_gcs(self) -> None:
        """Kill the head service that knows the nodes, the actors and Serve's checkpoints."""
        self._cluster.head_node.kill_gcs_server()

    def start_gcs(self) -> None:
        """Start it again, on the records that it has left on disk."""
        self._cluster.head_node.start_gcs_server()

    def close(self) -> None:
        """End everything, and wait until no process is left."""
        import ray
        from ray import serve

        serve.shutdown()
        ray.shutdown()
        self._cluster.shutdown()
        wait_until(lambda: not processes.running(self.run), "all processes of the cluster have ended", 60)

    def _add_worker(self) -> Any:
        return self._cluster.add_node(num_cpus=CPUS, object_store_memory=STORE_BYTES, include_dashboard=False)

    def _settled(self) -> bool:
        from ray import serve

        try:
            status = serve.status()
            names = _replica_names()
        except Exception:  # whoever is to be asked is being started again
            return False
        application = status.applications.get(APPLICATION)
        if application is None or application.status != "RUNNING":
            return False
        for name, deployment in application.deployments.items():
            actors = sum(each.startswith(f"{REPLICA_ACTOR}{name}#") for each in names)
            # What Serve says, what Ray says and what there is: the first two learn of a death with delay.
            counts = {actors, len(processes.replicas(self.run, name)), sum(deployment.replica_states.values())}
            if deployment.status != "HEALTHY" or counts != {deployment.replica_states.get("RUNNING", 0)} - {0}:
                return False
        proxies = list(status.proxies.values())
        alive = len(processes.titled(self.run, processes.PROXY))
        return alive == len(proxies) and all(proxy == "HEALTHY" for proxy in proxies)


def _replica_names() -> list[str]:
    import ray

    named = [entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True)]
    return [name for name in named if name.startswith(REPLICA_ACTOR)]


def raylet_of(node: Any) -> int:
    """Return the process id of the node's raylet."""
    from ray._private import ray_constants

    pid: int = node.all_processes[ray_constants.PROCESS_TYPE_RAYLET][0].process.pid
    return pid


@contextmanager
def site() -> Iterator[Site]:
    """Start a cluster of its own, apart from any other Ray of this machine, and end it after the block."""
    run = uuid.uuid4().hex
    # Ray's sockets lie in this folder, and the path of a socket must be short.
    folder = tempfile.mkdtemp(prefix="rf-", dir="/tmp")
    # Otherwise another program's `ray.init()` would find this cluster and use it.
    os.environ |= {"RAY_TMPDIR": folder, processes.MARK: run}
    places = {"RAY_gcs_storage_path": os.path.join(folder, "gcs"), ORDERS: os.path.join(folder, "orders")}
    os.environ |= {"RAY_gcs_storage": "rocksdb", **places}
    for place in places.values():
        os.makedirs(place)
    made = Site(run, _free_port())
    try:
        made.start_serve()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
