"""What the replicas still hold, as they report it to Prometheus."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

import httpx

# Pictures that the painter holds, requests in a replica, requests that wait for a replica.
HELD = ("ray_retouch_pictures", "ray_serve_replica_processing_queries", "ray_serve_deployment_queued_queries")
_LINE = re.compile(r"^(?P<name>[a-z_]+)\{(?P<tags>.*)\} (?P<value>\S+)$", re.MULTILINE)
_TAG = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def held(ports: Iterable[int], living: Set[str]) -> dict[str, float]:
    """Return the gauges that are not zero, by name and deployment, from the nodes' metrics ports on this machine.

    `living` are the ids of the replicas that are alive: for a while the last figures of a dead one are still reported.
    """
    pages = [httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text for port in ports]
    return not_zero("\n".join(pages), living)


def not_zero(page: str, living: Set[str]) -> dict[str, float]:
    """Return the gauges of a page in Prometheus' format that are not zero, as `held` does."""
    found: dict[str, float] = {}
    for line in _LINE.finditer(page):
        tags, value = dict(_TAG.findall(line["tags"])), float(line["value"])
        if line["name"] in HELD and value and tags.get("replica", "") in {*living, ""}:
            name = f"{line['name'].removeprefix('ray_')} of {tags.get('deployment', '?')}"
            found[name] = found.get(name, 0.0) + value
    return found
