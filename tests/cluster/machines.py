"""Two machines on one: each has a network of its own, an address and a loopback that the other cannot reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Machine:
    """A network namespace. `hidden` are paths of this machine that its processes see empty."""

    namespace: str
    address: str
    hidden: tuple[Path, ...] = ()

    def start(
        self, command: Sequence[str | Path], env: Mapping[str, str], log: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        """Start a command there, in the folder / with nothing of this process's environment."""
        entered = ["ip", "netns", "exec", self.namespace, *self._hiding(), *map(str, command)]
        return subprocess.Popen(entered, cwd="/", env=dict(env), stdout=log, stderr=subprocess.STDOUT)

    def output(self, command: Sequence[str | Path], env: Mapping[str, str], timeout_s: float) -> str:
        """Return what a command prints there, which must succeed."""
        process = self.start(command, env, subprocess.PIPE)
        try:
            printed, _ = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
        assert process.returncode == 0, printed.decode()
        return printed.decode()

    def _hiding(self) -> list[str]:
        if not self.hidden:
            return []
        over = [f"mount -t tmpfs none '{path}'" if path.is_dir() else _emptied(path) for path in self.hidden]
        return ["unshare", "--mount", "sh", "-c", " && ".join(["mount --make-rprivate /", *over, 'exec "$@"']), "sh"]


def _emptied(path: Path) -> str:
    return f"mount --bind /dev/null '{path}'"


def why_not() -> str | None:
    """Return why there can be no such machines here, None if there can."""
    if os.name != "posix" or os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare"))):
        return "only root on Linux, with iproute2, may make networks"
    return (
        None if subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0 else "no network namespaces"
    )


@contextmanager
def machines(hidden: Sequence[tuple[Path, ...]]) -> Iterator[list[Machine]]:
    """Yield a machine for each entry of `hidden`, the paths that it lacks; all can be reached from here."""
    mark = os.getpid() % 100_000
    bridge, subnet = f"rtb{mark}", f"10.231.{mark % 250}"
    with ExitStack() as undo:
        _ip(f"link add {bridge} type bridge")
        undo.callback(_ip, f"link del {bridge}")
        _ip(f"address add {subnet}.254/24 dev {bridge}")
        _ip(f"link set {bridge} up")
        made = []
        for number, missing in enumerate(hidden, 1):
            machine = Machine(f"rt{mark}-{number}", f"{subnet}.{number}", missing)
            _ip(f"netns add {machine.namespace}")
            undo.callback(_ip, f"netns del {machine.namespace}")
            cable = f"rtv{mark}-{number}"
            _ip(f"link add {cable} type veth peer name eth0 netns {machine.namespace}")
            # By name: with the namespace it would go some time later, and the next cluster could not take its name.
            undo.callback(_ip, f"link del {cable}")
            _ip(f"link set {cable} master {bridge} up")
            _ip(f"-n {machine.namespace} address add {machine.address}/24 dev eth0")
            _ip(f"-n {machine.namespace} link set eth0 up")
            _ip(f"-n {machine.namespace} link set lo up")
            _ip(f"-n {machine.namespace} route add default via {subnet}.254")  # by which Ray finds its own address
            made.append(machine)
        yield made


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


@contextmanager
def short_folder() -> Iterator[Path]:
    """Yield a new folder whose path is short enough for Ray's sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
