"""What the README says is so."""

from __future__ import annotations

import re
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import retouch
from retouch.cli.batch.report import COLUMNS
from retouch.cli.main import main


def blocks(client_folder: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (client_folder / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_python_runs(
    service: Any, client_folder: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    transport = httpx.MockTransport(service)
    monkeypatch.chdir(photo.parent)
    for name in ("Retouch", "AsyncRetouch"):
        monkeypatch.setattr(retouch, name, partial(getattr(retouch, name), transport=transport))
    exec(compile(blocks(client_folder, "python")[number], "README.md", "exec"), {"__name__": "__main__"})
    assert len(service.seen) == (7, 1, 2)[number]
    assert service.seen[0].texts["target"] == "the apple"


def test_there_is_no_other_python(client_folder: Path) -> None:
    assert len(blocks(client_folder, "python")) == 3


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_sessions_look_like_that(
    service: Any,
    client_folder: Path,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    command, session = blocks(client_folder, "console")[number].split("\n", 1)
    monkeypatch.chdir(photo.parent)
    (photo.parent / "photos").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shutil.copy(photo, photo.parent / "photos" / name)
    assert service.run(*shlex.split(command)[2:]) == 0
    told, shown = (re.sub(r"[\d.,]+", "#", text) for text in (session, capsys.readouterr().out))
    assert re.sub(" +", " ", told) == re.sub(" +", " ", shown)


def test_there_are_no_other_sessions(client_folder: Path) -> None:
    assert len(blocks(client_folder, "console")) == 3


def test_the_options_exist(client_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("edit", "remove", "locate", "score", "batch"):
        main([command, "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    told = set(re.findall(r"`(--[a-z-]+)", (client_folder / "README.md").read_text()))
    assert told
    assert told <= known


def test_the_table_of_edits_can_be_read(service: Any, client_folder: Path, photo: Path) -> None:
    (text,) = blocks(client_folder, "csv")
    table = photo.with_name("rows.csv")
    table.write_text(text)
    for name in ("kitchen.jpg", "table.jpg"):
        shutil.copy(photo, photo.with_name(name))
    assert service.run("batch", table, "a fig", "--workers", 1) == 0
    assert [seen.texts["prompt"] for seen in service.seen] == ["a lemon", "a pear", "a fig"]
    assert [seen.texts.get("points") for seen in service.seen] == [None, "325,165; 80,200", None]


def test_the_columns_of_the_results_are_those(client_folder: Path) -> None:
    text = (client_folder / "README.md").read_text()
    assert all(f"`{name}`" in text for name in COLUMNS)
