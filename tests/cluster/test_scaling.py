"""Each model of the shipped file grows and shrinks by itself, and wakes from zero, whichever policy it scales by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.cluster.nodes import Cluster, cluster, copy_code, deployment, pocket_config, wait_for
from tests.cluster.traffic import Callers, Pictures

MODELS = ("clip", "sam", "inpaint")
ROUTES = {"clip": "/v1/locate", "sam": "/v1/locate", "inpaint": "/v1/images/edits"}
CALLERS = {"clip": 80, "sam": 48, "inpaint": 12}
SOON = {"upscale_delay_s": 1.0, "downscale_delay_s": 2.0}


def config(stage: str | None = None, **scaling: Any) -> dict[str, Any]:
    """Return the shipped file with the pocket models and shorter delays, and with more for one of the models.

    The driver lets in what two cores take a minute for: six seconds of it are sixteen searches, with which one replica
    of CLIP is content.
    """
    changed = pocket_config()
    deployment(changed, "driver")["user_config"]["max_backlog_s"] = 60
    for name in MODELS:
        deployment(changed, name)["autoscaling_config"] |= SOON | (scaling if name == stage else {})
    return changed


@pytest.fixture(scope="module")
def node() -> Iterator[Cluster]:
    """One node with three declared GPUs."""
    with cluster(((),)) as node:
        node.start_node(0, gpus=3, code=copy_code(node.folder / "code"))
        node.deploy(config())
        yield node


@pytest.fixture(scope="module")
def pictures(picture: bytes) -> Pictures:
    return Pictures(picture)


@pytest.mark.parametrize("stage", MODELS)
def test_a_model_grows_under_load_and_shrinks_after_it(
    node: Cluster, pictures: Pictures, stage: str, record_property: Any
) -> None:
    wait_for(lambda: len(node.replicas(stage)) == 1, "it is not one at first", node.state)
    began = time.monotonic()
    with Callers(node.urls[0] + ROUTES[stage], getattr(pictures, f"for_{stage}"), CALLERS[stage]) as callers:
        wait_for(lambda: len(node.replicas(stage)) > 1, f"{stage} has not grown", lambda: callers.statuses)
    grown, most = time.monotonic() - began, len(node.replicas(stage))
    wait_for(lambda: len(node.replicas(stage, "RUNNING", "STARTING", "STOPPING")) == 1, f"{stage} has not shrunk")
    record_property("grown, replicas, shrunk", (round(grown), most, round(time.monotonic() - began - grown)))
    assert callers.failures == []
    assert callers.statuses[200] > 0


@pytest.mark.parametrize("stage", MODELS)
def test_a_model_sleeps_and_wakes_for_a_request(
    node: Cluster, pictures: Pictures, stage: str, record_property: Any
) -> None:
    node.deploy(config(stage, min_replicas=0, downscale_to_zero_delay_s=2.0), running=False)
    wait_for(lambda: node.state()["deployments"][stage]["replicas"] == [], f"{stage} does not sleep", node.state)
    assert httpx.get(node.urls[0] + "/readyz", timeout=60).status_code == 200
    began = time.monotonic()
    answer = httpx.post(node.urls[0] + ROUTES[stage], **getattr(pictures, f"for_{stage}")(90_001), timeout=240)
    cold = time.monotonic() - began
    assert answer.status_code == 200, answer.text
    began = time.monotonic()
    answer = httpx.post(node.urls[0] + ROUTES[stage], **getattr(pictures, f"for_{stage}")(90_002), timeout=240)
    assert answer.status_code == 200, answer.text
    record_property(
        "seconds of the first answer, and of the next", (round(cold, 1), round(time.monotonic() - began, 2))
    )
