"""The files of one model: where they are, and the errors that say what is wrong with them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.errors import NotOnThisMachine, SettingError
from deployments.serving.checkpoints import hub as hubs
from deployments.serving.checkpoints.reasons import reason

WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pth", ".pt", ".bin", ".onnx", ".gguf", ".msgpack", ".h5")


@dataclass(frozen=True)
class Asked:
    """A setting of the operator: its name, such as "clip.model", and its value.

    `wish` is a sentence that says which values the setting takes. `thing` is what its path names: a file or a folder.
    """

    setting: str
    value: str
    wish: str
    thing: str = "folder"

    def refused(self, problem: str) -> SettingError:
        """Return the error that says `problem`, a sentence without its full stop, and what to give instead."""
        return SettingError(self.setting, f"{problem}. {self.wish}")

    def not_here(self, problem: str) -> NotOnThisMachine:
        """Return the error that says `problem`, about something that another machine may have."""
        return NotOnThisMachine(self.setting, problem, self.wish)

    def beside(self, name: str) -> str:
        """Return the name of another setting of the same model: "clip.variant"."""
        return f"{self.setting.split('.')[0]}.{name}"

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn whatever a library raises while it loads these files into a SettingError."""
        try:
            yield
        except SettingError:
            raise
        except Exception as error:
            raise self.refused(f"{self.value!r} cannot be loaded: {reason(error)}") from error


@dataclass(frozen=True)
class ModelSource:
    """The files of a model: in a folder or a file at `path`, or under the id `repo` on the hub where `path` is None.

    Without a `hub`, only what the hub's cache holds is known of an id.
    """

    asked: Asked
    path: Path | None
    repo: str = ""
    revision: str | None = None
    hub: hubs.Hub | None = None

    @property
    def location(self) -> str:
        """The path or id that a library's `from_pretrained` takes."""
        return self.repo if self.path is None else str(self.path)

    @property
    def known(self) -> bool:
        """Whether all files are known, so that one that is not found does not exist."""
        return self.path is not None or self.hub is not None

    def config(self, file: str) -> dict[str, Any] | None:
        """Return the JSON object in `file`; None where there is no such file."""
        text = self._read(file)
        if text is None:
            return None
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise self.asked.refused(f"{file} in {self.asked.value!r} is not a JSON object")
        return content

    def has(self, file: str) -> bool:
        """Return whether the folder holds `file`."""
        return self.path is not None and os.path.isfile(self.path / file)

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files in the folder, or in a folder of it; none where there is no such folder."""
        assert self.path is not None
        place = self.path / folder
        try:
            return sorted(os.listdir(place)) if os.path.isdir(place) else []
        except OSError as error:
            raise self.unreadable(folder, error) from error

    def unreadable(self, file: str, error: OSError) -> SettingError:
        """Return the error for a file that is there but that this process may not read."""
        what = f"{file} in {self.asked.value!r}" if file else repr(self.asked.value)
        return self.asked.not_here(f"{what} cannot be read: {error.strerror or reason(error)}")

    def _read(self, file: str) -> bytes | None:
        path = hubs.cached(self.repo, file, self.revision) if self.path is None else self.path / file
        if path is None:
            return self._read_from_hub(file)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise self.unreadable(file, error) from error

    def _read_from_hub(self, file: str) -> bytes | None:
        if self.hub is None:
            return None
        with self.answers():
            return self.hub.read(self.repo, file, self.revision)

    @contextmanager
    def answers(self) -> Iterator[None]:
        """Turn what keeps the hub from answering into a SettingError."""
        try:
            yield
        except hubs.Unreachable as error:
            raise self.asked.not_here(
                f"{self.asked.value!r} is neither a folder here nor in the hub's cache, "
                f"and the hub cannot be reached ({error})"
            ) from error
        except hubs.NotReadable as error:
            raise self.asked.refused(f"the hub has no model {self.repo!r} that this machine may read") from error
        except hubs.NoSuchRevision as error:
            problem = f"the hub's {self.repo!r} has no revision {self.revision!r}. Give one that it has, or none."
            raise SettingError(self.asked.beside("revision"), problem) from error


def find(asked: Asked, place: str, revision: str | None, hub: hubs.Hub | None) -> ModelSource:
    """Return where `place`, a path or an id of the hub, is. Refuse what is neither."""
    if not place.strip():
        raise asked.refused("it is empty")
    if not is_path(place):
        return _on_hub(asked, place, revision, hub)
    if revision is not None:
        problem = f"{revision!r} is a revision on the hub, but {asked.value!r} is on this machine. Leave it out."
        raise SettingError(asked.beside("revision"), problem)
    return ModelSource(asked, local(asked, place))


def local(asked: Asked, place: str) -> Path:
    """Return the path that `place` names. Refuse one where there is nothing."""
    path = os.path.expanduser(place)
    if not os.path.exists(path):
        raise asked.not_here(f"there is no {asked.thing} {asked.value!r} on this machine")
    return Path(path)


def is_path(place: str) -> bool:
    """Return whether `place` is a path and not an id of the hub: it is here, or is written as only a path can be."""
    if os.path.exists(place) or place.startswith(("/", ".", "~")):
        return True
    return place.count("/") > 1 or "\\" in place or place.lower().endswith(WEIGHT_SUFFIXES)


def _on_hub(asked: Asked, repo: str, revision: str | None, hub: hubs.Hub | None) -> ModelSource:
    try:
        hubs.cached(repo, "config.json", revision)
    except ValueError as error:
        raise asked.refused(f"{asked.value!r} is neither a folder here nor an id of the hub") from error
    return ModelSource(asked, None, repo, revision, hub)
