"""What is left when the last request has ended: calls that replicas still work on, pictures, claims, objects."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import httpx
import ray
from ray import serve
from ray._private.internal_api import node_stats

MB = 2**20
PATIENCE_S = 120.0  # work whose client has left ends between two steps, and figures come with the next report
PAUSE_S = 1.0
PICTURES = re.compile(r"^ray_retouch_pictures\{(?P<tags>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Stillness:
    """Calls under way in all replicas, pictures in the painter, claims in the ledger, MB in the object store."""

    calls: int
    pictures: int
    claims: int
    objects_mb: float

    @property
    def still(self) -> bool:
        return not (self.calls or self.pictures or self.claims)


def settled(app: str) -> Stillness:
    """Return what is left when nothing is under way any more, or what still is after `PATIENCE_S` seconds."""
    until = time.monotonic() + PATIENCE_S
    while not (now := _left(app)).still and time.monotonic() < until:
        time.sleep(PAUSE_S)
    return now


def _left(app: str) -> Stillness:
    claims = serve.get_deployment_handle("ledger", app).running.remote().result(timeout_s=PATIENCE_S)
    return Stillness(_calls(app), _pictures(app), claims, _objects_mb())


def _calls(app: str) -> int:
    """Return how many calls the replicas of the application have under way, as Serve itself counts them."""
    named = [entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True)]
    replicas = [ray.get_actor(name, "serve") for name in named if name.startswith(f"SERVE_REPLICA::{app}#")]
    return sum(ray.get([replica.get_num_ongoing_requests.remote() for replica in replicas], timeout=PATIENCE_S))


def _pictures(app: str) -> int:
    """Return how many pictures the painter has accepted and not finished, as Prometheus gets to see it."""
    (node,) = ray.nodes()
    text = httpx.get(f"http://127.0.0.1:{node['MetricsExportPort']}/metrics", timeout=PATIENCE_S).text
    found = [float(each["value"]) for each in PICTURES.finditer(text) if f'application="{app}"' in each["tags"]]
    if not found:
        raise RuntimeError("The service does not report how many pictures it has.")
    return int(sum(found))


def _objects_mb() -> float:
    (node,) = ray.nodes()
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
    return float(stats.store_stats.object_store_bytes_used) / MB
