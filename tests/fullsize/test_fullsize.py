"""The loaders and the graph on models of the published sizes and formats, with random weights.

No published weights are needed: what is proved is that the files people have are read, that the shapes
fit, and that one small edit passes through the graph as configured by `serve_config.yaml`.
"""

import time

import numpy as np
import pytest

from benchmarks import full_size

pytestmark = pytest.mark.fullsize

APP = "fullsize"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """serve_config.yaml, its three models replaced by local ones."""
    config = full_size.write(tmp_path_factory.mktemp("weights"))
    config["applications"][0].update(name=APP, route_prefix="/fullsize")
    del config["http_options"], config["proxy_location"]
    return config


def status(app):
    from ray import serve

    application = serve.status().applications.get(app)
    return application and application.status


def test_one_small_edit_through_the_graph(ray_cluster, config):
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    from deployments.messages import EditRequest

    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config), _blocking=False)
    until = time.monotonic() + 600
    while time.monotonic() < until and status(APP) != "RUNNING":
        time.sleep(2)
    assert status(APP) == "RUNNING"
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    request = EditRequest(image, "a lemon", target="the apple", seed=1, num_inference_steps=2)
    result = serve.get_app_handle(APP).edit.remote(request).result(timeout_s=1200)
    picture = result.edits[0].image
    assert picture.shape == image.shape
    assert result.changed_outside_px == 0
    assert (picture[result.mask] != image[result.mask]).any()
    print({stage: round(seconds, 2) for stage, seconds in result.timings_s.items()})
    serve.delete(APP)
