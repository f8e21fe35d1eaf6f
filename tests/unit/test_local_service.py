"""The service on this machine: what can be known before anything starts."""

import socket

import pytest

from deployments.launch import session
from deployments.local import service


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch):
    """As in a process of its own: these tests may run in one that other tests have connected to Ray."""
    monkeypatch.setattr(session, "_connected", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_port_that_is_taken_is_said_before_anything_starts(capsys):
    with socket.create_server((service.HOST, 0)) as other:
        port = other.getsockname()[1]
        assert service.main(["--port", str(port)]) == 1
    printed = capsys.readouterr()
    assert printed.err == f"error: port {port} is taken by another program. Choose another one with --port.\n"
    assert printed.out == ""


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_what_is_no_port_is_refused(capsys, port):
    with pytest.raises(SystemExit) as stopped:
        service.main([f"--port={port}"])
    assert stopped.value.code == 2
    assert "choose a number from 1 to 65535" in capsys.readouterr().err


def test_it_deploys_nothing_on_a_cluster(capsys, monkeypatch):
    """There its name and its address are those of production."""
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert service.main([]) == 1
    assert capsys.readouterr().err.startswith("error: RAY_ADDRESS names a cluster")
