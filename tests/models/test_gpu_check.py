"""`make gpu-check` rehearsed on a CPU with tiny models: every section runs to its end and writes what it found."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
ABSENT = ("ray", "starlette", "fastapi", "msgpack")  # on the machine that it is for
FIGURES = {
    "steps": {"step, eager, float16: ms of 2 rows", "UNet FLOP/s over a matmul's, bfloat16, 16 rows"},
    "engine": {
        "rows that share a step, as the profile at the start chose",
        "engine: cap 8 over cap 1, saturated images/s",
        "latents that differ from the solo run, among seven neighbours, same bucket",
        "mean latency, mixed steps: engine over request batching",
        "p95 of 10-step jobs in that mix, over the same alone",
        "arrival to first own step, over the current step time, p95",
    },
    "edits": {
        "one caller: an edit over the seed's way",
        "the same picture again: SAM's encoding over the first time",
        "pixels changed outside the mask",
        "8 callers: images/s over the seed's way",
    },
    "batches": {
        f"{name}, {size} together over one by one"
        for name in ("CLIP score", "CLIP locate", "SAM encode")
        for size in (8, 16)
    },
    "shares": {"processes that worked again after each had wanted more than its share"},
    "compiled": {
        "step, repeated blocks compiled: over eager, 16 rows",
        "step, compiled, 2 rows: over eager, 2 rows",
        "step, compiled, 16 rows: over eager, 16 rows",
    },
    "compiled-tests": {"tests on the device that failed"},
}


def run(folder, sections, *options):
    """Runs the script where what the machine lacks cannot be imported."""
    hidden = folder / "hidden"
    for name in ABSENT:
        (hidden / name).mkdir(parents=True)
        (hidden / name / "__init__.py").write_text("raise ImportError('not on this machine')\n")
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--device", "cpu", "--tiny", "--dtype", "float32"]
    command += ["--backend", "eager", "--out", str(folder / "out"), "--sections", ",".join(sections), *options]
    environment = os.environ | {"PYTHONPATH": f"{hidden}:{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    written = json.loads((folder / "out" / "gpu-check.json").read_text())
    return done, {section["name"]: section for section in written["sections"]}


@pytest.mark.parametrize(
    "sections", [("steps", "engine", "edits", "batches"), ("shares", "compiled", "compiled-tests")]
)
def test_every_section_writes_its_figures(tmp_path, sections):
    done, written = run(tmp_path, sections)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(written) == list(sections)
    table = (tmp_path / "out" / "gpu-check.md").read_text()
    for name, section in written.items():
        assert section["status"] == "done"
        made = {figure["what"]: figure["value"] for figure in section["figures"]}
        assert FIGURES[name] <= made.keys()
        assert all(map(math.isfinite, made.values())), made
        assert all(what in table for what in made)
    exact = {figure["what"]: figure["value"] for figure in written.get("engine", {"figures": []})["figures"]}
    assert exact.get("latents that differ from the solo run, among seven neighbours, same bucket", 0) == 0


def test_sections_that_fail_say_why_and_the_next_ones_run(tmp_path):
    done, written = run(tmp_path, ("steps", "batches"), "--budget-s", "0")
    assert done.returncode == 1
    for name in ("steps", "batches"):
        assert written[name]["status"] == "failed"
        assert "no time was left" in written[name]["error"]
