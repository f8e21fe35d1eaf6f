"""Real clusters: `ray start` on machines with networks of their own. Left out where such machines cannot be made."""

from __future__ import annotations

import pytest

from tests.cluster.machines import why_not

WHY_NOT = why_not()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "cluster":
            item.add_marker(pytest.mark.cluster)
            if WHY_NOT:
                item.add_marker(pytest.mark.skip(reason=WHY_NOT))


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A red apple, a cactus and a dog: the picture of the demo."""
    from tests.cluster.nodes import ROOT

    return (ROOT / "docs/demo/scene.png").read_bytes()
