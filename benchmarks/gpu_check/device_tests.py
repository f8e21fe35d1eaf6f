"""Runs `tests/gpu` in a process of its own, with nothing but what that folder says."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from benchmarks.figures import Figure
from benchmarks.gpu_check.timing import Clock

ROOT = Path(__file__).parent.parent.parent
TESTS = Path("tests/gpu")


class DeviceTests:
    """The tests that `which` selects, from their start on. A context manager, which ends them."""

    def __init__(self, device: str, which: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._report, self._log = (Path(self._folder.name) / name for name in ("report.xml", "log"))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            str(TESTS / "pytest.ini"),
            str(TESTS),
            "-v",
            "-rs",
            "-k",
            which,
        ]
        command += ["-p", "no:cacheprovider", f"--junitxml={self._report}"]
        with self._log.open("wb") as log:
            environment = os.environ | {"RETOUCH_TEST_DEVICE": device}
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self) -> DeviceTests:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def figures(self, clock: Clock) -> Iterator[Figure]:
        """Yield how many tests failed, and each with its seconds. Raises at the end if some did."""
        try:
            self._process.wait(max(1.0, clock.left_s()))
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the tests are not done in time:\n{self._tail()}") from None
        if not self._report.exists():
            raise RuntimeError(self._tail())
        cases = list(ET.parse(self._report).iter("testcase"))
        bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
        skipped = [case for case in cases if case.find("skipped") is not None]
        passed = [case for case in cases if case not in bad and case not in skipped]
        parts = {"passed": float(len(passed))}
        parts |= {f"s, {case.get('name')}": float(case.get("time", 0)) for case in passed}
        parts |= {f"SKIPPED {case.get('name')}": 0.0 for case in skipped}
        parts |= {f"FAILED {case.get('name')}": float(case.get("time", 0)) for case in bad}
        yield Figure("tests on the device that failed", (float(len(bad)),), 0, below=True, parts=parts)
        if bad or not cases:
            raise AssertionError(self._tail())

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-6000:]
