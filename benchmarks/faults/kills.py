"""The faults that end a process with SIGKILL, which no process can prepare for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from benchmarks.faults import processes
from benchmarks.faults.cluster import Site

GCS_AWAY_S = 10.0


@dataclass(frozen=True)
class Fault:
    """`strike` does it, to a service that is under load, and returns the ids of the processes that have to end by it.

    It raises where what should have happened has not. In a full run it is done `times` times.
    """

    name: str
    strike: Callable[[Site], Sequence[int]]
    times: int = 1


def kill_replica(deployment: str) -> Callable[[Site], Sequence[int]]:
    """Return the strike that kills a replica of the deployment."""

    def strike(site: Site) -> Sequence[int]:
        return _killed(processes.replicas(site.run, deployment)[:1])

    return strike


def kill_node(site: Site) -> Sequence[int]:
    """Kill the raylet of a worker, wait until the other one has taken its replicas over, and add a new worker."""
    children = site.kill_worker()
    site.settle()
    site.add_worker()
    return children


def kill_controller(site: Site) -> Sequence[int]:
    """Kill Serve's controller."""
    return _killed(processes.titled(site.run, processes.CONTROLLER))


def kill_proxy(site: Site) -> Sequence[int]:
    """Kill the proxy with the most connections. The others go on listening."""
    proxies = processes.titled(site.run, processes.PROXY)
    if len(proxies) < 2:
        raise RuntimeError(f"there are {len(proxies)} proxies, and two are needed")
    return _killed([max(proxies, key=lambda proxy: _connections(proxy.pid))])


def kill_gcs(site: Site) -> Sequence[int]:
    """Kill the cluster's head service, start it ten seconds later, and see that a replica is replaced afterwards."""
    site.kill_gcs()
    time.sleep(GCS_AWAY_S)
    site.start_gcs()
    site.settle()
    return kill_replica("clip")(site)


def _killed(victims: Sequence[processes.Process]) -> list[int]:
    if not victims:
        raise RuntimeError("there is nothing to kill")
    for victim in victims:
        processes.kill(victim.pid)
    return [victim.pid for victim in victims]


def _connections(pid: int) -> int:
    found = psutil.Process(pid).net_connections("tcp")
    return sum(connection.status == psutil.CONN_ESTABLISHED for connection in found)


KILLS = (
    Fault("a replica of clip is killed", kill_replica("clip"), 3),
    Fault("a replica of sam is killed", kill_replica("sam"), 3),
    Fault("a replica of inpaint is killed", kill_replica("inpaint"), 3),
    Fault("the replica of the ledger is killed", kill_replica("ledger"), 3),
    Fault("one of two replicas of the driver is killed", kill_replica("driver"), 3),
    Fault("a node is lost: its raylet is killed", kill_node),
    Fault("Serve's controller is killed", kill_controller, 2),
    Fault("a proxy is killed, others are left", kill_proxy),
    Fault("the cluster's head service (GCS) is away for ten seconds, then a replica is killed", kill_gcs),
)
