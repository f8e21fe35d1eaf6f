"""`make gpu-check` rehearsed on a CPU with tiny models: every section runs to its end and writes what it found."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.gpu_check.results import Results

ROOT = Path(__file__).parent.parent.parent
ABSENT = ("ray", "starlette", "fastapi", "msgpack", "openvino")  # on the machine that it is for
FIGURES = {
    "steps": {"step, eager, float16: ms of 2 rows", "UNet FLOP/s over a matmul's, bfloat16, 16 rows"},
    "exactness": {
        f"exactness, {way}: {what}"
        for way in ("float16", "float16, contiguous", "bfloat16", "float32, no TF32")
        for what in ("numbers of a row that company changes", "kinds of operators whose rows differ by place")
    },
    "batches": {
        f"{name}, {size} together over one by one"
        for name in ("CLIP score", "CLIP locate", "SAM encode")
        for size in (8, 16)
    },
    "shares": {"processes that worked again after each had wanted more than its share"},
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
    "compiled": {
        "step, repeated blocks compiled: over eager, 16 rows",
        "step, compiled, 2 rows: over eager, 2 rows",
        "step, compiled, 16 rows: over eager, 16 rows",
    },
    "compiled-tests": {"tests on the device that failed"},
}


def run(folder):
    """Runs the script where what the machine lacks cannot be imported."""
    hidden = folder / "hidden"
    hidden.mkdir()
    # Python runs this at each of its starts. To look for a module that is None there is to find none.
    (hidden / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({ABSENT}))\n")
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--device", "cpu", "--tiny", "--dtype", "float32"]
    command += [
        "--backend",
        "eager",
        "--budget-s",
        "600",
        "--out",
        str(folder / "out"),
        "--sections",
        ",".join(FIGURES),
    ]
    environment = os.environ | {"PYTHONPATH": f"{hidden}:{ROOT}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)


def test_every_section_writes_its_figures(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    sections = json.loads((tmp_path / "out" / "gpu-check.json").read_text())["sections"]
    assert [section["name"] for section in sections] == list(FIGURES)
    table = (tmp_path / "out" / "gpu-check.md").read_text()
    for section in sections:
        assert section["status"] == "done"
        made = {figure["what"]: figure["value"] for figure in section["figures"]}
        assert FIGURES[section["name"]] <= made.keys()
        assert all(map(math.isfinite, made.values())), made
        assert all(what in table for what in made)
        assert made.get("latents that differ from the solo run, among seven neighbours, same bucket", 0) == 0


def test_a_section_that_fails_says_why_and_keeps_what_it_had_found(tmp_path):
    results = Results(tmp_path, "cpu", {})
    with results.section("first") as section:
        results.keep(section, Figure("found in time", (1.0,)))
        raise RuntimeError("the card is gone")
    with results.section("second") as section:
        results.keep(section, Figure("found later", (2.0,)))
    first, second = json.loads((tmp_path / "gpu-check.json").read_text())["sections"]
    assert (first["status"], second["status"]) == ("failed", "done")
    assert "the card is gone" in first["error"]
    assert [figure["what"] for figure in (*first["figures"], *second["figures"])] == ["found in time", "found later"]
    table = (tmp_path / "gpu-check.md").read_text()
    assert all(text in table for text in ("found in time", "the card is gone", "found later"))
