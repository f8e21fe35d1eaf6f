"""Workers forked of one process that has imported their libraries."""

import os
import shlex
import subprocess
import sys
import time

import pytest

from deployments.launch.preloaded import can_fork, preloaded

pytestmark = pytest.mark.skipif(not can_fork(), reason="workers are forked on Linux, and not beside a GPU")

REPORT = """
import json, os, sys
there = "colorsys" in sys.modules
print(json.dumps([there, __name__, sys.argv[1:], os.getcwd(), os.environ.get("WORKER"), sys.stdin.read()]))
print("heard", file=sys.stderr)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "report.py"
    path.write_text(REPORT)
    return path


def run(python, script, folder):
    return subprocess.run(
        [*shlex.split(python), str(script), "-x", "two words"],
        cwd=folder,
        env={**os.environ, "WORKER": "7"},
        input="said",
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_script_runs_as_in_a_python_of_its_own_with_the_libraries_there(script, tmp_path):
    with preloaded(["colorsys"]) as python:
        done = [run(python, script, tmp_path) for _ in range(2)]
    for one in done:
        assert one.stdout == f'[true, "__main__", ["-x", "two words"], "{tmp_path}", "7", "said"]\n', one.stderr
        assert one.stderr == "heard\n"


def test_without_the_process_a_script_runs_all_the_same(script, tmp_path):
    with preloaded([]) as python:
        pass
    done = run(python, script, tmp_path)
    assert done.stdout == f'[false, "__main__", ["-x", "two words"], "{tmp_path}", "7", "said"]\n', done.stderr


def test_whoever_starts_a_worker_can_wait_for_its_end(tmp_path):
    (tmp_path / "slow.py").write_text("import sys; print(1, flush=True); sys.stdin.read(); print(2)")
    with preloaded(["colorsys"]) as python:
        worker = subprocess.Popen(
            [*shlex.split(python), str(tmp_path / "slow.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with worker:
            assert worker.stdout.readline() == "1\n"
            assert worker.poll() is None
            worker.stdin.close()
            assert worker.stdout.readline() == "2\n"
            assert worker.wait(60) == 0


def test_it_ends_with_the_program_that_started_it():
    program = (
        "from deployments.launch.preloaded import preloaded\nimport os, subprocess, sys\n"
        "started = subprocess.Popen\n"
        "class Popen(started):\n"
        "    def __init__(self, *a, **k):\n"
        "        super().__init__(*a, **k); print(self.pid, flush=True)\n"
        "subprocess.Popen = Popen\n"
        "with preloaded([]): os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    for _ in range(600):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("it is still there")
