"""What a Serve config names has to exist, and what it sets has to go together: imports, models, time limits."""

from pathlib import Path

import pytest
import yaml

from deployments.check_config.__main__ import main
from deployments.check_config.check import findings

PLACE = "applications[0].import_path"
DEADLINE = "applications[0].deployments.driver.user_config.deadline_s"
LIMIT = "http_options.request_timeout_s"
CUT = "Serve would cut a request off before the driver can say that its time is up"


def config(import_path="graph:build_app", **application):
    return {"applications": [{"import_path": import_path, **application}]}


def said(config, kind="problem"):
    return [(finding.place, finding.sentence) for finding in findings(config) if finding.kind == kind]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on the path, with modules that fail in their own ways when they are imported."""
    folder = tmp_path / "shop_front"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "window.py").write_text("def application(args): ...\n")
    (folder / "broken.py").write_text("raise RuntimeError('two\\nlines')\n")
    (folder / "wrong.py").write_text("def (\n")
    (folder / "leaving.py").write_text("raise SystemExit(3)\n")
    (folder / "needing.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)


IMPORTS = {
    "grpah:build_app": "there is no module 'grpah'; did you mean 'graph'?",
    "graph:app": "module 'graph' has no 'app'; did you mean 'build_app'?",
    "graph.build_ap": "module 'graph' has no 'build_ap'; did you mean 'build_app'?",
    "graph:zzz": "module 'graph' has no 'zzz'",
    "graph:DEFAULTS": "'graph:DEFAULTS' is a dict, not an application or a function that builds one",
    "graph:HttpDriver": "'graph:HttpDriver' is a type, not an application or a function that builds one",
    "no_such_thing_at_all:x": "there is no module 'no_such_thing_at_all'",
    "graph.inner:x": "there is no module 'graph.inner'",
    "shop_front.windwo:application": "there is no module 'shop_front.windwo'; did you mean 'shop_front.window'?",
    "shop_frnt.window:application": "there is no module 'shop_frnt'; did you mean 'shop_front'?",
    "shop_front.window:aplication": "module 'shop_front.window' has no 'aplication'; did you mean 'application'?",
    "shop_front.broken:x": "importing 'shop_front.broken' fails: RuntimeError: two lines",
    "shop_front.wrong:x": "importing 'shop_front.wrong' fails: SyntaxError: invalid syntax (wrong.py, line 1)",
    "shop_front.leaving:x": "importing 'shop_front.leaving' fails: SystemExit: 3",
    "shop_front.needing:x": "importing 'shop_front.needing' fails: ModuleNotFoundError: "
    "No module named 'nothing_of_this_name'",
    "nodots": "'nodots' is not an import path; write module:name",
    5: "5 is not an import path; write module:name",
    None: "None is not an import path; write module:name",
}


@pytest.mark.parametrize("path", IMPORTS)
@pytest.mark.usefixtures("package")
def test_an_application_that_cannot_be_imported(path):
    assert said(config(path)) == [(PLACE, IMPORTS[path])]


@pytest.mark.parametrize("path", ["graph:build_app", "graph.build_app", "shop_front.window:application"])
@pytest.mark.usefixtures("package")
def test_an_application_that_can_be_imported(path):
    assert said(config(path)) == []


@pytest.mark.parametrize("code", [{"working_dir": "https://x.example/code.zip"}, {"py_modules": ["s3://x/code.zip"]}])
@pytest.mark.parametrize("path", ["their_code:app", "graph:app"])
def test_code_that_lies_elsewhere_is_a_note(path, code):
    elsewhere = config(path, runtime_env=code)
    assert said(elsewhere) == []
    (note,) = said(elsewhere, "note")
    assert note[0] == PLACE
    assert note[1].endswith("here; the code that runtime_env brings was not looked at")
    assert said(config(path, runtime_env={"env_vars": {"A": "1"}}))


@pytest.mark.parametrize("path", ["graph:build_app", "graph.build_app"])
def test_our_application_with_code_of_its_own_is_still_checked(path):
    code = {"working_dir": "https://x.example/code.zip"}
    ours = config(path, runtime_env=code, args={"clip": {"modl": "pocket"}})
    assert said(ours) == [("applications[0].args.clip.modl", "unknown key; did you mean 'model'?")]


IN_CLIP = "applications[0].deployments.clip"
PARTS = {
    f"{IN_CLIP}.autoscaling_config.policy.policy_function": {
        "autoscaling_config": {"policy": {"policy_function": "graph:polcy"}}
    },
    f"{IN_CLIP}.request_router_config.request_router_class": {
        "request_router_config": {"request_router_class": "no_such_thing_at_all:Router"}
    },
    f"{IN_CLIP}.deployment_actors[0].actor_class": {"deployment_actors": [{"name": "a", "actor_class": "graph:Acto"}]},
}


@pytest.mark.parametrize("place", PARTS)
def test_what_a_deployment_names_is_imported_too(place):
    (problem,) = said(config(deployments=[{"name": "clip", **PARTS[place]}]))
    assert problem[0] == place
    assert "there is no module" in problem[1] or "module 'graph' has no" in problem[1]


def limited(limit, deployments=()):
    return config(deployments=list(deployments)) | {"http_options": {"request_timeout_s": limit}}


def driver(**user_config):
    return {"name": "driver", "user_config": user_config}


LIMITS = {
    "above the default": (limited(121), []),
    "equal to the default": (limited(120), [(LIMIT, f"120 must be more than {DEADLINE}, which is 120: {CUT}")]),
    "as a text": (limited("60"), [(LIMIT, f"60 must be more than {DEADLINE}, which is 120: {CUT}")]),
    "zero": (limited(0), [(LIMIT, f"0 must be more than {DEADLINE}, which is 120: {CUT}")]),
    "not set": (limited(None), []),
    "switched off": (limited(-1), []),
    "above": (limited(30, [driver(deadline_s=29.5)]), []),
    "below": (
        limited(30, [driver(deadline_s=30.5)]),
        [(LIMIT, f"30 must be more than {DEADLINE}, which is 30.5: {CUT}")],
    ),
    "another deployment's": (limited(130, [{"name": "clip"}, driver()]), []),
}


@pytest.mark.parametrize("case", LIMITS)
def test_serve_may_not_cut_off_before_the_deadline(case):
    assert said(LIMITS[case][0]) == LIMITS[case][1]


def test_a_time_limit_without_a_deadline_is_a_note():
    unlimited = limited(30, [driver(deadline_s=None)])
    assert said(unlimited) == []
    assert said(unlimited, "note") == [(LIMIT, f"cuts every request off after 30 s, while {DEADLINE} sets no deadline")]
    assert said(limited(None, [driver(deadline_s=None)]), "note") == []


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({}, []),
        ({"num_replicas": 1}, []),
        ({"num_replicas": 2}, ["num_replicas"]),
        ({"num_replicas": "auto"}, ["num_replicas"]),
        ({"autoscaling_config": {"max_replicas": 2}}, ["autoscaling_config"]),
    ],
    ids=str,
)
def test_there_is_one_ledger(options, places):
    problems = said(config(deployments=[{"name": "clip", "num_replicas": 2}, {"name": "ledger", **options}]))
    assert [place.removeprefix("applications[0].deployments.ledger.") for place, _ in problems] == places
    assert all("the one ledger that knows it" in sentence for _, sentence in problems)


def test_a_model_that_is_not_on_this_machine_is_a_note():
    absent = config(args={"sam": {"model": "/nope/sam.pth"}})
    assert said(absent) == []
    sentence = "there is no file '/nope/sam.pth' on this machine; another machine may have it"
    assert said(absent, "note") == [("applications[0].args.sam.model", sentence)]


def test_a_model_of_another_kind_is_a_problem(tmp_path):
    text = tmp_path / "sam.pth"
    text.write_text("This is no checkpoint.")
    ((place, sentence),) = said(config(args={"sam": {"model": str(text)}}))
    assert place == "applications[0].args.sam.model"
    assert "\n" not in sentence


def test_the_hub_is_not_asked():
    somewhere = config(args={"clip": {"model": "nobody/nothing-of-this-name"}})
    assert [finding.kind for finding in findings(somewhere)] == ["fact"]  # Asking would find it or fail to.


def test_a_model_is_not_looked_for_with_settings_that_are_wrong():
    wrong = config(args={"sam": {"model": "/nope/sam.pth", "dtype": "float8"}})
    ((place, _),) = said(wrong)
    assert place == "applications[0].args.sam.dtype"
    assert said(wrong, "note") == []


def test_the_command_finds_the_graph_from_anywhere(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(config()))
    assert main(["config.yaml"]) == 0
    assert capsys.readouterr().out == "config.yaml: needs no GPU\nin order: config.yaml\n"
