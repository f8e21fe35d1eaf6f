"""One process that has imported what the replicas need, and of which Ray's workers are forked.

To import torch, transformers and diffusers takes a core five seconds, and most of that again in each replica. On two
cores that is half the start of a graph. Here it is paid once, while Ray itself starts, and the replicas share the
memory. Ray is told by `runtime_env.py_executable` to start `as_worker.py` for a worker.

    python -m deployments.launch.preloaded FILE-NUMBER-OF-A-SOCKET LIBRARY ...
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# None of them imports Ray, which reads the environment of a worker when it is imported.
LIBRARIES = ("deployments.sam.model", "deployments.clip.model", "deployments.inpaint.engine", "fastapi")
GPUS = Path("/dev/nvidiactl")


def can_fork() -> bool:
    """Return whether workers may be forked on this machine: not of a process whose libraries have looked at a GPU."""
    return sys.platform == "linux" and not GPUS.exists()


@contextmanager
def preloaded(libraries: Sequence[str] = LIBRARIES) -> Iterator[str]:
    """Start the process, and yield the command that is used as `python` is and runs a script in a fork of it.

    It does not wait for the imports: the forks do.
    """
    with tempfile.TemporaryDirectory(prefix="retouch-") as folder:
        place = f"{folder}/workers"
        with socket.create_server(place, family=socket.AF_UNIX) as door:  # here: nobody may come too early
            process = _start(door.fileno(), libraries)
        with process:
            try:
                worker = Path(__file__).with_name("as_worker.py")
                yield shlex.join([sys.executable, "-I", "-S", str(worker), place])
            finally:
                process.kill()


def _start(door: int, libraries: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "deployments.launch.preloaded", str(door), *libraries],
        # One thread within an operator, as Ray gives a replica that has no more than a CPU.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        pass_fds=[door],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this program, which ends the workers in order
    )


def serve(door: socket.socket, libraries: Sequence[str]) -> None:
    """Import the libraries, and fork a worker for each who asks at the `door`, until standard input ends."""
    gc.disable()
    for name in libraries:
        importlib.import_module(name)
    gc.freeze()  # a search for garbage in a fork would copy all their pages
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for the end of a worker
    while not select.select([door, sys.stdin], [], [])[0].count(sys.stdin):
        line, _ = door.accept()
        if os.fork() == 0:
            door.close()
            become(line)
        line.close()


def become(line: socket.socket) -> None:
    """Turn this process into the one that is asked for at the other end of `line`."""
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(line, 8, 3)
    asked = json.loads(line.makefile("rb").read(int.from_bytes(size, "big")))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["command"]
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
