"""What the package promises as a whole: its names, its weight, its silence about keys."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import retouch
from retouch import errors, options

HEAVY = ("torch", "ray", "numpy", "transformers", "diffusers", "fastapi", "pydantic")


def python(code: str, client_folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(client_folder)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.strip()


def test_public_names_are_all_and_sorted() -> None:
    public = {
        name for name, value in vars(retouch).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(retouch.__all__) == public | {"__version__"}
    assert retouch.__all__ == sorted(retouch.__all__)


def test_every_error_is_public() -> None:
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    defined = {name for name, kind in kinds.items() if issubclass(kind, Exception)}
    assert defined <= set(retouch.__all__)


def test_importing_it_imports_nothing_heavy(client_folder: Path) -> None:
    """And not the command line either: `rich` is not on the list because httpx imports it where it can."""
    unwanted = (*HEAVY, "retouch.cli")
    code = f"import sys, retouch; print(sorted(set({unwanted!r}) & set(sys.modules)))"
    assert python(code, client_folder) == "[]"


def test_the_command_line_needs_neither_torch_nor_ray_nor_numpy(client_folder: Path) -> None:
    code = f"import sys, retouch.cli.main; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    assert python(code, client_folder) == "[]"


def test_it_runs_as_a_module(client_folder: Path) -> None:
    code = "import runpy, sys; sys.argv = ['retouch', '--version']; runpy.run_module('retouch', run_name='__main__')"
    assert python(code, client_folder) == f"retouch {retouch.__version__}"


def test_declared_dependencies_are_the_imported_ones(client_folder: Path) -> None:
    text = (client_folder / "pyproject.toml").read_text()
    (line,) = re.findall(r"^dependencies = \[(.*)\]$", text, flags=re.MULTILINE)
    declared = {name.replace("-", "_") for name in re.findall(r'"([a-z-]+)', line)}
    imported = {name for path in client_folder.glob("retouch/**/*.py") for name in imports(path)}
    foreign = {name for name in imported if name not in sys.stdlib_module_names and name != "retouch"}
    assert {name.lower().replace("pil", "pillow") for name in foreign} == declared


def imports(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("kind", [retouch.Retouch, retouch.AsyncRetouch])
def test_the_key_is_never_shown(kind: type[retouch.Retouch]) -> None:
    client = kind("http://here:1", "sk-secret", timeout_s=9, max_retries=1)
    assert repr(client) == f"{kind.__name__}(base_url='http://here:1', api_key='***', timeout_s=9, max_retries=1)"
    inside = [repr(part) for part in vars(client).values()]
    inside += [repr(client._http.headers), str(client._http.headers), repr(client._settings)]
    assert not [text for text in inside if "sk-secret" in text]
    assert "api_key=None" in repr(kind())


def test_fields_keep_step_with_the_service(client_folder: Path) -> None:
    """The client has its own classes; what the service learns to answer must not be forgotten here."""
    service = fields_of(client_folder.parent / "deployments" / "messages" / "answers.py")
    client = {kind.__name__: {field.name for field in dataclasses.fields(kind)} for kind in RESULTS}
    assert client["Score"] == service["Score"]
    assert client["Edit"] == service["Edit"]
    assert client["Candidate"] == service["Candidate"]
    # When what went on in which replica stays inside: the answers tell the stages' durations.
    assert service["Location"] <= client["Location"]
    # `usage` says what was counted in its own words.
    assert service["EditResult"] - {"location", "trace", "row_steps", "text_tokens"} <= client["EditResult"]
    # An edit tells where it went, which is all of a location but what only a search has.
    place = client["Location"] - {"found", "heat", "size", "timings_s", "request_id"}
    own = {"method", "converted", "mask_read", "markup_read", "usage", "safety_identifier", "request_id"}
    assert client["EditResult"] - service["EditResult"] == place | own
    assert client["Location"] - service["Location"] == {"size", "request_id"}


@pytest.mark.parametrize("name", ["Mode", "MaskShape", "Fill", "MaskMode"])
def test_choices_keep_step_with_the_service(client_folder: Path, name: str) -> None:
    home = "pixels/mask_files.py" if name == "MaskMode" else "messages/requests.py"
    text = (client_folder.parent / "deployments" / home).read_text()
    (line,) = re.findall(rf"^{name} = Literal\[(.*)\]$", text, flags=re.MULTILINE)
    assert re.findall(r'"(\w+)"', line) == list(get_args(getattr(options, name)))


RESULTS = (retouch.Score, retouch.Edit, retouch.Candidate, retouch.EditResult, retouch.Location)


def fields_of(path: Path) -> dict[str, set[str]]:
    """The annotated fields of each class in a file, without importing it."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return {
        node.name: {
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        }
        for node in classes
    }
