"""A batch that is killed without warning, over a real connection: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import csv
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

ROWS = 12
BEFORE_THE_KILL = 5
WAIT_S = 30


class SlowService:
    """Answers edits over HTTP. After `BEFORE_THE_KILL` answers it holds the others back until `go_on` is set."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self.keys: list[str] = []
        self.is_stuck = threading.Event()
        self.go_on = threading.Event()
        self._turns = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                content = outer.answer(httpx.Request("POST", self.path, headers=dict(self.headers), content=body))
                self.send_response(200)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *about: Any) -> None:
                """Say nothing about a client that was killed before it had its answer."""

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: httpx.Request) -> bytes:
        with self._turns:
            self.keys.append(request.headers["idempotency-key"])
            is_late = len(self.keys) > BEFORE_THE_KILL
        if is_late:
            self.is_stuck.set()
            assert self.go_on.wait(WAIT_S)
        request.extensions["timeout"] = {}
        with self._turns:
            return self.service(request).read()


@pytest.fixture
def slow(service: Any) -> Iterator[SlowService]:
    server = SlowService(service)
    yield server
    server.go_on.set()
    server.server.shutdown()
    server.server.server_close()


def start(client_folder: Path, url: str, photos: Path) -> subprocess.Popen[str]:
    words = ["batch", str(photos), "a lemon", "--url", url, "--workers", "3", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(client_folder), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "retouch", *words]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_records(folder: Path, run: subprocess.Popen[str]) -> None:
    """Wait until all answers that were given are on record."""
    for _ in range(20 * WAIT_S):
        assert run.poll() is None
        if (folder / "results.csv").exists() and len(results(folder)) == BEFORE_THE_KILL:
            return
        time.sleep(0.05)
    run.kill()
    pytest.fail("the answers are not on record")


def results(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["digest"] for row in rows}) == len(rows), "each row is there once"
    return {row["digest"]: row for row in rows}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_batch_goes_on_where_it_was(slow: SlowService, client_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(ROWS):
        Image.new("RGB", (48, 32), (number, 0, 0)).save(photos / f"{number:02}.png")
    run = start(client_folder, slow.url, photos)
    assert slow.is_stuck.wait(WAIT_S)
    folder = tmp_path / "photos-edited"
    wait_for_records(folder, run)
    run.kill()
    run.communicate(timeout=WAIT_S)

    before = results(folder)
    assert {row["status"] for row in before.values()} == {"done"}
    assert set(before) == set(slow.keys[:BEFORE_THE_KILL])
    assert all((folder / row["output"]).is_file() for row in before.values())

    sent_before, sent = set(slow.keys), len(slow.keys)
    slow.go_on.set()
    out, err = start(client_folder, slow.url, photos).communicate(timeout=WAIT_S)
    assert json.loads(out)["done"] == ROWS - BEFORE_THE_KILL, err
    again = slow.keys[sent:]
    assert len(again) == len(set(again)) == ROWS - BEFORE_THE_KILL
    assert not set(again) & set(before), "nothing is done twice"
    assert sent_before - set(before) <= set(again), "what was under way is sent again, under the same name"
    after = results(folder)
    assert {digest: after[digest] for digest in before} == before
    assert len(after) == ROWS, "nothing is lost"
    assert sorted(path.name for path in folder.glob("*.png")) == [f"{number:02}.png" for number in range(ROWS)]


@pytest.mark.skipif(os.name == "nt", reason="needs the signals of POSIX")
def test_ctrl_c_ends_a_batch_at_once(slow: SlowService, client_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(ROWS):
        Image.new("RGB", (48, 32), (number, 0, 0)).save(photos / f"{number:02}.png")
    run = start(client_folder, slow.url, photos)
    assert slow.is_stuck.wait(WAIT_S)
    wait_for_records(tmp_path / "photos-edited", run)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=WAIT_S)
    assert run.returncode == 130
    said = (
        f"retouch: stopped: {BEFORE_THE_KILL} of {ROWS} rows have ended, and the same command goes on with the others\n"
    )
    assert err == said
