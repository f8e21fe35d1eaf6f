"""What is to be done of a batch: each row with its digest and the file that it goes to.

The digest of a row stands for the bytes of its pictures and for all that the row says. So a row is done again if one of
them has changed, and a row that has only moved within its source is not.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from retouch.cli.batch.report import COLUMNS, results_in
from retouch.cli.batch.source import Row
from retouch.cli.outputs import UsageError
from retouch.pictures import ranked


@dataclass(frozen=True)
class Job:
    """A row, its digest, and the path of its best picture.

    If the pictures of a row cannot be read, it has no digest, and `problem` says why. By the `idempotency_key` the
    service knows an edit that it has been sent before.
    """

    row: Row
    digest: str
    output: Path
    problem: str
    idempotency_key: str


def plan(rows: Iterable[Row], folder: Path, recorded: Mapping[str, str], occasion: str = "") -> list[Job]:
    """Return a job for each row, whose pictures go to `folder`.

    `recorded` has the name of the picture of each digest that an earlier run has done. Such a row keeps that name.
    Another one is named after its picture, and after its digest too where two rows would else write the same file. The
    service repeats an answer that it has kept, unless the rows are sent on another `occasion`.
    """
    digests = list(_digests(rows))
    plain = Counter(name for row, digest, _ in digests if digest for name in _names(row))
    taken = {name.casefold() for name in recorded.values()}
    jobs = []
    for row, digest, problem in digests:
        is_alone = all(plain[name] <= 1 and name not in taken for name in _names(row))
        name = f"{row.image.stem}.png" if is_alone else f"{row.image.stem}-{digest[:8]}.png"
        jobs.append(Job(row, digest, folder / recorded.get(digest, name), problem, digest + occasion))
    return jobs


def check_folder(folder: Path, rows: Iterable[Row], source: Path) -> None:
    """Raise `UsageError` unless `folder` can take pictures and a report, and none of what goes in is overwritten."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    if not folder.exists() and not folder.parent.is_dir():
        raise UsageError(f"there is no folder {folder.parent}")
    for path in {path for row in rows for path in _files(row).values()}:
        if path.resolve().parent == folder.resolve():
            raise UsageError(f"{folder} holds {path}, and what goes in is never overwritten: name another folder by -o")
    _check_results(results_in(folder), source)


def _check_results(path: Path, source: Path) -> None:
    """Raise `UsageError` if a file at `path` is not the report of an earlier batch, which is replaced."""
    if not path.exists():
        return
    if path.samefile(source):
        raise UsageError(f"{path} is what goes in, and the report would replace it: name another folder by -o")
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first_line = file.readline()
    if first_line and first_line.rstrip("\r\n") != ",".join(COLUMNS):
        raise UsageError(f"{path} is not the report of a batch, which would replace it: name another folder by -o")


def _digests(rows: Iterable[Row]) -> Iterator[tuple[Row, str, str]]:
    """Yield each row with its digest, or with the reason why its pictures cannot be read.

    Of rows that are the same each is an edit of its own: the digest of the second one has its number in it.
    """
    digest_of_file = cache(lambda path: hashlib.sha256(path.read_bytes()).hexdigest())
    times: Counter[str] = Counter()
    for row in rows:
        try:
            digest = _digest(row, digest_of_file)
        except OSError as error:
            yield row, "", f"{error.filename or row.image} cannot be read: {error.strerror}"
        else:
            times[digest] += 1
            yield row, digest if times[digest] == 1 else _hashed([digest, times[digest]]), ""


def _digest(row: Row, digest_of_file: Callable[[Path], str]) -> str:
    files = {name: digest_of_file(path) for name, path in _files(row).items()}
    return _hashed({"prompt": row.prompt, **row.options, **files})


def _hashed(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _files(row: Row) -> dict[str, Path]:
    """Return the pictures that a row sends, by the names that they have there."""
    return {"image": row.image, **{name: value for name, value in row.options.items() if isinstance(value, Path)}}


def _names(row: Row) -> list[str]:
    """Return the names of the pictures of a row, without a digest in them and as a file system may compare them."""
    best = Path(f"{row.image.stem}.png")
    return [ranked(best, rank).name.casefold() for rank in range(1, (row.options.get("n") or 1) + 1)]
