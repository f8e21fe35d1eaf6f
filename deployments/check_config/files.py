"""Read a Serve config file, or the Serve configs in a Kubernetes manifest, and report what YAML itself would hide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from deployments.check_config.findings import Finding, one_line, quoted

CARRIER = "RayService"
CARRIED = "spec.serveConfigV2"


@dataclass
class LoadedConfig:
    """A Serve config (None where it cannot be read), the findings of reading it, and the name of its RayService."""

    config: dict[str, Any] | None
    findings: list[Finding] = field(default_factory=list)
    label: str = ""


class _Unreadable(Exception):
    """There is nothing in the text that could be checked further."""

    def __init__(self, place: str, sentence: str) -> None:
        super().__init__(place, sentence)
        self.finding = Finding(place, sentence)


class _Loader(yaml.SafeLoader):
    """A YAML loader that also notes the keys that a mapping has twice. YAML itself keeps the last one in silence."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.twice: list[Finding] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return the mapping as YAML does, and note its keys before `<<` merges others among them."""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                self._note(key, seen)
        return node

    def _note(self, key: yaml.ScalarNode, seen: set[tuple[str, str]]) -> None:
        if (key.tag, key.value) in seen:
            sentence = f"the key {key.value!r} is given twice in one mapping, and only the last would count"
            self.twice.append(Finding(_line(key.start_mark), sentence))
        seen.add((key.tag, key.value))


def configs(path: Path) -> list[LoadedConfig]:
    """Return each Serve config of a file. A file that cannot be read gives one without a config."""
    try:
        documents, twice = _documents(_text(path))
    except _Unreadable as error:
        return [LoadedConfig(None, [error.finding])]
    carriers = [document for document in documents if _kind(document) == CARRIER]
    if carriers:
        return [LoadedConfig(None, twice), *(_carried(carrier, number) for number, carrier in enumerate(carriers, 1))]
    return [_single(documents, twice)]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise _Unreadable("", f"the file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _Unreadable("", f"the file is not UTF-8 text (byte {error.start + 1})") from error


def _documents(text: str) -> tuple[list[Any], list[Finding]]:
    try:
        loader = _Loader(text)
        documents = list(_each(loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Unreadable(_line(mark), f"this is not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _Unreadable("", f"this is not YAML: {one_line(error)}") from error
    return documents, loader.twice


def _each(loader: _Loader) -> Iterator[Any]:
    while loader.check_data():
        yield loader.get_data()


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}" if mark else ""


def _kind(document: Any) -> Any:
    """Return the kind of a Kubernetes object, None for anything else."""
    return document.get("kind") if isinstance(document, dict) and "apiVersion" in document else None


def _single(documents: list[Any], twice: list[Finding]) -> LoadedConfig:
    """Return the one Serve config that these documents must hold, or a finding that says what they hold instead."""
    if all(document is None for document in documents):
        return LoadedConfig(None, [Finding("", "holds nothing")])
    if all(document is None or _kind(document) for document in documents):
        return LoadedConfig(None, [*twice, Finding("", f"holds neither a Serve config nor a {CARRIER}")])
    if len(documents) > 1:
        return LoadedConfig(
            None, [*twice, Finding("", f"holds {len(documents)} documents, and Serve reads a single one")]
        )
    if not isinstance(documents[0], dict):
        return LoadedConfig(None, [Finding("", f"must hold a mapping of keys, not {quoted(documents[0])}")])
    return LoadedConfig(documents[0], twice)


def _carried(carrier: dict[str, Any], number: int) -> LoadedConfig:
    """Return the Serve config that a RayService carries as a text."""
    metadata, spec = carrier.get("metadata"), carrier.get("spec")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    text = spec.get("serveConfigV2") if isinstance(spec, dict) else None
    return replace(_inside(text), label=name if isinstance(name, str) and name else f"{CARRIER} {number}")


def _inside(text: Any) -> LoadedConfig:
    if not isinstance(text, str):
        return LoadedConfig(
            None, [Finding(CARRIED, f"must be a Serve config as a text (`serveConfigV2: |`), not {quoted(text)}")]
        )
    try:
        inner = _single(*_documents(text))
    except _Unreadable as error:
        inner = LoadedConfig(None, [error.finding])
    return replace(
        inner, findings=[replace(found, place=f"{CARRIED} {found.place}".strip()) for found in inner.findings]
    )
