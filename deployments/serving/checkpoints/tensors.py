"""The names of the tensors in a file of weights, read without torch and without running any of it."""

from __future__ import annotations

import json
import pickletools
import zipfile
from pathlib import Path
from typing import IO

LONGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library itself
GIT_LFS = b"version https://git-lfs.github.com/"
PICKLES_BEFORE_THE_STATE = 3  # in torch's format before 1.6: a magic number, a version, and facts about the system


class NoWeights(ValueError):
    """The file holds no weights; the message says what it is instead."""


def names(path: Path) -> set[str]:
    """Return the names of the tensors in a .safetensors file, or all texts in a file of torch.save.

    Raises NoWeights, or OSError where the file cannot be read.
    """
    refuse_stand_in(path)
    return set(safetensors_header(path)) if path.suffix == ".safetensors" else _pickled_texts(path)


def refuse_stand_in(path: Path) -> None:
    """Refuse an empty file, and the note that git leaves in the place of a large file that it did not fetch."""
    with path.open("rb") as file:
        start = file.read(len(GIT_LFS))
    if not start:
        raise NoWeights("it is empty")
    if start == GIT_LFS:
        raise NoWeights("it is the pointer of git-lfs to the weights; `git lfs pull` fetches them")


def safetensors_header(path: Path) -> dict[str, dict]:
    """Return what the header of a .safetensors file says of each tensor. Refuse a file that is shorter than it says."""
    refuse_stand_in(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(LONGEST_HEADER, size - 8):
            raise NoWeights("it is not a safetensors file, or only the start of one")
        tensors = _parsed(file.read(length))
    end = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    if size < end:
        raise NoWeights(f"it is cut short: {size:,} of {end:,} bytes")
    return tensors


def _parsed(header: bytes) -> dict[str, dict]:
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        for tensor in tensors.values():
            int(tensor["data_offsets"][1])
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        raise NoWeights("it is not a safetensors file") from None
    return tensors


def _pickled_texts(path: Path) -> set[str]:
    try:
        if zipfile.is_zipfile(path):
            return _texts_in_archive(path)
        with path.open("rb") as file:
            for _ in range(PICKLES_BEFORE_THE_STATE):
                _texts(file)
            return _texts(file)
    except OSError:
        raise
    except Exception:  # whatever stands in the file
        raise NoWeights("it cannot be read as a file of plain tensors") from None


def _texts_in_archive(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        (state,) = (name for name in archive.namelist() if name.split("/")[-1] == "data.pkl")
        with archive.open(state) as file:
            return _texts(file)


def _texts(pickled: IO[bytes]) -> set[str]:
    """Return all texts of the next pickle, whose operations are listed, not carried out."""
    return {str(value) for operation, value, _ in pickletools.genops(pickled) if "UNICODE" in operation.name}
