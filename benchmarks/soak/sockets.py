"""Clients that a library for HTTP cannot be: those that leave in the middle, dawdle, or announce what never comes."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import h11
import httpx

from benchmarks.callers import PATH

GIGABYTE = 10**9
BYTE_EVERY_S = 1.0
FILE_BEGINS = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
OVERRIDE = "x-request-timeout-seconds"  # Serve would let a client switch its time limit off by it


class RawClient:
    """Speaks HTTP on sockets of its own; `timeout_s` is for how long it waits for the server."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._timeout_s = timeout_s

    def announce(self, length: int = GIGABYTE) -> httpx.Response:
        """Return the answer to the headers of a body of that many bytes, of which none is sent."""
        with self._connected() as connection:
            connection.sendall(_head({"content-type": "multipart/form-data; boundary=b", "content-length": length}))
            return _answer(connection)

    def dawdle(self) -> httpx.Response:
        """Return the answer to a file of which a byte comes each second, from a client that forbids a time limit."""
        headers = {"content-type": "multipart/form-data; boundary=b", "content-length": 100_000, OVERRIDE: 0}
        until = time.monotonic() + self._timeout_s
        with self._connected() as connection:
            connection.sendall(_head(headers) + FILE_BEGINS)
            while not select.select([connection], [], [], BYTE_EVERY_S)[0]:
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("the server waits for ever for a slow body")
                connection.sendall(b"-")
            return _answer(connection)

    def leave(self, request: httpx.Request, share: float, after_s: float) -> None:
        """Send this share of the request's body, wait and hang up."""
        body = request.read()
        with self._connected() as connection:
            connection.sendall(_head(dict(request.headers)) + body[: int(share * len(body))])
            time.sleep(after_s)

    def leave_stream(self, request: httpx.Request) -> int:
        """Send the request, and hang up as soon as some of the answer's body has come; return the status."""
        with self._connected() as connection:
            connection.sendall(_head(dict(request.headers)) + request.read())
            events = _events(connection)
            status = next(event.status_code for event in events if isinstance(event, h11.Response))
            next(event for event in events if isinstance(event, h11.Data))
            return int(status)

    def _connected(self) -> socket.socket:
        return socket.create_connection(self._address, self._timeout_s)


def _head(headers: Mapping[str, object]) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in {"host": "soak", **headers}.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _answer(connection: socket.socket) -> httpx.Response:
    """Return what the server says, to its end."""
    status, headers, content = 0, [], b""
    for event in _events(connection):
        if isinstance(event, h11.Response):
            status, headers = event.status_code, list(event.headers)
        elif isinstance(event, h11.Data):
            content += event.data
    return httpx.Response(status, headers=headers, content=content)


def _events(connection: socket.socket) -> Iterator[h11.Event]:
    """Yield the parts of the answer to a POST as they come. Raises h11.RemoteProtocolError where it breaks off."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="POST", target=PATH, headers=[("host", "soak")]))
    while not isinstance(event := parser.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            parser.receive_data(connection.recv(2**16))
        elif isinstance(event, h11.Event):
            yield event
