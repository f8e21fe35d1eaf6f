"""Fixtures of the examples: the service that they ask, and the folder that they run in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pocket_service import PocketService
from tests.docs.reader import make_clone

STEPS = 8  # of a painting where the example does not say how many


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    service = PocketService(STEPS)
    try:
        yield service.url.rstrip("/")
    finally:
        service.stop()


@pytest.fixture
def clone(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_clone(tmp_path, monkeypatch, server)
