"""`make serve`: it starts, says where to click, shows the page there, and Ctrl-C ends it."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_it_says_where_to_click_and_ctrl_c_ends_it(http_port):
    port = http_port + 1 if http_port < 65000 else http_port - 1
    command = [sys.executable, "-m", "deployments.local", "--port", str(port)]
    environment = {**os.environ, "RAY_ADDRESS": "local"}  # a Ray of its own, whatever the others use
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line == f"Retouch is ready: open http://127.0.0.1:{port} (Ctrl-C stops it)\n"
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"accept": "text/html"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert b"<title>Retouch</title>" in answer.read()
        finally:
            process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()  # of one that does not end, `with` would wait for the end
