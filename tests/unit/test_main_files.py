"""The files that `main.py` reads and writes, and the sentences that say where it cannot."""

import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest

import main
from deployments.launch import one_shot
from deployments.messages import Edit, EditRequest, EditResult, Location
from deployments.pixels.files import encode

IMAGE = np.zeros((32, 48, 3), np.uint8)


@pytest.fixture(autouse=True)
def no_graph(monkeypatch):
    """Nothing may start."""

    def refuse(*args):
        raise AssertionError("the graph was started")

    monkeypatch.setattr(one_shot, "running", refuse)


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(encode(IMAGE))
    return path


def complaints(capsys, image, output):
    """Return the lines of standard error for an edit that must fail before anything starts."""
    assert main.main(["--image", str(image), "--output_dir", str(output), "--target", "x", "--prompt", "y"]) == 1
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.png", "No such file or directory"),
        ("folder", "Is a directory"),
        ("scene.png/x.png", "Not a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named_with_its_flag(scene, capsys, tmp_path, name, why):
    (tmp_path / "folder").mkdir()
    image = tmp_path / name
    assert complaints(capsys, image, tmp_path / "out") == [f"error: --image {image} cannot be read: {why}."]


def test_a_picture_that_may_not_be_read_is_named_with_its_flag(scene, capsys, tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert complaints(capsys, scene, tmp_path / "out") == [f"error: --image {scene} cannot be read: Permission denied."]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("scene.png", "it is a file, not a folder"),
        ("scene.png/out", "Not a directory"),
        ("new/" + "x" * 300, "File name too long"),
    ],
)
def test_an_output_folder_that_cannot_be_written_is_named_with_its_flag(scene, capsys, tmp_path, name, why):
    output = tmp_path / name
    assert complaints(capsys, scene, output) == [f"error: --output_dir {output} cannot be written: {why}."]
    assert [path.name for path in tmp_path.iterdir()] == ["scene.png"]


def test_a_result_that_can_be_saved_nowhere_is_said_without_a_number_of_the_system(tmp_path, monkeypatch, capsys):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = Location("x", "x", (3, 4), 0.9, 1.0, True, None)
    mask = np.zeros((32, 48), bool)
    result = EditResult((Edit(IMAGE, 7, None, 1.0),), found, mask, "replace", None, 1, 3.0, 0, True)
    with pytest.raises(OSError, match=r"^The temporary folder \S+ cannot be written: No space left on device\.$"):
        main.save(EditRequest(IMAGE, "y"), result, tmp_path / "out")
    said = f"error: --output_dir {tmp_path / 'out'} cannot be written: No space left on device.\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("text", ["soon", "0", "nan", "inf"])
def test_a_time_limit_that_is_none_is_refused_in_words(capsys, text):
    with pytest.raises(SystemExit) as caught:
        main.parse(["--image", "x.png", "--prompt", "y", "--timeout_s", text])
    assert caught.value.code == 2
    assert f"--timeout_s: {text!r} is not a number of seconds above 0" in capsys.readouterr().err
