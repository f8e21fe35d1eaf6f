"""What Ray starts in the place of Python for a worker: it has the preloaded process fork one, and waits for its end.

    python -I -S as_worker.py SOCKET SCRIPT ARGUMENT ...

It imports next to nothing, since several start at once. Where nobody listens at SOCKET it becomes a Python of its own.
"""

import json
import os
import socket
import sys


def main(place: str, command: list[str]) -> None:
    """Run the command in a process forked by whoever listens at `place`."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(place)
        except OSError:
            os.execv(sys.executable, [sys.executable, *command])
        asked = json.dumps({"command": command, "environment": dict(os.environ), "folder": os.getcwd()}).encode()
        socket.send_fds(line, [len(asked).to_bytes(8, "big")], [0, 1, 2])
        line.sendall(asked)
        line.recv(1)  # nothing is ever sent: it returns when the worker, which holds the other end, has gone


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
