"""A peer's server as a group of processes of its own, which sleep while somebody else is measured."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
from pydantic import BaseModel, ConfigDict

from benchmarks.callers import Caller
from deployments.config import GraphArgs

START_S = 600
END_S = 60
END_GROUP = "import os, sys; os.read(0, 1); os.killpg(int(sys.argv[1]), 9)"
# The libraries report nothing to anybody either, and print only errors.
QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONWARNINGS": "ignore",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
}


class PeerOrder(BaseModel):
    """Which models the server has, how many workers with how many threads each, and how many requests share a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    args: GraphArgs
    workers: int
    threads: int
    batch: int = 1
    port: int = 0


def installed() -> bool:
    """Return whether LitServe is here: the `bench` extra installs it."""
    return importlib.util.find_spec("litserve") is not None


def orders(args: GraphArgs) -> dict[str, PeerOrder]:
    """Return the peers by name: all cores for one worker, shared between two, and one that batches whole requests."""
    cores = len(os.sched_getaffinity(0))
    half = max(1, cores // 2)
    return {
        "LitServe, 1 worker": PeerOrder(args=args, workers=1, threads=cores),
        "LitServe, 2 workers": PeerOrder(args=args, workers=2, threads=half),
        "LitServe, 1 worker, batches of 8": PeerOrder(args=args, workers=1, threads=cores, batch=8),
    }


class Peer:
    """A server that runs only while it is awake: an idle LitServe that batches polls its queue all the time."""

    def __init__(self, order: PeerOrder) -> None:
        port = _free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.litserve_peer",
                order.model_copy(update={"port": port}).model_dump_json(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **QUIET, "OMP_NUM_THREADS": str(order.threads)},
            start_new_session=True,
        )
        # Sleeping processes cannot see that the benchmark was killed: the end of this pipe's other side ends them all.
        end = [sys.executable, "-ISc", END_GROUP, str(self._process.pid)]
        self._guard = subprocess.Popen(end, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        self._signal(signal.SIGSTOP)

    def _wait_until_ready(self) -> None:
        """LitServe is well once all its workers have loaded their models."""
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self._url}/health").is_success:
                    return
            time.sleep(0.5)
        raise RuntimeError("LitServe does not start; its own words are above.")

    @contextmanager
    def awake(self) -> Iterator[Caller]:
        """Let the server run while the block does."""
        self._signal(signal.SIGCONT)
        caller = Caller(self._url)
        try:
            yield caller
        finally:
            caller.close()
            self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """End the server and all its workers."""
        self._signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self._guard.communicate()
        self._process.wait()


@contextmanager
def peers(wanted: dict[str, PeerOrder]) -> Iterator[dict[str, Peer]]:
    """Start the peers that are wanted, all asleep, and end them with the block."""
    with ExitStack() as stack:
        started = {}
        for name, order in wanted.items():
            started[name] = Peer(order)
            stack.callback(started[name].close)
        yield started


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
