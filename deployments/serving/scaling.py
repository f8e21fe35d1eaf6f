"""How many replicas the painter needs: by the work that waits, and not by the number of requests.

    autoscaling_config:
      policy: {policy_function: "deployments.serving.scaling:ScaleByWork", policy_kwargs: {target_s: 2.0}}

One request for eight pictures of fifty steps is as much work as eighty for one picture of five steps. So each replica
reports the row-steps it has left (one row of the UNet for one step) and how many it does a second. Serve's own policy
counts requests, and around this one it keeps the bounds, the delays and the start from zero replicas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

ROW_STEPS, ROW_STEPS_PER_S = "row_steps", "row_steps_per_s"


class Context(Protocol):
    """What Serve tells a policy, as far as it is used here (`ray.serve.config.AutoscalingContext`)."""

    @property
    def target_num_replicas(self) -> int: ...

    @property
    def total_num_requests(self) -> float: ...

    @property
    def total_queued_requests(self) -> float | None: ...

    @property
    def aggregated_metrics(self) -> Mapping[str, Mapping[Any, float]] | None: ...


class ScaleByWork:
    """A policy of Serve: as many replicas as have done all the work there is in `target_s` seconds."""

    def __init__(self, target_s: float = 2.0) -> None:
        if not target_s > 0:
            raise ValueError(f"target_s must be more than 0 seconds, not {target_s}")
        self._target_s = target_s

    def __call__(self, context: Context) -> tuple[int, dict[str, Any]]:
        """Return how many replicas there should be. Where nothing is reported yet, it stays as it is."""
        metrics = context.aggregated_metrics or {}
        speeds = [speed for speed in metrics.get(ROW_STEPS_PER_S, {}).values() if speed > 0]
        if not speeds:
            busy = context.total_num_requests > 0
            return (max(1, context.target_num_replicas) if busy else 0), {}
        left = sum(metrics.get(ROW_STEPS, {}).values()) * _with_queued(context)
        return math.ceil(left / (self._target_s * sum(speeds) / len(speeds))), {}


def _with_queued(context: Context) -> float:
    """Return by how much the work grows that no replica has yet, if those requests are like the others."""
    queued, total = context.total_queued_requests or 0.0, context.total_num_requests
    return total / (total - queued) if total > queued else 1.0
