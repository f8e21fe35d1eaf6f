"""Updates of the running application under steady load, and the way back from one that fails: no request is lost."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from tests.cluster.nodes import ROOT, Cluster, cluster, copy_code, deployment, pocket_config, wait_for
from tests.cluster.traffic import Callers, Form

MODELS = ("clip", "sam", "inpaint")
STAGES = (*MODELS, "driver", "ledger")
CALLERS = 2
SEEDS = 6
UNET = Path("unet/diffusion_pytorch_model.safetensors")
NEAR = 2  # of 255: row buckets and neighbours may round differently
Painted = list[np.ndarray]  # the picture of each seed, HxWx3 uint8


def config() -> dict[str, Any]:
    """Return the shipped file with the pocket models, as the manual wants it for two GPUs."""
    changed = pocket_config()
    for name in MODELS:
        section = deployment(changed, name)
        section["max_surge_percent"] = 100
        section["autoscaling_config"]["max_replicas"] = 1  # the second GPU is for the surge
    # "auto" would spend half a minute of all cores on making an OpenVINO model of each new version's weights.
    changed["applications"][0]["args"]["inpaint"]["execution"] = "traced"
    return changed


def with_painter(weights: Path) -> dict[str, Any]:
    """Return the config with other weights for inpaint."""
    changed = config()
    changed["applications"][0]["args"]["inpaint"]["model"] = str(weights)
    return changed


@pytest.fixture(scope="module")
def node() -> Iterator[Cluster]:
    """One node with two declared GPUs, on which the pocket models run."""
    with cluster(((),)) as node:
        node.start_node(0, gpus=2, code=copy_code(node.folder / "code"))
        node.deploy(config())
        yield node


@pytest.fixture
def running(node: Cluster) -> Cluster:
    """The node with the file that it was started with, whatever the test before has left."""
    node.deploy(config())
    return node


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A copy of the pocket painter, to be changed."""
    copy = tmp_path / "inpaint"
    shutil.copytree(ROOT / "pocket/weights/inpaint", copy)
    return copy


def edit(picture: bytes, number: int) -> Form:
    """Return a small edit by words. Its number says the seed, and whether it goes by the ledger."""
    fields = {"prompt": "a lemon", "target": "the cactus", "seed": str(number % SEEDS), "num_inference_steps": "6"}
    headers = {"Idempotency-Key": f"edit-{time.time_ns()}"} if number % 2 else {}
    return {"data": fields, "files": {"image": picture}, "headers": headers}


def painted(answer: httpx.Response) -> np.ndarray:
    """Return the picture of an answer, HxWx3 uint8."""
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(base64.b64decode(answer.json()["data"][0]["b64_json"]))) as image:
        return np.asarray(image)


def paint_each(node: Cluster, picture: bytes) -> Painted:
    """Return what the running version paints for each seed, without load."""
    url = node.urls[0] + "/v1/images/edits"
    return [painted(httpx.post(url, **edit(picture, seed), timeout=240)) for seed in range(SEEDS)]


def near(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and int(np.abs(a.astype(int) - b.astype(int)).max()) <= NEAR


def load(node: Cluster, picture: bytes) -> Callers:
    """Return callers that edit without a pause and without retries."""
    return Callers(node.urls[0] + "/v1/images/edits", partial(edit, picture), CALLERS)


def answer_a_while(callers: Callers, answers: int = 2 * SEEDS) -> None:
    """Wait until so many more requests have been answered."""
    enough = len(callers.answers) + answers
    wait_for(lambda: len(callers.answers) >= enough, "the callers are not answered", lambda: callers.failures)


def ids(node: Cluster) -> dict[str, list[str]]:
    return {name: node.replicas(name) for name in STAGES}


def nothing_is_lost(callers: Callers, *versions: Painted) -> None:
    """Every admitted request was answered with the picture of one of the versions."""
    assert callers.failures == []
    for number, answer in callers.answers.items():
        if answer.status_code == 200:
            assert any(near(painted(answer), version[number % SEEDS]) for version in versions), number


def figures(callers: Callers, took_s: float, during: int) -> dict[str, Any]:
    """Return what the manual says of an update."""
    slowest = max(answer.elapsed.total_seconds() for answer in callers.answers.values())
    return {"seconds": round(took_s, 1), "answers": during, "slowest answer": round(slowest, 1)}


def update(node: Cluster, callers: Callers, changed: dict[str, Any]) -> tuple[float, int]:
    """Deploy under load; return the seconds it took, and the requests that were answered meanwhile."""
    answer_a_while(callers)
    began, before = time.monotonic(), len(callers.answers)
    node.deploy(changed)
    took = time.monotonic() - began, len(callers.answers) - before
    answer_a_while(callers)
    return took


def update_that_fails(node: Cluster, callers: Callers, changed: dict[str, Any]) -> tuple[float, int]:
    """Deploy what cannot run, under load; return the seconds until Serve said so, and the answers meanwhile."""
    answer_a_while(callers)
    began, before = time.monotonic(), len(callers.answers)
    node.deploy(changed, running=False)
    wait_for(lambda: node.state()["status"] == "DEPLOY_FAILED", "the update has not stopped", node.state)
    took = time.monotonic() - began, len(callers.answers) - before
    answer_a_while(callers)
    return took


def test_settings_change_in_the_same_replicas_and_nothing_fails(
    running: Cluster, picture: bytes, record_property: Any
) -> None:
    replicas, before = ids(running), paint_each(running, picture)
    changed = config()
    deployment(changed, "clip")["user_config"]["max_batch_size"] = 2
    deployment(changed, "driver")["user_config"]["num_inference_steps"] = 4
    deployment(changed, "inpaint")["user_config"]["max_rows"] = 4
    with load(running, picture) as callers:
        took = update(running, callers, changed)
    record_property("settings", figures(callers, *took))
    nothing_is_lost(callers, before)
    assert ids(running) == replicas
    form = edit(picture, 1)
    del form["data"]["num_inference_steps"]
    answer = httpx.post(running.urls[0] + "/v1/images/edits", **form, timeout=240)
    assert answer.json()["num_inference_steps"] == 4, answer.text


def test_weights_that_are_cut_short_are_refused_before_anything_stops(
    running: Cluster, picture: bytes, weights: Path, record_property: Any
) -> None:
    replicas, before = ids(running), paint_each(running, picture)
    whole = (weights / UNET).read_bytes()
    (weights / UNET).write_bytes(whole[: len(whole) // 2])
    with load(running, picture) as callers:
        refused = update_that_fails(running, callers, with_painter(weights))
        assert f"{UNET} in '{weights}' cannot be used: it is cut short" in running.state()["message"]
        back = update(running, callers, config())  # until then Serve lists no deployments, though they run
    record_property("refused", figures(callers, *refused))
    record_property("taken back", figures(callers, *back))
    nothing_is_lost(callers, before)
    assert ids(running) == replicas


def test_weights_that_do_not_load_stop_the_update_and_the_old_file_brings_it_back(
    running: Cluster, picture: bytes, weights: Path, record_property: Any
) -> None:
    """That a tensor is missing, only the replica that loads the weights finds out."""
    before, (painter,) = paint_each(running, picture), running.replicas("inpaint")
    tensors = load_file(weights / UNET)
    del tensors["conv_norm_out.weight"]
    save_file(tensors, weights / UNET)
    with load(running, picture) as callers:
        failed = update_that_fails(running, callers, with_painter(weights))
        state = running.state()
        assert state["message"] == "Failed to update the deployments ['inpaint']."
        assert "conv_norm_out.weight" in state["deployments"]["inpaint"]["message"]
        assert running.replicas("inpaint") == [painter]
        assert httpx.get(running.urls[0] + "/readyz", timeout=60).status_code == 200
        back = update(running, callers, config())
    record_property("stopped", figures(callers, *failed))
    record_property("back", figures(callers, *back))
    nothing_is_lost(callers, before)
    assert running.replicas("inpaint") == [painter]


def test_new_code_takes_over_and_nothing_is_lost(
    running: Cluster, picture: bytes, tmp_path: Path, record_property: Any
) -> None:
    before = paint_each(running, picture)
    code = copy_code(tmp_path / "code")
    answers = code / "deployments/http/answers.py"
    assert answers.read_text().count("created=int(time.time())") == 1
    answers.write_text(answers.read_text().replace("created=int(time.time())", "created=2"))
    changed = config()
    changed["applications"][0]["runtime_env"] = {"working_dir": f"local://{code}"}
    with load(running, picture) as callers:
        took = update(running, callers, changed)
    record_property("code", figures(callers, *took))
    nothing_is_lost(callers, before)
    assert httpx.post(running.urls[0] + "/v1/images/edits", **edit(picture, 1), timeout=240).json()["created"] == 2


def test_new_weights_take_over_and_nothing_is_lost(
    running: Cluster, picture: bytes, weights: Path, record_property: Any
) -> None:
    replicas, before = ids(running), paint_each(running, picture)
    save_file({name: 0.9 * values for name, values in load_file(weights / UNET).items()}, weights / UNET)
    with load(running, picture) as callers:
        took = update(running, callers, with_painter(weights))
    record_property("weights", figures(callers, *took))
    after = paint_each(running, picture)
    assert not any(near(*pair) for pair in zip(before, after, strict=True))
    nothing_is_lost(callers, before, after)
    assert {name for name, left in ids(running).items() if not set(left) & set(replicas[name])} == set(STAGES)
