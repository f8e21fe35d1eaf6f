"""Every example of the documents does what it says, in front of the real service with the pocket models.

Each runs alone in a folder of its own, since a reader copies one. Those that need Ray: tests/serve/test_serve_docs.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.check_config.__main__ import main as check_config
from tests.docs.examples import PAGES, ROOT, Example, as_parameters, examples
from tests.docs.reader import at, missing, not_printed

KINDS = {"python", "console", "yaml", "csv"}


def alone(kind: str) -> list[Any]:
    return as_parameters(each for each in examples([kind]) if not each.not_run and not each.needs_cluster)


@pytest.mark.parametrize("example", alone("python"))
def test_the_python_runs_and_writes_what_it_says(server: str, clone: Path, example: Example) -> None:
    exec(compile(at(example.text, server), example.place, "exec"), {"__name__": "__main__"})
    assert missing(clone, example) == []


@pytest.mark.parametrize("example", alone("console"))
def test_the_commands_print_and_write_what_they_say(server: str, clone: Path, example: Example) -> None:
    for command, shown in example.turns:
        status, output = typed(at(command, server))
        assert status == 0, output
        assert not re.search(r'"error": ?{', output)  # in a stream, which has begun as a success
        assert not_printed(shown, output) == []
    assert missing(clone, example) == []


def typed(command: str) -> tuple[int, str]:
    """Return the exit status of a command and what it printed. What takes too long is ended with all it has started."""
    bash = ["bash", "-euo", "pipefail", "-c", command]
    started = subprocess.Popen(
        bash, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = started.communicate(timeout=120)
    finally:
        if started.returncode is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.communicate()
    return started.returncode, output


@pytest.mark.parametrize("example", as_parameters(examples(["yaml"])))
def test_the_settings_are_accepted_in_a_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], example: Example
) -> None:
    """In the place of those of `serve_config.yaml`."""
    shown, config = yaml.safe_load(example.text), yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    (application,) = config["applications"]
    assert set(shown) <= {"args", "deployments"}
    application["args"] |= shown["args"]
    for deployment in shown.get("deployments", []):
        (own,) = [each for each in application["deployments"] if each["name"] == deployment["name"]]
        own["user_config"] = own.get("user_config", {}) | deployment["user_config"]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    assert check_config([str(path)]) == 0, capsys.readouterr()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_kind_that_is_tested(page: str) -> None:
    """Or it is a drawing, which has neither commands nor code."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.S | re.M)
    assert {kind for kind, _ in blocks} <= KINDS | {""}
    assert [text for kind, text in blocks if kind == "" and re.search(r"^(\$ |import |from )", text, re.M)] == []
    assert all(example.turns for example in examples(["console"], [page]))


def test_what_is_not_run_says_why(record_property: Any) -> None:
    left_out = {each.place: each.not_run for each in examples(sorted(KINDS)) if each.not_run}
    for place, why in left_out.items():
        record_property(place, why)
        assert len(why.split()) > 3, place
        assert [path for path in re.findall(r"tests/[\w/]+\.py", why) if not (ROOT / path).is_file()] == []
    marked = sum((ROOT / page).read_text().count("<!-- not run: ") for page in PAGES)
    assert len(left_out) == marked, "a mark stands before nothing"
