"""Who may import whom: read from the source, and felt as the cost of an import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
OURS = {"deployments", "graph", "main", "pocket", "client", "retouch"}
HEAVY = {"ray", "torch", "transformers", "diffusers", "segment_anything", "starlette", "fastapi"}

# File or folder -> top-level packages it must not import at module level.
FORBIDDEN = {
    "deployments/messages.py": OURS | HEAVY,
    "deployments/errors.py": OURS | HEAVY,
    "deployments/config.py": OURS | HEAVY,
    "deployments/images.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/metadata.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/regions.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/mask_shapes.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/grouping.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/tiling.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/pasting.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/batching.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/emphasis.py": OURS | HEAVY,
    "deployments/checks.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/complete.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/reading.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/colours.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/removal.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/membrane.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/shifts.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/grounding": HEAVY | {"pocket", "graph", "main"},
    "deployments/finder.py": HEAVY - {"ray"} | {"pocket", "graph", "main"},
    "deployments/painter.py": HEAVY - {"ray"} | {"pocket", "graph", "main"},
    "deployments/driver.py": HEAVY - {"ray"} | {"pocket", "graph", "main"},
    "deployments/calls.py": HEAVY - {"ray"} | {"pocket", "graph", "main"},
    "deployments/status.py": HEAVY - {"ray"} | {"pocket", "graph", "main"},
    "deployments/health.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/clip": {"ray", "starlette", "fastapi", "pocket", "graph", "main"},
    "deployments/sam": {"ray", "starlette", "fastapi", "pocket", "graph", "main"},
    "deployments/placement.py": HEAVY - {"ray", "torch"} | {"pocket", "graph", "main"},
    "deployments/checkpoints": HEAVY - {"torch"} | {"pocket", "graph", "main"},
    "deployments/preflight.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/clip/checkpoint.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/sam/checkpoint.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/inpaint/checkpoint.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/inpaint/parts.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/inpaint/lora.py": HEAVY | {"pocket", "graph", "main"},
    "deployments/caching.py": OURS | HEAVY,
    "deployments/serving": HEAVY - {"ray"} | {"pocket", "graph", "main"},
    "deployments/check_config": HEAVY - {"ray"} | {"pocket", "main"},
    "deployments/inpaint": {"ray", "starlette", "fastapi", "pocket", "graph", "main"},
    "deployments/http": {"ray", "torch", "transformers", "diffusers", "segment_anything", "pocket", "graph", "main"},
    "client": OURS - {"retouch"} | HEAVY | {"numpy"},
}
# Files that a process imports before it knows whether it will run the model.
LIGHT = [
    "deployments/clip/server.py",
    "deployments/sam/server.py",
    "deployments/inpaint/server.py",
    "deployments/serving/metrics.py",
]


def files(place):
    path = ROOT / place
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def imports(path, top_level_only=False):
    """Every module that a file imports, as dotted names."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


@pytest.mark.parametrize("place", FORBIDDEN)
def test_reading_order_of_imports(place):
    assert files(place)
    for path in files(place):
        for module in imports(path):
            assert module.split(".")[0] not in FORBIDDEN[place], f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("place", LIGHT)
def test_servers_import_their_model_lazily(place):
    for module in imports(ROOT / place, top_level_only=True):
        assert module.split(".")[0] not in HEAVY
        assert not module.endswith(".model")


def test_only_the_graph_makes_deployments():
    for path in files("deployments"):
        tree = ast.parse(path.read_text())
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not used & {"bind", "deployment"}, path


def test_importing_deployments_costs_nothing():
    code = "import sys, deployments, deployments.messages, deployments.errors; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for heavy in HEAVY:
        assert f"'{heavy}'" not in loaded
