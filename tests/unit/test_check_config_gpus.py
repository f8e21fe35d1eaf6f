"""How many GPUs a config needs, what does not fit on those there are, and which shares no GPU can give."""

import math
from itertools import product
from pathlib import Path

import pytest
import yaml

import graph
from deployments.check_config.__main__ import main
from deployments.check_config.check import findings
from deployments.check_config.gpu_needs import fewest

CONFIG = Path(__file__).parent.parent.parent / "serve_config.yaml"
SHARE = "applications[0].deployments.clip.ray_actor_options.num_gpus"


def config(**deployments):
    """A config of our application whose deployments have a share of a GPU, or other options too."""
    named = [{"name": name, **options(value)} for name, value in deployments.items()]
    return {"applications": [{"import_path": "graph:build_app", "deployments": named}]}


def options(value):
    return value if isinstance(value, dict) else {"ray_actor_options": {"num_gpus": value}}


def scaled(share, **limits):
    return {"ray_actor_options": {"num_gpus": share}, "autoscaling_config": limits}


def fixed(share, number):
    return {"ray_actor_options": {"num_gpus": share}, "num_replicas": number}


def said(config, kind, gpus=None):
    return [finding.sentence for finding in findings(config, gpus) if finding.kind == kind]


NEEDS = {
    "needs no GPU": [
        config(),
        config(clip=None),
        config(clip=0),
        config(clip=fixed(0.5, 1) | {"ray_actor_options": {"num_cpus": 1}}),
    ],
    "needs at least 2 GPUs, at most 2 (clip 1 x 0.1, sam 1 x 0.5, inpaint 1 x 0.7)": [
        config(clip=0.1, sam=0.5, inpaint=0.7)
    ],
    "needs at least 1 GPU, at most 1 (clip 1 x 0.1, sam 1 x 0.2, inpaint 1 x 0.7)": [
        config(clip=0.1, sam=0.2, inpaint=0.7),
        config(clip="0.1", sam=0.2, inpaint=0.7),
    ],
    "needs at least 3 GPUs, at most 3 (inpaint 3 x 0.7)": [config(inpaint=fixed(0.7, 3))],
    "needs at least 1 GPU, at most 100 (inpaint 1-100 x 0.7)": [config(inpaint=fixed(0.7, "auto"))],
    "needs at least 2 GPUs, at most 3 (inpaint 2-3 x 0.7)": [
        config(inpaint=scaled(0.7, min_replicas=2, max_replicas=3)),
        config(inpaint=scaled(0.7, min_replicas="2", max_replicas=3) | {"num_replicas": "auto"}),
    ],
    "needs at least 1 GPU, at most 1 (inpaint 1 x 0.7)": [
        config(inpaint=scaled(0.7)),
        config(inpaint=scaled(0.7, target_ongoing_requests=3)),
        config(inpaint=fixed(0.7, None)),
        config(inpaint={"ray_actor_options": {"num_gpus": 0.7}, "autoscaling_config": None}),
    ],
    "needs at least 0 GPUs, at most 2 (clip 0-4 x 0.5)": [config(clip=scaled(0.5, min_replicas=0, max_replicas=4))],
    "needs at least 7 GPUs, at most 7 (sam 1 x 0.5, inpaint 3 x 2)": [config(sam=0.5, inpaint=fixed(2, 3))],
    "needs at least 1 GPU, at most 500000000 (clip 1-1000000000 x 0.5)": [
        config(clip=scaled(0.5, max_replicas=1_000_000_000))
    ],
}


@pytest.mark.parametrize("sentence", NEEDS)
def test_what_a_config_needs(sentence):
    for needing in NEEDS[sentence]:
        assert said(needing, "fact") == [sentence]
        assert said(needing, "problem") == []


def test_the_shares_of_all_applications_are_added():
    both = config(clip=0.6)
    both["applications"].append({**config(clip=0.6)["applications"][0], "name": "b", "route_prefix": "/b"})
    assert said(both, "fact") == ["needs at least 2 GPUs, at most 2 (default/clip 1 x 0.6, b/clip 1 x 0.6)"]


def test_deployments_that_stand_in_the_graph_alone_count(monkeypatch):
    monkeypatch.setitem(graph.DEFAULTS, "sam", {"ray_actor_options": {"num_gpus": 0.5}, "num_replicas": 3})
    assert said(config(clip=0.7), "fact") == ["needs at least 3 GPUs, at most 3 (clip 1 x 0.7, sam 3 x 0.5)"]
    assert said(config(sam={"max_ongoing_requests": 3}), "fact") == ["needs at least 2 GPUs, at most 2 (sam 3 x 0.5)"]
    assert said(config(sam={"ray_actor_options": {"num_cpus": 1}}), "fact") == ["needs no GPU"]


def brute_force(parts, rooms):
    """Whether some way of giving each part a GPU overfills none."""
    return any(
        all(sum(part for part, chosen in zip(parts, way, strict=True) if chosen == room) <= 10 for room in range(rooms))
        for way in product(range(rooms), repeat=len(parts))
    )


@pytest.mark.parametrize(
    "parts", [(4, 4, 3, 3, 3, 3), (6, 5, 5, 4), (7, 7, 3, 3), (6, 6, 6), (1,) * 10, (5, 4, 3, 3, 3, 2), (9, 2, 2, 7)]
)
def test_the_fewest_gpus_are_those_of_the_best_packing(parts):
    expected = next(rooms for rooms in range(1, 8) if brute_force(parts, rooms))
    assert fewest((part / 10, 1) for part in parts) == expected
    assert fewest([(part / 10, parts.count(part)) for part in set(parts)] + [(2, 3)]) == expected + 6


def test_many_shares_are_packed_at_once_the_largest_first():
    assert fewest([(0.7, 1000), (0.2, 1000), (0.1, 1000)]) == 1000
    assert fewest([(0.3, 1000)]) == 334
    assert fewest([(0.3, 9), (0.5, 9), (0.2, 9), (0.7, 1)]) == 10


def test_many_shares_that_all_differ_come_to_an_end():
    """Looking for the best packing of these would take hours."""
    assert fewest((0.3 + number / 100, 1) for number in range(20)) in (8, 9)


def test_the_minimum_has_to_fit():
    wanted = config(clip=0.1, sam=0.5, inpaint=0.7)
    assert said(wanted, "problem", gpus=2) == []
    assert said(wanted, "problem", gpus=1) == ["need at least 2 GPUs, and --gpus says 1"]
    assert said(config(clip=0.1), "problem", gpus=0) == ["need at least 1 GPU, and --gpus says 0"]
    assert said(config(), "problem", gpus=0) == []


def test_what_cannot_grow_is_a_note():
    wanted = config(clip=scaled(0.1, max_replicas=4), sam=0.2, inpaint=scaled(0.6, max_replicas=2))
    why = "one replica more needs 2 GPUs even with all others at their fewest"
    assert said(wanted, "note", gpus=1) == [f"inpaint cannot grow on 1 GPU: {why}"]
    assert said(wanted, "note", gpus=2) == []
    assert said(wanted, "note") == []


def test_a_file_that_fills_its_gpus_says_unasked_what_cannot_grow(capsys):
    assert main([str(CONFIG)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("clip", "sam", "inpaint"):
        assert any(line.startswith(f"{CONFIG}: note: {name} cannot grow on 1 GPU: ") for line in lines)
    assert said(config(clip=scaled(0.1, max_replicas=4), inpaint=0.8), "note") == []


def test_a_surge_that_no_gpu_has_room_for_is_a_note():
    wanted = config(clip=0.3, inpaint=fixed(0.7, 1) | {"max_surge_percent": 100})
    why = "with max_surge_percent a new replica starts before an old one stops, and there is no room for both"
    assert said(wanted, "note") == [f"an update of inpaint waits for ever on 1 GPU: {why}"]
    assert said(wanted, "note", gpus=2) == []


def test_the_shipped_file_fits_on_one_gpu_and_cannot_grow_there(capsys):
    assert main(["--gpus", "1", str(CONFIG)]) == 0
    lines = capsys.readouterr().out.splitlines()
    needs = "needs at least 1 GPU, at most 8 (clip 1-4 x 0.1, sam 1-4 x 0.2, inpaint 1-8 x 0.7)"
    assert f"{CONFIG}: {needs}" in lines
    for name in ("clip", "sam", "inpaint"):
        assert any(line.startswith(f"{CONFIG}: note: {name} cannot grow on 1 GPU: ") for line in lines)
    assert main(["--gpus", "0", str(CONFIG)]) == 1
    assert capsys.readouterr().err == f"{CONFIG}: applications: need at least 1 GPU, and --gpus says 0\n"


SHARES = {
    "1.5 is more than one GPU but not a whole number": 1.5,
    "0.33333 is finer than 0.0001, which is as fine as Ray counts": 0.33333,
    "must be a number, not True": True,
    "must be a finite number, not inf": math.inf,
    "must be a finite number, not nan": math.nan,
    "Input should be greater than or equal to 0 (it is -0.5)": -0.5,
    "Input should be a valid number, unable to parse string as a number (it is 'half')": "half",
    "Input should be a valid number (it is [1])": [1],
}


@pytest.mark.parametrize("sentence", SHARES)
def test_a_share_that_no_gpu_can_give(sentence, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config(clip=SHARES[sentence])))
    assert main([str(path)]) == 1
    out, err = capsys.readouterr()
    assert err == f"{path}: {SHARE}: {sentence}\n"
    assert out == ""
