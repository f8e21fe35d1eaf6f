"""A picture that comes again goes to the SAM that has encoded it, with the router that the shipped file names."""

import asyncio
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ray import cloudpickle

import graph
from deployments.config import GraphArgs
from deployments.messages import EditRequest, Span
from deployments.sam.server import SamServer

APP = "affine"
ROOT = Path(__file__).parent.parent.parent
PICTURES, TIMES = 4, 3


class NamedSam(SamServer):
    """Says in the trace which replica has encoded a picture, and takes its time about it."""

    async def encode(self, image):
        await asyncio.sleep(0.5)
        embedding = await super().encode(image)
        return replace(embedding, spans=(*embedding.spans, Span(f"sam at {os.getpid()}", time.time(), time.time())))


@pytest.fixture(scope="module")
def handle(ray_cluster):
    from ray import serve

    shipped = yaml.safe_load((ROOT / "serve_config.yaml").read_text())["applications"][0]["deployments"]
    (sam,) = (one for one in shipped if one["name"] == "sam")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "SamServer", NamedSam)
        routed = {"num_replicas": 3, "request_router_config": sam["request_router_config"]}
        patch.setitem(graph.DEFAULTS, "sam", {**graph.DEFAULTS["sam"], **routed})
        app = graph.build(GraphArgs(), {"max_backlog_s": None})
    serve.run(app, name=APP, route_prefix=None)
    yield serve.get_app_handle(APP)
    serve.delete(APP)


def test_each_picture_has_its_own_replica_and_calls_at_once_hang_nowhere(handle, scene):
    """All edits run at once: while SAM encodes, CLIP looks, and each request waits for its second call of SAM."""

    def edit(number):
        image = scene.image.copy()
        image[::4, ::4] = number
        request = EditRequest(image, "a lemon", target="the cactus", seed=1, num_inference_steps=2)
        return handle.edit.remote(request)

    pending = [(number, edit(number)) for _ in range(TIMES) for number in range(PICTURES)]
    seen = {number: set() for number in range(PICTURES)}
    for number, response in pending:
        trace = response.result(timeout_s=120).trace
        seen[number] |= {span.name for span in trace if span.name.startswith("sam at ")}
    assert [len(replicas) for replicas in seen.values()] == [1] * PICTURES
    assert len(set().union(*seen.values())) > 1  # and they are spread
