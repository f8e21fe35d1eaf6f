"""`serve run`: what keeps a replica from starting can be read on the terminal, in one line that names the setting."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

APP = """
from deployments.config import GraphArgs
from graph import build_app

app = build_app(GraphArgs.model_validate({"sam": {"model": "/nowhere/sam.pth"}}))
"""


def test_the_cause_reaches_the_terminal(tmp_path):
    (tmp_path / "nowhere.py").write_text(APP)
    done = subprocess.run(
        [Path(sys.executable).parent / "serve", "run", "--app-dir", tmp_path, "nowhere:app"],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local", "PYTHONPATH": f"{ROOT}:{tmp_path}"},  # a Ray of its own
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    lines = [line for line in done.stdout.splitlines() if "sam cannot start: sam.model: there is no file" in line]
    assert lines
    assert all("'/nowhere/sam.pth'" in line for line in lines)
