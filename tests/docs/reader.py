"""What a reader has before the first example: a clone of the project, pictures of their own, and a terminal in it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocket import world
from pocket.vocabulary import BY_NAME
from tests.docs.examples import ROOT, Example

SERVICE = "http://127.0.0.1:8000"
APPLES = (280, 120, 90), (40, 160, 80), (170, 30, 70)  # left, top, side

WRITTEN_BY_PYTHON = re.compile(
    r'\.save\("([\w.-]+)"\)(?:\s+# ([\w.-]+(?:, [\w.-]+)*)$)?|Path\("([\w.-]+)"\)\.write', re.M
)
WRITTEN_BY_COMMANDS = re.compile(r"(?:-o|>|--masks-out|--output_dir)\s+(\S+)")
NUMBER = re.compile(r"[+-]?\d[\d.,]*")
ROW = re.compile(r"[> ]*\d+ ")  # of a table: its rows are those of the very picture


def photo() -> Image.Image:
    """Return a picture with three apples, two of them where the README of the client points."""
    image = np.tile(np.linspace(150, 220, 300)[:, None, None], (1, 420, 3)).astype(np.uint8)
    for left, top, side in APPLES:
        ink = world.sticker_image(BY_NAME["red apple"]).resize((side, side))
        world.paste(image, np.array(ink), (left, top, left + side, top + side))
    return Image.fromarray(image)


def make_clone(home: Path, monkeypatch: pytest.MonkeyPatch, service: str = SERVICE) -> Path:
    """Return a folder like a clone, the new working directory. What is in it leads by links to the project.

    `service` is where the command `retouch` finds the service.
    """
    clone = home / "clone"
    (clone / "photos").mkdir(parents=True)
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".venv", "outputs"):
            (clone / entry.name).symlink_to(entry)
    (clone / ".venv").symlink_to(sys.prefix)
    for name in ("photo", "kitchen", "table", "photos/a", "photos/b", "photos/c"):
        photo().save(clone / f"{name}.jpg", quality=95)
    shutil.copy(ROOT / "docs/demo/scene.png", clone / "photo.png")
    shutil.copy(ROOT / "serve_config.yaml", clone / "my_config.yaml")
    (home / ".config/fish/completions").mkdir(parents=True)
    (home / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")  # by itself curl takes a refusal for success
    for name in [name for name in os.environ if name.startswith(("RETOUCH_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RETOUCH_URL", service)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "client")]))
    monkeypatch.chdir(clone)
    return clone


def at(text: str, service: str) -> str:
    """Return an example with another service in the place of the one that it names, or takes without naming any."""
    return text.replace(SERVICE, service).replace("Retouch()", f'Retouch("{service}")')


def missing(clone: Path, example: Example) -> list[str]:
    """Return which of the files that the example says it writes are not there, or are no pictures."""
    names: list[str] = []
    if example.kind == "python":
        for name, inside, written in WRITTEN_BY_PYTHON.findall(example.text):
            names += [f"{name}/{each}" for each in inside.split(", ")] if inside else [name or written]
    else:
        names += WRITTEN_BY_COMMANDS.findall(example.commands)
    return [name for name in names if not is_written(clone / name.replace("~", ".."))]


def is_written(path: Path) -> bool:
    """Return whether there is such a file, a whole picture if its name says so, or a folder with something in it."""
    if path.suffix == ".png" and path.is_file():
        with Image.open(path) as picture:
            picture.load()
    return any(path.iterdir()) if path.is_dir() else path.is_file() and path.stat().st_size > 0


def not_printed(shown: Iterable[str], printed: str) -> list[str]:
    """Return the lines of a session that were not printed in this order, whatever their numbers are."""
    lines = iter([outline(line) for line in printed.splitlines()])
    return [line for line in shown if line.strip() and not ROW.match(line) and outline(line) not in lines]


def outline(line: str) -> str:
    return " ".join(NUMBER.sub("#", line).split())
