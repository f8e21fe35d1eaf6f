"""What the documents say exists, and what is installed is pinned."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from deployments import errors

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [
    "README.md",
    "docs/how-it-works.md",
    "docs/operate.md",
    "docs/step-engine.md",
    "docs/streaming.md",
    "docs/grounding.md",
    "docs/performance.md",
    "docs/quality.md",
    "docs/api.md",
    "docs/change-guide.md",
    "docs/conformance.md",
    "docs/tutorial.md",
    "docs/troubleshooting.md",
    "pocket/README.md",
    "pocket/assets/README.md",
    "client/README.md",
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", (ROOT / document).read_text())) - {"a", "it", "the"} <= targets


COMMAND = re.compile(r"python (?:-m (?P<module>[\w.]+)|(?P<script>\w+\.py))(?P<rest>(?:[^`&\n\\]|\\\n)*)")


def commands(document):
    """Yield the source of each Python program that a document says how to run, and the flags that it gives it."""
    for match in COMMAND.finditer((ROOT / document).read_text()):
        place = ROOT / (match["script"] or match["module"].replace(".", "/"))
        source = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
        yield source, re.findall(r"(?<!\S)--[\w-]+", match["rest"])


@pytest.mark.parametrize("document", [*DOCUMENTS, "Makefile"])
def test_the_programs_that_are_run_exist_and_know_their_flags(document):
    for source, flags in commands(document):
        if source.stem not in ("pip", "pytest"):  # which are not ours
            assert source.is_file(), source
            assert [flag for flag in flags if f'"{flag}"' not in source.read_text()] == [], source


def test_every_code_of_an_error_is_explained_with_its_status():
    table = re.findall(r"^\| `(\w+)` \| (\d+) \|", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    known = {(kind.code, str(kind.status)) for kind in kinds_of(errors.ServiceError)}
    of_the_framework = {("not_found", "404"), ("method_not_allowed", "405")}
    assert set(table) == known | of_the_framework


def kinds_of(kind):
    return [kind, *chain.from_iterable(map(kinds_of, kind.__subclasses__()))]


def test_nothing_is_left_to_be_filled_in():
    for document in DOCUMENTS:
        assert "@@" not in (ROOT / document).read_text(), document


def test_every_requirement_is_pinned():
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    for name in ("pyproject.toml", "client/pyproject.toml"):
        project = tomllib.loads((ROOT / name).read_text())["project"]
        extras = project.get("optional-dependencies", {}).values()
        for requirement in chain(project["dependencies"], *extras):
            assert re.split(r"[\[<>=!~ ]", requirement)[0].lower() in pinned, requirement


def test_the_changelog_names_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changelog or f"## {version}" in changelog
