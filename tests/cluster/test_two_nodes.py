"""The shipped file on several nodes: every node answers, from code that is not this checkout's."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.cluster.code import everywhere
from tests.cluster.nodes import BIN, ROOT, Cluster, cluster, copy_code, deployment, pocket_config, wait_for
from tests.docs.examples import of_page

FIELDS = {"prompt": "a lemon", "target": "the cactus", "seed": "7", "num_inference_steps": "6"}
# Ray finds the node that a program is on by the processes of its machine, and all nodes of this test share one.
ON_NODE = "import ray; ray.init('auto', _node_ip_address='{address}', log_to_driver=False)\n"


@pytest.fixture(scope="module")
def two() -> Iterator[Cluster]:
    """Two nodes with a copy of the code each; the second sees neither this checkout nor what is installed of it."""
    missing = everywhere()
    with cluster(((), missing, missing)) as nodes:
        nodes.start_node(0, gpus=1, code=copy_code(nodes.folder / "first"))
        nodes.start_node(1, gpus=1, code=copy_code(nodes.folder / "second"))
        nodes.deploy(pocket_config())
        wait_for(lambda: list(nodes.proxies().values()) == ["HEALTHY"] * 2, "no proxy on each node", nodes.proxies)
        yield nodes


def edited(url: str, picture: bytes, **headers: str) -> np.ndarray:
    """Edit at a node's own proxy; return the pixels, HxWx3 uint8."""
    answer = httpx.post(f"{url}/v1/images/edits", data=FIELDS, files={"image": picture}, headers=headers, timeout=120)
    assert answer.status_code == 200, answer.text
    return pixels(base64.b64decode(answer.json()["data"][0]["b64_json"]))


def pixels(data: bytes | Path) -> np.ndarray:
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        return np.asarray(image)


def test_the_graph_lies_on_both_nodes(two: Cluster) -> None:
    addresses = {machine.address for machine in two.machines[:2]}
    assert two.nodes_of("driver") == addresses
    assert set().union(*(two.nodes_of(stage) for stage in ("clip", "sam", "inpaint"))) == addresses


def test_each_node_edits_at_its_own_proxy_and_paints_the_same_picture(two: Cluster, picture: bytes) -> None:
    first, second = (edited(url, picture) for url in two.urls[:2])
    assert (first == second).all()
    assert (first != pixels(picture)).any()


@pytest.mark.parametrize("number", [0, 1])
def test_no_client_overrides_the_time_limit_at_any_node(two: Cluster, picture: bytes, number: int) -> None:
    edited(two.urls[number], picture, **{"x-request-timeout-seconds": "0.001"})


@pytest.mark.parametrize("number", [0, 1])
def test_the_program_of_the_manual_edits_through_a_handle_on_each_node(
    two: Cluster, tmp_path: Path, picture: bytes, number: int
) -> None:
    (program,) = [each.text for each in of_page("docs/operate.md") if "get_app_handle" in each.text]
    (tmp_path / "photo.png").write_bytes(picture)
    machine = two.machines[number]
    at = ON_NODE.format(address=machine.address) + f"import os; os.chdir({str(tmp_path)!r})\n"
    env = two.env | {"PYTHONPATH": str(two.folder / ("first", "second")[number])}
    machine.output([BIN / "python", "-c", at + program], env, timeout_s=240)
    assert (pixels(tmp_path / "edited.png") != pixels(picture)).any()


def test_a_node_without_the_code_gets_it_for_replicas_by_working_dir_but_serves_no_http(
    two: Cluster, picture: bytes
) -> None:
    """Its proxy needs the code itself, and without it is closed, not open without the guard."""
    two.start_node(2, gpus=1, code=None)
    bare = two.machines[2].address
    config = pocket_config()
    config["applications"][0]["runtime_env"] = {"working_dir": f"local://{two.folder / 'first'}"}
    deployment(config, "inpaint")["autoscaling_config"] = {"min_replicas": 3, "max_replicas": 3}
    two.deploy(config)
    assert bare in two.nodes_of("inpaint")
    edited(two.urls[0], picture)
    with pytest.raises(httpx.ConnectError):
        edited(two.urls[2], picture)
    assert two.proxies()[bare] != "HEALTHY"


def test_what_the_second_node_cannot_see_is_this_checkout(two: Cluster) -> None:
    seen = two.machines[1].output(["ls", ROOT / "deployments"], two.env, timeout_s=60)
    assert seen.strip() == ""
