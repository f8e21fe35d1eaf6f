"""The change guide names files that exist, and names that they define."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
CELLS = re.compile(r"^\| (?P<change>[^|]*)\| `(?P<file>[^`|]+)` \| `(?P<name>[^`|]+)` \| [^|]+ \|$", re.MULTILINE)


def rows():
    """Return (change, file, name) for each row of the table; the change is empty where a row goes on with one."""
    guide = (ROOT / "docs/change-guide.md").read_text()
    found = [(match["change"].strip(), match["file"], match["name"]) for match in CELLS.finditer(guide)]
    assert len(found) == guide.count("\n|") - 2, "a row is of another form"
    return found


def defined_in_python(text):
    """Return what a module defines at its top level, and as Class.name what its classes define."""
    names = set()
    for node in ast.parse(text).body:
        own = bound(node)
        names |= own
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{name}" for each in node.body for name in bound(each)}
    return names


def bound(node):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def defined_in_config(text):
    """Return the names of the deployments of a Serve config file."""
    return {each["name"] for application in yaml.safe_load(text)["applications"] for each in application["deployments"]}


def names_defined(file):
    text = (ROOT / file).read_text()
    return defined_in_config(text) if file.endswith(".yaml") else defined_in_python(text)


@pytest.mark.parametrize(("file", "name"), [row[1:] for row in rows()])
def test_the_file_defines_the_name(file, name):
    assert name in names_defined(file)


def test_the_guide_has_sixteen_changes():
    changes = [change for change, _, _ in rows() if change]
    assert len(changes) == len(set(changes)) == 16


@pytest.mark.parametrize("name", ["Limits.max_steps", "max_inference_steps", "Limit"])
def test_a_name_that_is_not_defined_would_be_found(name):
    assert name not in names_defined("deployments/config.py")
