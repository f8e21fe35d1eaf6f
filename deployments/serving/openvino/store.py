"""Compiled models on disk: found by a key, written whole or not at all, read only if nothing in them has changed.

Any number of processes may share the folder. Two that make the same entry both write it, and the last one stays.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "RETOUCH_CACHE_DIR"
MOST_BYTES = 8 * 2**30
SUFFIX = ".blob"
DIGEST_BYTES = hashlib.sha256().digest_size


def default_folder() -> Path:
    """Return `openvino` in the folder that RETOUCH_CACHE_DIR names, else in `retouch` of XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(named) if named else caches / "retouch") / "openvino"


class Store:
    """The entries of one folder, `most_bytes` of them together; those that were used last are kept.

    Where the folder cannot be written, entries live in a temporary one as long as the process does.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self.folder = _writable(folder or default_folder())

    def find(self, key: str) -> np.ndarray | None:
        """Return the entry of `key`, N uint8 read from its file as needed.

        None where there is none, or it is damaged.
        """
        path = self._path(key)
        try:
            written = np.memmap(path, np.uint8, mode="r")
        except (OSError, ValueError):  # there is no such file, or nothing in it
            return None
        digest, content = written[:DIGEST_BYTES], written[DIGEST_BYTES:]
        if hashlib.sha256(content.data).digest() != digest.tobytes():
            logger.warning("a compiled model in the cache is damaged and will be made anew: %s", path)
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def keep(self, key: str, content: bytes | memoryview) -> None:
        """Write the entry of `key`, then remove those that were not used for the longest time if all are too many."""
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False) as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
        os.replace(file.name, self._path(key))
        self._shrink(self._path(key))

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}{SUFFIX}"

    def _shrink(self, newest: Path) -> None:
        entries = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):  # another process has just removed it
                entries.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self._most_bytes:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                total -= size


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        logger.warning("compiled models are not kept, since %s cannot be written (%s)", folder, error.strerror)
        return Path(tempfile.mkdtemp(prefix="retouch-"))
