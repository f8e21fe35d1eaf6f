import copy
from pathlib import Path

import pytest
import yaml

from deployments.check_config import main, problems

SHIPPED = yaml.safe_load((Path(__file__).parent.parent.parent / "serve_config.yaml").read_text())


def spoilt(*path_and_value):
    """The shipped config with one key set to something else."""
    *path, last, value = path_and_value
    config = copy.deepcopy(SHIPPED)
    place = config
    for key in path:
        place = place[key]
    place[last] = value
    return config


APP = ("applications", 0)
CLIP = (*APP, "deployments", 1)
CASES = {
    "typo at the top": (spoilt("proxy_locaton", "HeadOnly"), "proxy_locaton: unknown key"),
    "typo in the application": (spoilt(*APP, "route_prefx", "/"), "route_prefx: unknown key"),
    "typo in a deployment": (spoilt(*CLIP, "max_ongoing", 3), "deployments.clip.max_ongoing: unknown key"),
    "typo in autoscaling": (spoilt(*CLIP, "autoscaling_config", "min_replica", 1), "min_replica: unknown key"),
    "typo in actor options": (spoilt(*CLIP, "ray_actor_options", "gpus", 1), "ray_actor_options.gpus: unknown key"),
    "unknown model setting": (spoilt(*APP, "args", "clip", "size", 3), "args.clip.size"),
    "unknown stage": (spoilt(*APP, "args", "dino", {}), "args.dino"),
    "unknown live setting": (spoilt(*CLIP, "user_config", "batch", 3), "user_config.batch"),
    "live setting out of range": (spoilt(*CLIP, "user_config", "max_batch_size", 0), "user_config.max_batch_size"),
    "unknown deployment": (spoilt(*CLIP, "name", "klip"), "no deployment 'klip'"),
    "a share of more than one GPU": (spoilt(*CLIP, "ray_actor_options", "num_gpus", 1.5), "num_gpus: 1.5"),
    "minimum over maximum": (spoilt(*CLIP, "autoscaling_config", "min_replicas", 9), "max_replicas"),
}


def test_the_shipped_file_has_no_problems():
    assert list(problems(SHIPPED)) == []


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_named_by_its_key(case):
    config, expected = CASES[case]
    assert any(expected in problem for problem in problems(config)), list(problems(config))


def test_the_command_fails_on_a_bad_file(tmp_path, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump(CASES["typo in a deployment"][0]))
    assert main([str(bad)]) == 1
    assert "max_ongoing" in capsys.readouterr().err
    assert main([]) == 2
    bad.write_text("just a text")
    assert main([str(bad)]) == 1
