"""The files of weights that a part of a model is read from: safetensors alone, whole or in shards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.errors import SettingError
from deployments.serving.checkpoints.source import ModelSource
from deployments.serving.checkpoints.tensors import NoWeights, safetensors_header

PICKLED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
SHARD = re.compile(r"-\d{5}-of-\d{5}")


@dataclass(frozen=True)
class Weights:
    """Weights in a `folder`, named `stem`: "model" by transformers, "diffusion_pytorch_model" by diffusers."""

    source: ModelSource
    folder: str
    stem: str

    def there(self, variant: str | None) -> bool:
        """Return whether there are weights of that variant."""
        return self.source.has(self._file(variant)) or self.source.has(self._index(variant))

    def check(self, variant: str | None) -> None:
        """Refuse weights of which a file is missing or cut short. Only the loader can find a corrupt tensor."""
        if not self.there(variant):
            raise self._missing(variant)
        for file in self._files(variant):
            self._check_file(file)

    def _files(self, variant: str | None) -> list[str]:
        if self.source.has(self._file(variant)):
            return [self._file(variant)]
        index = self.source.config(self._index(variant)) or {}
        places = index.get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
            raise self.source.asked.refused(f"{self._index(variant)} in {self._value!r} names no files of weights")
        return [self._in_folder(shard) for shard in sorted(set(places.values()))]

    def _check_file(self, file: str) -> None:
        assert self.source.path is not None
        try:
            safetensors_header(self.source.path / file)
        except NoWeights as error:
            raise self.source.asked.refused(f"{file} in {self._value!r} cannot be used: {error}") from error
        except FileNotFoundError as error:
            raise self.source.asked.refused(f"{file} is missing in {self._value!r}") from error
        except OSError as error:
            raise self.source.unreadable(file, error) from error

    def _missing(self, variant: str | None) -> SettingError:
        asked, problem = self.source.asked, f"{self._file(variant)} is missing in {self._value!r}"
        others = self._variants()
        if variant is not None and self.there(None):
            cure = f"{self._file(None)} is there: leave {asked.beside('variant')} out"
        elif others:
            cure = f"{self._file(others[0])} is there: set {asked.beside('variant')} to {others[0]!r}"
        else:
            return asked.refused(problem + self._pickled())
        return SettingError(asked.setting, f"{problem}, but {cure}.")

    def _variants(self) -> list[str]:
        """Return the variants of which there are weights, such as "fp16"."""
        pattern = re.compile(re.escape(self.stem) + r"\.(?:safetensors\.index\.([^.]+)\.json|([^.]+)\.safetensors)")
        matches = map(pattern.fullmatch, self.source.names(self.folder))
        return sorted({SHARD.sub("", match[1] or match[2]) for match in matches if match})

    def _pickled(self) -> str:
        pickled = [name for name in self.source.names(self.folder) if name.endswith(PICKLED_SUFFIXES)]
        return f"; there is {self._in_folder(pickled[0])}, but pickled weights are never read" if pickled else ""

    def _file(self, variant: str | None) -> str:
        return self._in_folder(f"{self.stem}{f'.{variant}' if variant else ''}.safetensors")

    def _index(self, variant: str | None) -> str:
        return self._in_folder(f"{self.stem}.safetensors.index{f'.{variant}' if variant else ''}.json")

    def _in_folder(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    @property
    def _value(self) -> str:
        return self.source.asked.value


def check_report(source: ModelSource, report: Mapping[str, Any], part: str = "") -> None:
    """Refuse weights that, by transformers' report on loading them, lack a tensor or have one of another shape.

    transformers would go on with random numbers in its place.
    """
    whose = f"the weights of the {part} in" if part else "the weights in"
    if missing := sorted(report["missing_keys"]):
        problem = f"{whose} {source.asked.value!r} are not complete: {len(missing)} are missing, such as {missing[0]!r}"
        raise source.asked.refused(problem)
    if other := sorted(report.get("mismatched_keys") or ()):
        name, found, wanted = other[0]
        shapes = f"{name!r} has the shape {tuple(found)} and should have {tuple(wanted)}"
        raise source.asked.refused(f"{whose} {source.asked.value!r} do not fit their config.json: {shapes}")
