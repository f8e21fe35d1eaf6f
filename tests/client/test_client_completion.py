"""The completion scripts in the shells that they are for, and the suggestion for a word that is mistyped."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from retouch.cli.main import main

Capture = pytest.CaptureFixture[str]
COMPLETE = """\
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_shtab_retouch
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str, tmp_path: Path, capsys: Capture) -> Path:
    assert main(["completion", shell]) == 0
    path = tmp_path / f"retouch.{shell}"
    path.write_text(capsys.readouterr().out)
    return path


def offered(words: Sequence[str], tmp_path: Path, capsys: Capture) -> set[str]:
    """What bash offers for the last one of `words`."""
    command = ["bash", "-c", COMPLETE, "bash", script("bash", tmp_path, capsys), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["retouch", ""], {"edit", "remove", "locate", "score", "batch", "completion"}),
        (["retouch", "comp"], {"completion"}),
        (["retouch", "completion", ""], {"bash", "zsh", "fish"}),
        (["retouch", "edit", "--tar"], {"--target"}),
        (["retouch", "edit", "a.jpg", "a lemon", "--fill-"], {"--fill-method"}),
        (["retouch", "edit", "a.jpg", "a lemon", "--fill", ""], {"noise", "original", "blur"}),
        (["retouch", "batch", "--work"], {"--workers"}),
        (["retouch", "edit", "pict"], {"picture.jpg"}),
        (["retouch", "edit", "picture.jpg", "a lemon", "--mask", "pict"], {"picture.jpg"}),
    ],
)
def test_bash_completes(words: list[str], expected: set[str], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "picture.jpg").touch()
    assert offered(words, tmp_path, capsys) == expected


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish_completes(tmp_path: Path, capsys: Capture) -> None:
    path = script("fish", tmp_path, capsys)
    for words, expected in (("retouch comp", "completion"), ("retouch edit a.jpg lemon --fill no", "noise")):
        code = f"source {path}; complete --do-complete '{words}'"
        done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True)
        assert expected in done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_its_shell(shell: str, tmp_path: Path, capsys: Capture) -> None:
    path = script(shell, tmp_path, capsys)
    assert "--fill-method" in path.read_text() or "fill-method" in path.read_text()
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    subprocess.run([shell, "-n", path], check=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_holds_nothing_of_the_environment(
    shell: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETOUCH_API_KEY", "sk-environment")
    monkeypatch.setenv("RETOUCH_URL", "no address at all")
    text = script(shell, tmp_path, capsys).read_text()
    assert "sk-environment" not in text
    assert "no address at all" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["edti", "a.jpg", "a lemon"], "did you mean edit? See retouch --help)"),
        (["edit", "a.jpg", "a lemon", "--traget", "b"], "--traget b (did you mean --target? See retouch edit --help)"),
        (["edit", "a.jpg", "a lemon", "--sede=3"], "--sede=3 (did you mean --seed? See retouch edit --help)"),
        (["edit", "a.jpg", "a lemon", "--num-inference-steps", "3"], "did you mean --steps? See retouch edit --help)"),
        (["edit", "a.jpg", "a lemon", "--fill", "nois"], "did you mean noise? See retouch edit --help)"),
        (["batch", "photos", "a lemon", "--worker", "3"], "did you mean --workers? See retouch batch --help)"),
        (["completion", "fsh"], "did you mean fish? See retouch completion --help)"),
        (["edit", "a.jpg", "a lemon", "--xyz"], "unrecognized arguments: --xyz (see retouch edit --help)"),
        (["edit", "a.jpg", "a lemon", "more"], "unrecognized arguments: more (see retouch edit --help)"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(words: list[str], said: str, capsys: Capture) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(f"{said}\n")
    assert err.count("\n") == 1
