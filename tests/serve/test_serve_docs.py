"""The examples of the documents that start a graph or hold a handle, on the pocket graph in real Ray."""

import re
import shlex
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

import main
from deployments.launch import one_shot
from tests.docs.examples import ROOT, as_parameters, examples
from tests.docs.reader import make_clone, missing, not_printed

NEED_RAY = [each for each in examples(["python", "console"]) if each.needs_cluster and not each.not_run]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    return make_clone(tmp_path, monkeypatch)


@pytest.fixture
def running_graph(handle, monkeypatch):
    """The suite's graph in the place of one that is started for each command."""

    @contextmanager
    def running(application, own_ray, on_start):
        yield handle

    monkeypatch.setattr(one_shot, "running", running)


def arguments(command):
    """The arguments of `main.py`, which the command calls itself or by a target of the Makefile."""
    if command.startswith("make "):
        target = shlex.split(command, comments=True)[1]
        recipe = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        (command,) = re.findall(r"^\S+ main\.py (?:.*\\\n)*.*$", recipe, re.M)
    program, script, *rest = shlex.split(command.replace("\\\n", " "))
    assert (Path(program).name, script) == ("python", "main.py")
    return rest


@pytest.mark.usefixtures("handle")
@pytest.mark.parametrize("example", as_parameters(each for each in NEED_RAY if each.kind == "python"))
def test_the_handle_answers_as_the_documents_say(clone, example):
    exec(compile(example.text, example.place, "exec"), {"__name__": "__main__"})
    assert missing(clone, example) == []


@pytest.mark.usefixtures("running_graph")
@pytest.mark.parametrize("example", as_parameters(each for each in NEED_RAY if each.kind == "console"))
def test_the_commands_without_a_server_print_and_write_what_they_say(clone, capfd, example):
    for command, shown in example.turns:
        assert main.main(arguments(command)) == 0
        printed = capfd.readouterr()
        assert not_printed(shown, printed.out + printed.err) == []
    assert missing(clone, example) == []
