"""What is said before anything is loaded of models that are not where they should be; other files test the rest."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.config import POCKET_WEIGHTS, GraphArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.launch.preflight import problems

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("ray", "torch", "transformers", "diffusers", "huggingface_hub")


def found(room: str, **args: object) -> list[SettingError]:
    return list(problems(GraphArgs.model_validate({room: args}), reach_hub=False))


def only(room: str, **args: object) -> SettingError:
    (error,) = found(room, **args)
    assert "\n" not in error.problem
    return error


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POCKET_WEIGHTS / "clip", tmp_path / "clip"))


def test_nothing_is_wrong_with_the_pocket_models() -> None:
    assert found("clip") == []


@pytest.mark.parametrize("setting", ["clip.model", "sam.model", "inpaint.model", "inpaint.lora"])
@pytest.mark.parametrize(
    "path", ["/nope/x", "./nope", "../nope/x", "~/nope", "~nobody/x", "a/b/c", "x.pth", "x.safetensors", "a\\b"]
)
def test_a_path_that_is_not_here_may_be_elsewhere(setting: str, path: str) -> None:
    room, field = setting.split(".")
    error = only(room, **{field: path})
    thing = "file" if room == "sam" else "folder" if field == "model" else "file or folder"
    assert isinstance(error, NotOnThisMachine)
    assert error.setting == setting
    assert error.problem.startswith(f"there is no {thing} {path!r} on this machine. Give ")
    again = pickle.loads(pickle.dumps(error))  # as it comes back from a replica
    assert (str(again), again.missing) == (str(error), error.missing)


@pytest.mark.parametrize(("room", "name"), [("clip", "clip"), ("sam", "sam.pth"), ("inpaint", "inpaint")])
def test_a_tilde_is_the_home_of_whoever_runs_it(room: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(POCKET_WEIGHTS))
    assert found(room, model=f"~/{name}") == []


def test_what_is_here_is_a_path_though_it_looks_like_an_id(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent.parent)
    name = f"{clip.parent.name}/clip"
    assert found("clip", model=name) == []
    (clip / "config.json").write_text('{"model_type": "bert"}')
    assert only("clip", model=name).problem.startswith(f"{name!r} is not a CLIP model")


def test_an_id_that_the_cache_lacks_is_unknown_without_the_hub(tmp_path: Path) -> None:
    assert found("clip", model="nobody/nothing") == found("inpaint", model="nobody/nothing", lora="nobody/less") == []


def test_sam_is_no_id_of_the_hub() -> None:
    error = only("sam", model="facebook/sam-vit-base")
    assert isinstance(error, NotOnThisMachine)
    assert "no file 'facebook/sam-vit-base' on this machine, and SAM is not fetched from the hub. Give" in error.problem


@pytest.mark.parametrize("room", ["clip", "inpaint"])
@pytest.mark.parametrize("name", ["a b", "x--y/z", "org/name:tag", "-x/y"])
def test_what_is_neither_a_path_nor_an_id(room: str, name: str) -> None:
    error = only(room, model=name)
    assert not isinstance(error, NotOnThisMachine)
    assert error.problem.startswith(f"{name!r} is neither a folder here nor an id of the hub. Give 'pocket'")


@pytest.mark.parametrize("room", ["clip", "inpaint"])
@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_no_folder(room: str, name: str) -> None:
    assert only(room, model=name).problem.startswith("it is empty. Give 'pocket'")


@pytest.mark.parametrize("room", ["clip", "inpaint"])
def test_a_revision_is_the_hubs(room: str, clip: Path) -> None:
    for model in ("pocket", str(clip)):
        error = only(room, model=model, revision="main")
        assert error.setting == f"{room}.revision"
        assert error.problem == f"'main' is a revision on the hub, but {model!r} is on this machine. Leave it out."


@pytest.mark.parametrize("field", ["revision", "variant"])
def test_sam_has_neither_revision_nor_variant(field: str) -> None:
    error = only("sam", **{field: "fp16"})
    assert error.setting == f"sam.{field}"
    assert error.problem == "'fp16' chooses among files on the hub, and SAM is one file. Leave it out."


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def nobody() -> Iterator[None]:
    """Give up root's right to read everything, for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(("room", "name"), [("clip", "clip"), ("sam", "sam.pth"), ("inpaint", "inpaint")])
def test_what_may_not_be_read_may_be_readable_elsewhere(room: str, name: str, open_folder: Path) -> None:
    place = open_folder / name
    (shutil.copytree if room != "sam" else shutil.copy)(POCKET_WEIGHTS / name, place)
    for each in (place, *place.rglob("*")):
        each.chmod(0o555 if each.is_dir() else 0)
    with nobody():
        error = only(room, model=str(place))
    assert isinstance(error, NotOnThisMachine)
    assert "cannot be read: Permission denied. Give" in error.problem


def test_every_model_and_device_has_its_say() -> None:
    args = {"model": "/nope/x", "device": "gpu"}
    all_of_them = problems(GraphArgs.model_validate({"clip": args, "sam": args, "inpaint": {**args, "lora": "/nope"}}))
    assert [error.setting for error in all_of_them] == [
        *("clip.model", "clip.device", "sam.model", "sam.device"),
        *("inpaint.model", "inpaint.lora", "inpaint.device"),
    ]


def test_three_wrong_paths_are_found_without_anything_heavy() -> None:
    code = """
import sys
from deployments.config import GraphArgs
from deployments.launch.preflight import problems
wrong = {"model": "/nope/x"}
assert len(list(problems(GraphArgs.model_validate({"clip": wrong, "sam": wrong, "inpaint": wrong})))) == 3
assert not list(problems(GraphArgs()))
print(*sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(HEAVY) & set(run.stdout.split())
