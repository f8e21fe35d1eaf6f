"""`python main.py`: the seed's flags, its three files and its two printed lines; and what it leaves behind."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import main
from deployments.launch import one_shot, session
from deployments.serving.status import StageStatus

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.usefixtures("ray_cluster")


def read(path):
    return np.asarray(Image.open(path))


@pytest.fixture
def flags(png, tmp_path):
    """The flags of a small edit of the scene; results go to tmp_path/out."""
    (tmp_path / "scene.png").write_bytes(png)
    paths = ["--image", str(tmp_path / "scene.png"), "--output_dir", str(tmp_path / "out")]
    return [*paths, "--prompt", "a lemon", "--target", "the cactus", "--num_inference_steps", "6", "--seed", "3"]


@pytest.fixture
def no_graph(monkeypatch):
    """Nothing may start."""

    def refuse(*args):
        raise AssertionError("the graph was started")

    monkeypatch.setattr(one_shot, "running", refuse)


@pytest.fixture
def running_graph(handle, monkeypatch):
    """The suite's graph in the place of one that is started for each command; it remembers what it was built with."""
    import graph

    built = []
    monkeypatch.setattr(graph, "build", lambda args, settings: built.append(settings))

    @contextmanager
    def running(application, own_ray, on_start):
        for _ in range(2):
            on_start({"sam": StageStatus(False, 0, lacks="it needs a GPU"), "clip": StageStatus(True, 1)})
            time.sleep(0.2)  # a start is seen for a while: the bar is drawn ten times a second
        yield handle

    monkeypatch.setattr(one_shot, "running", running)
    return built


def left_behind():
    """Actors of a one-shot's application in the suite's Ray."""
    import ray

    named = [entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True)]
    return [name for name in named if "retouch-once" in name]


def test_one_picture_one_command(flags, scene, masks, tmp_path, capsys):
    models = ["--sam_ckpt", "pocket", "--clip_model", "pocket", "--sd_model", "pocket", "--guidance_scale", "5"]
    assert main.main(flags + models) == 0
    assert not left_behind()
    lines = capsys.readouterr().out.splitlines()
    x, y = map(int, re.match(r"CLIP point: \((\d+), (\d+)\)", lines[0]).groups())
    assert masks["cactus"][y, x]
    assert -1 <= float(re.match(r"CLIP score: (-?[\d.]+)", lines[1]).group(1)) <= 1
    original, mask, edited = (read(tmp_path / "out" / f"{name}.png") for name in ("original", "sam_mask", "edited"))
    assert (original == scene.image).all()
    assert set(np.unique(mask)) == {0, 255}
    assert (edited[mask == 0] == original[mask == 0]).all()
    assert (edited[mask == 255] != original[mask == 255]).any()


@pytest.mark.usefixtures("running_graph")
def test_nothing_found_is_an_error_not_a_picture(flags, tmp_path, capsys):
    assert main.main([*flags, "--target", "the sailboat"]) == 1
    assert "Found nothing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("running_graph")
def test_a_bar_shows_stage_and_step_on_a_terminal(flags, monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as rich calls a terminal
    monkeypatch.setenv("COLUMNS", "120")
    assert main.main([*flags, "--num_inference_steps", "40"]) == 0
    shown = capsys.readouterr().err
    assert "Starting sam" in shown
    assert "1/2" in shown
    assert len(re.findall(r"clip runs after \d+\.\d s\.", shown)) == 1
    assert shown.count("sam cannot start yet: it needs a GPU.") == 1
    assert "Painting 'a lemon'" in shown
    assert re.search(r"\b\d+/40\b", shown)


def test_a_deadline_is_set_only_by_a_flag(flags, running_graph):
    assert main.main([*flags, "--timeout_s", "90"]) == 0
    assert main.main(flags) == 0
    assert [settings["deadline_s"] for settings in running_graph] == [90, None]


@pytest.mark.usefixtures("no_graph")
def test_a_bad_picture_fails_before_anything_starts(flags, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no picture")
    assert main.main([*flags, "--image", str(tmp_path / "notes.txt")]) == 1
    assert "PNG" in capsys.readouterr().err
    assert main.main([*flags, "--image", str(tmp_path / "none.png")]) == 1
    assert "none.png" in capsys.readouterr().err


@pytest.mark.usefixtures("no_graph")
def test_models_that_cannot_be_loaded_are_named_by_flag_and_setting_before_anything_starts(
    flags, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(session, "joins_a_cluster", lambda: False)
    (tmp_path / "text.pth").write_text("weights? no")
    (tmp_path / "empty").mkdir()
    models = [
        "--sam_ckpt",
        str(tmp_path / "text.pth"),
        "--clip_model",
        "/nope/clip",
        "--sd_model",
        str(tmp_path / "empty"),
    ]
    assert main.main(flags + models) == 1
    lines = capsys.readouterr().err.splitlines()
    for start in ("--clip_model (clip.model): ", "--sam_ckpt (sam.model): ", "--sd_model (inpaint.model): "):
        assert sum(line.startswith("error: " + start) for line in lines) == 1, lines
    assert any("'/nope/clip'" in line for line in lines)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_graph")
@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nothing"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(flags, tmp_path, capsys, place):
    (tmp_path / "file").touch()
    assert main.main([*flags, "--output_dir", str(tmp_path / place)]) == 1
    assert "--output_dir" in capsys.readouterr().err


def test_what_only_a_replica_finds_out_reaches_the_terminal(flags, tmp_path, capsys):
    import torch

    from deployments.config import POCKET_WEIGHTS

    state = torch.load(POCKET_WEIGHTS / "sam.pth", weights_only=True)
    state["image_encoder.neck.2.weight"] = torch.zeros(1, 1, 3, 3)  # every name is right, and one shape is not
    torch.save(state, tmp_path / "bent.pth")
    assert main.main([*flags, "--sam_ckpt", str(tmp_path / "bent.pth")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: --sam_ckpt (sam.model): ")
    assert "bent.pth" in error
    assert not left_behind()


@pytest.mark.usefixtures("running_graph")
def test_a_result_that_cannot_be_saved_where_it_should_is_not_lost(flags, tmp_path, capsys, monkeypatch):
    rescue = tmp_path / "rescue"
    rescue.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(rescue))
    (tmp_path / "out" / "edited.png").mkdir(parents=True)
    assert main.main(flags) == 1
    shown = capsys.readouterr()
    assert "cannot be written" in shown.err
    (folder,) = rescue.iterdir()
    assert str(folder) in shown.err
    assert read(folder / "edited.png").shape == (256, 320, 3)
    assert shown.out.startswith("CLIP point")


def test_wrong_use_is_refused(flags, capsys):
    for wrong in (["--pormpt", "a lemon"], ["--timeout_s", "0"], ["--timeout_s", "nan"]):
        with pytest.raises(SystemExit) as caught:
            main.main(flags[2:] + wrong)
        assert caught.value.code == 2
        assert "--prompt" in capsys.readouterr().err


@pytest.mark.usefixtures("no_graph")
@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--num_inference_steps", "0"),
        ("--guidance_scale", "-1"),
        ("--strength", "0.001"),
        ("--candidate", "-3"),
        ("--seed", "-5"),
        ("--target", "x" * 3000),
    ],
)
def test_what_the_driver_would_refuse_is_refused_before_anything_starts(flags, capsys, flag, value):
    assert main.main([*flags, f"{flag}={value}"]) == 1
    assert flag.removeprefix("--") in capsys.readouterr().err


@pytest.mark.parametrize("ending", [TimeoutError("Serve does not answer"), KeyboardInterrupt()], ids=repr)
def test_a_result_is_saved_whatever_happens_while_the_graph_is_stopped(flags, tmp_path, handle, monkeypatch, ending):
    @contextmanager
    def running(application, own_ray, on_start):
        yield handle
        raise ending

    monkeypatch.setattr(one_shot, "running", running)
    assert main.main(flags) in (1, 130)
    assert (tmp_path / "out" / "edited.png").is_file()


def test_alone_on_a_machine_it_says_nothing_but_its_own_lines(flags, tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "main.py", *flags], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "edited.png").is_file()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in done.stderr.splitlines()), done.stderr


# A cluster of somebody else's. Serve runs there if SERVE is set. With STOP the command is terminated while it paints.
CLUSTER = """
import os, signal, subprocess, sys, time
import ray
from ray import serve

ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=128 * 2**20, log_to_driver=False)
if os.environ.get("SERVE"):
    serve.start(http_options={"port": int(os.environ["SERVE"])})
actors = lambda: sorted(entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True))
before = actors()
os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
command = subprocess.Popen([sys.executable, "main.py", *sys.argv[1:]], stderr=subprocess.PIPE, text=True)
for line in command.stderr:
    print(line, end="", flush=True)
    if os.environ.get("STOP") and "Looking for" in line:
        time.sleep(1)
        command.send_signal(signal.SIGTERM)
print("CODE", command.wait())
print("LEFT", sorted(set(actors()) ^ set(before)))
"""


@pytest.mark.parametrize(("serve_runs", "stopped"), [(False, False), (True, True)])
def test_on_a_running_cluster_nothing_is_left_behind(flags, tmp_path, serve_runs, stopped):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "RAY_ADDRESS": "", "PYTHONPATH": str(ROOT)}
    environment |= ({"SERVE": str(port)} if serve_runs else {}) | ({"STOP": "1"} if stopped else {})
    steps = ["--num_inference_steps", "150"] if stopped else []
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, *flags, *steps],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"CODE {130 if stopped else 0}" in done.stdout, done.stdout
    assert "LEFT []" in done.stdout, done.stdout
    assert (tmp_path / "out" / "edited.png").is_file() is not stopped
