"""Who may import whom, room by room: read from the source, and felt as the cost of an import."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HEAVY = {"ray", "torch", "transformers", "diffusers", "segment_anything", "starlette", "fastapi"}
MODELS = {"torch", "transformers", "diffusers", "segment_anything"}

ROOTS = {"messages", "errors", "config", "limits"}
SHARED = ROOTS | {"language", "pixels", "grounding", "serving"}
STAGES = {"clip", "sam", "inpaint"}

# Room -> the rooms that it may import from. What is above `graph` is a program.
ARROWS: dict[str, set[str]] = {
    "deployments": set(),
    "messages": set(),
    "errors": set(),
    "limits": set(),
    "config": {"limits"},
    "language": ROOTS,
    "pixels": ROOTS,
    "grounding": ROOTS | {"language", "pixels"},
    "serving": ROOTS,
    "admission": ROOTS | {"serving"},
    "clip": SHARED,
    "sam": SHARED,
    "inpaint": SHARED,
    "driver": SHARED | {"admission"},
    "ledger": ROOTS | {"admission", "serving"},
    "http": ROOTS | {"driver", "ledger", "pixels", "serving"},
    "launch": ROOTS | STAGES | {"serving"},
    "graph": ROOTS | STAGES | {"driver", "http", "launch", "ledger"},
    "check_config": ROOTS | {"launch", "graph"},
    "local": ROOTS | {"launch", "graph"},
    "main": ROOTS | {"driver", "graph", "launch", "pixels", "serving"},
    "client": set(),
    "pocket": SHARED | STAGES | {"graph", "launch"},
    "benchmarks": SHARED | STAGES | {"driver", "graph", "launch", "pocket"},
}

# Room -> the heavy packages, or the modules of them, that it may import; the others none at all.
MAY_BE_HEAVY: dict[str, set[str]] = {
    "serving": {"ray", "torch"},
    "clip": MODELS,
    "sam": MODELS,
    "inpaint": MODELS,
    "driver": {"ray.exceptions", "ray.serve.exceptions"},
    "http": {"starlette", "fastapi"},
    "launch": {"ray"},
    "graph": {"ray", "fastapi"},
    "check_config": {"ray"},
    "local": {"ray"},
    "pocket": HEAVY,
    "benchmarks": HEAVY,
}

# Module -> the heavy packages that its import must not load, however deep: a stage's server starts before its model,
# and the checks that come first must be over before anything heavy has been loaded.
COSTS: dict[str, set[str]] = {
    "deployments": HEAVY | {"numpy"},
    "deployments.messages": HEAVY,
    "deployments.clip.server": HEAVY,
    "deployments.sam.server": HEAVY,
    "deployments.inpaint.server": HEAVY,
    "deployments.driver.jobs": HEAVY,
    "deployments.launch.preflight": HEAVY,
    "deployments.http.api": MODELS | {"ray"},
    "deployments.driver.server": MODELS,
}


def files(room: str) -> list[Path]:
    """Every source file of a room."""
    if room == "deployments":
        return [ROOT / "deployments" / "__init__.py"]
    folders = [ROOT / "deployments" / room, ROOT / room]
    modules = [ROOT / "deployments" / f"{room}.py", ROOT / f"{room}.py"]
    inside = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return inside + [path for path in modules if path.exists()]


def imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    """Yield every module that a file imports, as a dotted name; of a package also what is taken out of it."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """Return the room that a module of ours is in, None for anybody else's."""
    package, _, rest = module.partition(".")
    if package == "deployments":
        return rest.partition(".")[0]
    return {"retouch": "client"}.get(package, package if package in ARROWS else None)


def is_within(module: str, allowed: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{each}.") for each in allowed)


def test_every_room_has_a_row() -> None:
    folders = {path.parent.name for path in ROOT.glob("deployments/*/__init__.py")}
    assert folders | {path.stem for path in ROOT.glob("deployments/[a-z]*.py")} <= ARROWS.keys()
    for room in ARROWS:
        assert files(room), room


def test_the_arrows_between_rooms_make_no_circle() -> None:
    try:
        TopologicalSorter(ARROWS).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_from_rooms_that_an_arrow_leads_to(room: str) -> None:
    for path in files(room):
        for module in imports(path):
            assert room_of(module) in ARROWS[room] | {room, None}, f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_the_heavy_packages_that_it_needs(room: str) -> None:
    unwanted = HEAVY | ({"numpy"} if room == "client" else set())
    for path in files(room):
        for module in imports(path):
            needed = not is_within(module, unwanted) or is_within(module, MAY_BE_HEAVY.get(room, set()))
            assert needed, f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_servers_import_their_model_lazily(stage: str) -> None:
    for module in imports(ROOT / "deployments" / stage / "server.py", top_level_only=True):
        assert not is_within(module, HEAVY | {f"deployments.{stage}.model"}), module


def test_only_the_graph_makes_deployments() -> None:
    for path in (ROOT / "deployments").rglob("*.py"):
        tree = ast.parse(path.read_text())
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not used & {"bind", "deployment"}, path


@pytest.mark.parametrize("module", COSTS)
def test_an_import_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not COSTS[module] & set(loaded.split())


def test_a_class_has_its_name_to_itself() -> None:
    defined: dict[str, list[str]] = {}
    for path in sorted((ROOT / "deployments").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert len(defined) > 100
    assert {name: files for name, files in defined.items() if len(files) > 1} == {}
