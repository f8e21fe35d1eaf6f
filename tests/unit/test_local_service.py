"""The service on this machine: what can be known before anything starts."""

import socket

from deployments.local import service


def test_a_port_that_is_taken_is_said_before_anything_starts(capsys):
    with socket.create_server((service.HOST, 0)) as other:
        port = other.getsockname()[1]
        assert service.main(["--port", str(port)]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"error: port {port} is taken by another program. Choose another one: --port {port + 1}\n"
    assert printed.out == ""
