"""The production config file, deployed as it is but for its models, on declared GPUs."""

import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
CONFIG = ROOT / "serve_config.yaml"
FRACTIONS = {"clip": 0.1, "sam": 0.2, "inpaint": 0.7}
APP = "production"


@pytest.fixture(scope="module")
def config():
    """serve_config.yaml with pocket models, beside the other application of the suite."""
    config = yaml.safe_load(CONFIG.read_text())
    application = config["applications"][0]
    application["args"] = {stage: {"model": "pocket"} for stage in application["args"]}
    application.update(name=APP, route_prefix="/production")
    del config["http_options"], config["proxy_location"]  # the suite's Serve runs already
    return config


def deploy(config):
    """Hands the config to Serve, as `serve deploy` does, and waits until it runs as configured."""
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config), _blocking=False)
    until = time.monotonic() + 240
    while time.monotonic() < until:
        time.sleep(1)
        application = serve.status().applications.get(APP)
        assert not application or application.status != "DEPLOY_FAILED", application
        healthy = application and all(d.status == "HEALTHY" for d in application.deployments.values())
        if healthy and application.status == "RUNNING":
            return
    raise TimeoutError(f"not running after four minutes: {serve.status().applications.get(APP)}")


def replica_ids():
    import ray

    return sorted(
        entry["name"]
        for entry in ray.util.list_named_actors(all_namespaces=True)
        if entry["name"].startswith(f"SERVE_REPLICA::{APP}#")
    )


def test_every_replica_is_scheduled_with_its_fraction_and_settings_change_live(ray_cluster, config, scene):
    import ray
    from ray import serve

    from deployments.messages import EditRequest

    free = ray.available_resources().get("GPU", 0)
    deploy(config)
    status = serve.status().applications[APP]
    assert status.status == "RUNNING"
    assert {name: d.status for name, d in status.deployments.items()} == dict.fromkeys(
        [*FRACTIONS, "driver", "ledger"], "HEALTHY"
    )
    assert free - ray.available_resources().get("GPU", 0) == pytest.approx(sum(FRACTIONS.values()))
    handle = serve.get_app_handle(APP)
    request = EditRequest(scene.image, "a lemon", target="the cactus", seed=1)
    before = replica_ids()
    assert len(before) == 6  # two drivers and one of each model, and the ledger

    settings = {d["name"]: d for d in config["applications"][0]["deployments"]}
    settings["driver"]["user_config"] = {"num_inference_steps": 4}
    settings["clip"]["user_config"]["max_batch_size"] = 2
    deploy(config)
    result = handle.edit.remote(request).result(timeout_s=120)
    assert result.num_inference_steps == 4
    assert result.guidance_scale == 1.5  # the pocket painter's own: a partial user_config takes nothing else away
    assert replica_ids() == before
    serve.delete(APP)


def test_the_shipped_file_is_in_order(capsys):
    from deployments.check_config.__main__ import main

    assert main([str(CONFIG)]) == 0


def test_gpu_fractions_tile_one_gpu():
    deployments = yaml.safe_load(CONFIG.read_text())["applications"][0]["deployments"]
    shares = {d["name"]: d["ray_actor_options"].get("num_gpus", 0) for d in deployments}
    assert shares == {**FRACTIONS, "driver": 0, "ledger": 0}
    assert sum(shares.values()) == pytest.approx(1)
