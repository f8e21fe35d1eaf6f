"""What is wrong in a Serve config is named by its key, in one line; other files of this name test one topic each."""

import copy
from pathlib import Path

import pytest
import yaml

import graph
from deployments.check_config.__main__ import main
from deployments.check_config.check import findings
from deployments.check_config.project_rules import USER_CONFIGS

CONFIG = Path(__file__).parent.parent.parent / "serve_config.yaml"
SHIPPED = yaml.safe_load(CONFIG.read_text())
APP = ("applications", 0)
DRIVER, CLIP, SAM, INPAINT = ((*APP, "deployments", number) for number in range(4))
IN_APP = "applications[0]"
IN_CLIP = "applications[0].deployments.clip"


def spoilt(*path_and_value):
    """The shipped config with one key set to something else."""
    *path, last, value = path_and_value
    config = copy.deepcopy(SHIPPED)
    place = config
    for key in path:
        place = place[key]
    place[last] = value
    return config


def said(config, kind="problem"):
    return [f"{finding.place}: {finding.sentence}" for finding in findings(config) if finding.kind == kind]


UNKNOWN_KEYS = {
    ("proxy_locaton",): "HeadOnly",
    ("http_options", "hots"): "x",
    ("grpc_options",): {"prt": 1},
    ("logging_config",): {"log_levl": "INFO"},
    ("tracing_config",): {"enable": True},
    ("controller_options",): {"runtime": {}},
    (*APP, "route_prefx"): "/",
    (*APP, "logging_config"): {"log_levl": "INFO"},
    (*APP, "runtime_env"): {"env_var": {}},
    (*APP, "autoscaling_policy"): {"policy_functio": "a:b"},
    (*APP, "args", "dino"): {},
    (*APP, "args", "clip", "modl"): "pocket",
    (*CLIP, "max_ongoing"): 3,
    (*CLIP, "logging_config"): {"log_levl": "INFO"},
    (*CLIP, "request_router_config"): {"initial_backof_s": 1},
    (*CLIP, "backpressure_config"): {"status": 429},
    (*CLIP, "autoscaling_config", "min_replica"): 1,
    (*CLIP, "autoscaling_config", "policy"): {"policy_kwarg": {}},
    (*CLIP, "gang_scheduling_config"): {"gang_size": 1, "gang_strategy": "PACK"},
    (*CLIP, "deployment_actors"): [{"name": "a", "actor_class": "graph:HttpDriver", "init_kwarg": {}}],
    (*CLIP, "ray_actor_options", "gpus"): 1,
    (*CLIP, "ray_actor_options", "runtime_env"): {"envs": {}},
    (*CLIP, "user_config", "batch"): 3,
    (*DRIVER, "user_config", "limits"): {"max_pixel": 1},
}


@pytest.mark.parametrize("path", UNKNOWN_KEYS, ids=lambda path: ".".join(map(str, path)))
def test_an_unknown_key_is_refused_in_every_section(path):
    value = UNKNOWN_KEYS[path]
    inner = value[0] if isinstance(value, list) else value
    key = list(inner)[-1] if isinstance(inner, dict) and inner else path[-1]
    assert [problem for problem in said(spoilt(*path, value)) if f".{key}: unknown key" in f".{problem}"]


SUGGESTIONS = {
    "proxy_locaton: unknown key; did you mean 'proxy_location'?": spoilt("proxy_locaton", "HeadOnly"),
    "http_options.hots: unknown key; did you mean 'host'?": spoilt("http_options", "hots", "x"),
    f"{IN_APP}.args.clip.modl: unknown key; did you mean 'model'?": spoilt(*APP, "args", "clip", "modl", "pocket"),
    f"{IN_CLIP}.ray_actor_options.runtime_env.env_var: unknown key; did you mean 'env_vars'?": spoilt(
        *CLIP, "ray_actor_options", "runtime_env", {"env_var": {}}
    ),
    f"{IN_CLIP}.deployment_actors[0].actor_options.num_gpu: unknown key; did you mean 'num_gpus'?": spoilt(
        *CLIP, "deployment_actors", [{"name": "a", "actor_class": "graph:build_app", "actor_options": {"num_gpu": 1}}]
    ),
    f"{IN_APP}.runtime_env.config.setup_timeout: unknown key; did you mean 'setup_timeout_seconds'?": spoilt(
        *APP, "runtime_env", {"config": {"setup_timeout": 3}}
    ),
}


@pytest.mark.parametrize("sentence", SUGGESTIONS)
def test_a_near_miss_is_suggested_and_it_is_the_only_problem(sentence):
    assert said(SUGGESTIONS[sentence]) == [sentence]


FREE = {
    "variables": spoilt(*APP, "runtime_env", {"env_vars": {"ANYTHING": "1"}}),
    "router": spoilt(*CLIP, "request_router_config", {"request_router_kwargs": {"any": 1}}),
    "policy": spoilt(*CLIP, "autoscaling_config", "policy", {"policy_kwargs": {"any": 1}}),
    "resources": spoilt(*CLIP, "ray_actor_options", "resources", {"tpu": 1}),
    "runtime_env": spoilt(*APP, "runtime_env", {"pip": ["x"], "nsight": "default", "config": {"eager_install": True}}),
}


@pytest.mark.parametrize("case", FREE)
def test_free_form_sections_stay_free(case):
    assert said(FREE[case]) == []


def test_of_a_foreign_application_only_what_serve_knows_is_checked():
    config = spoilt(*APP, "import_path", "deployments.http.api:build_api")  # any function will do
    app = config["applications"][0]
    app["args"] = {"anything": 1}
    app["deployments"] = [{"name": "theirs", "user_config": {"anything": 1}, "max_ongoing": 3}]
    assert said(config) == [
        f"{IN_APP}.deployments.theirs.max_ongoing: unknown key; did you mean 'max_ongoing_requests'?"
    ]
    del app["deployments"][0]["max_ongoing"]
    assert said(config) == []
    assert said(config, "note") == [
        f"{IN_APP}: is not built by this project; what its code sets itself is not known here"
    ]


WRONG = {
    "args a list": (spoilt(*APP, "args", [1]), f"{IN_APP}.args: Input should be a valid dictionary"),
    "args null": (spoilt(*APP, "args", None), f"{IN_APP}.args: Input should be a valid dictionary"),
    "user_config a list": (spoilt(*CLIP, "user_config", [1]), f"{IN_CLIP}.user_config: Input should be a valid dict"),
    "deployments texts": (spoilt(*APP, "deployments", ["clip"]), f"{IN_APP}.deployments[0]: must be a mapping"),
    "deployments a text": (spoilt(*APP, "deployments", "clip"), f"{IN_APP}.deployments: Input should be a valid list"),
    "actor options a list": (spoilt(*CLIP, "ray_actor_options", [1]), f"{IN_CLIP}.ray_actor_options: Input should be"),
    "autoscaling a list": (spoilt(*CLIP, "autoscaling_config", [1]), f"{IN_CLIP}.autoscaling_config: Input should be"),
    "applications null": (spoilt("applications", None), "applications: Input should be a valid list (it is None)"),
    "applications a mapping": (
        spoilt("applications", {"import_path": "a:b"}),
        "applications: Input should be a valid list",
    ),
    "applications texts": (spoilt("applications", ["x"]), "applications[0]: must be a mapping of keys, not 'x'"),
    "no applications": ({"proxy_location": "HeadOnly"}, "applications: Field required"),
    "name a number": (spoilt(*CLIP, "name", 3), f"{IN_APP}.deployments[1].name: Input should be a valid string"),
    "name a list": (spoilt(*CLIP, "name", [3]), f"{IN_APP}.deployments[1].name: Input should be a valid string"),
    "modules a number": (spoilt(*APP, "runtime_env", {"py_modules": 5}), f"{IN_APP}.runtime_env.py_modules: Input"),
    "variable a number": (spoilt(*APP, "runtime_env", {"env_vars": {"A": 1}}), f"{IN_APP}.runtime_env.env_vars.A: "),
    "gang a text": (spoilt(*CLIP, "gang_scheduling_config", "x"), f"{IN_CLIP}.gang_scheduling_config: must be a mapp"),
    "gang not implemented": (
        spoilt(*CLIP, "gang_scheduling_config", {"gang_size": 1, "runtime_failure_policy": "RESTART_REPLICA"}),
        f"{IN_CLIP}.gang_scheduling_config: Serve cannot read this: NotImplementedError: ",
    ),
    "number of replicas": (spoilt(*CLIP, "num_replicas", "2"), f"{IN_CLIP}: `num_replicas` must be an int or "),
    "encoding a mapping": (spoilt("logging_config", {"encoding": {"a": 1}}), "logging_config.encoding: Input should"),
    "time limit a word": (spoilt("http_options", "request_timeout_s", "x"), "http_options.request_timeout_s: Input"),
    "setting out of range": (
        spoilt(*CLIP, "user_config", {"max_batch_size": 0}),
        f"{IN_CLIP}.user_config.max_batch_size",
    ),
    "setting unknown to its type": (
        spoilt(*APP, "args", "clip", "dtype", "float8"),
        f"{IN_APP}.args.clip.dtype: Input",
    ),
    "minimum over maximum": (
        spoilt(*CLIP, "autoscaling_config", "min_replicas", 9),
        f"{IN_CLIP}.autoscaling_config: max_replicas (4) must be greater",
    ),
    "fixed and scaled": (spoilt(*CLIP, "num_replicas", 3), f"{IN_CLIP}: Manually setting num_replicas"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_one_line_that_names_its_key(case):
    config, sentence = WRONG[case]
    (problem,) = said(config)
    assert problem.startswith(sentence)
    assert "\n" not in problem


def test_one_wrong_section_hides_no_other():
    config = spoilt(*CLIP, "max_ongoing_requests", 0)
    config["http_options"]["port"] = "x"
    config["applications"][0]["deployments"][2]["autoscaling_config"]["max_replicas"] = 0
    config["applications"][0]["args"]["clip"]["dtype"] = "float8"
    assert [problem.split(": ")[0] for problem in said(config)] == [
        "http_options.port",
        f"{IN_CLIP}.max_ongoing_requests",
        "applications[0].deployments.sam.autoscaling_config.max_replicas",
        f"{IN_APP}.args.clip.dtype",
    ]


def test_a_deployment_that_the_graph_does_not_have():
    assert said(spoilt(*CLIP, "name", "klip")) == [
        f"{IN_APP}.deployments.klip: there is no deployment 'klip'; did you mean 'clip'?; "
        "there are driver, clip, sam, inpaint, ledger"
    ]
    assert USER_CONFIGS.keys() == graph.DEFAULTS.keys()


def test_a_deployment_that_is_named_twice():
    config = copy.deepcopy(SHIPPED)
    config["applications"][0]["deployments"].append({"name": "clip"})
    assert said(config) == [f"{IN_CLIP}: the deployment stands here 2 times; keep one"]


def test_the_shipped_file_is_in_order(capsys):
    assert main([str(CONFIG)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"{CONFIG}: note: applications[0].args.sam.model: " in out
    assert out.endswith(f"in order: {CONFIG}\n")


def test_the_command_names_file_place_and_sentence(tmp_path, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump(spoilt("http_options", "hots", "x")))
    assert main([str(bad), str(CONFIG)]) == 1
    out, err = capsys.readouterr()
    assert err == f"{bad}: http_options.hots: unknown key; did you mean 'host'?\n"
    assert f"in order: {bad}" not in out
    assert f"in order: {CONFIG}" in out


@pytest.mark.parametrize("argv", [[], ["--gpus", "-1", "x"], ["--gpus", "half", "x"], ["--unknown", "x"]])
def test_wrong_use(argv, capsys):
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert "usage: " in capsys.readouterr().err


def test_help_says_what_it_does(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "Check Serve config files" in capsys.readouterr().out
