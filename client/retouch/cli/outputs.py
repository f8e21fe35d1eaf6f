"""The files that a command writes, checked before the service is asked to do any work."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retouch.pictures import FORMATS, ranked


class UsageError(Exception):
    """The command line asks for something impossible. The message says why in one line."""


@dataclass(frozen=True)
class EditOutputs:
    """The files for the pictures, best first, for the unfinished ones, and for the mask and the strip if wanted."""

    pictures: tuple[Path, ...]
    mask: Path | None
    partials: tuple[Path, ...] = ()
    strip: Path | None = None


def edit_outputs(options: argparse.Namespace) -> EditOutputs:
    """Return the files that `retouch edit` or `remove` will write. Raises `UsageError` if one cannot be written."""
    check_input(options.image)
    for drawn in filter(None, (options.mask, options.markup)):
        check_input(drawn)
    best = options.out or options.image.with_name(f"{options.image.stem}.edited.png")
    pictures = tuple(ranked(best, rank) for rank in range(1, (options.n or 1) + 1))
    partials = tuple(best.with_name(f"partial-{number}.png") for number in range(1, (options.partial_images or 0) + 1))
    others = [path for path in (options.mask_out, options.strip) if path]
    check_outputs([*pictures, *others, *partials], options.image, mask=options.mask, markup=options.markup)
    return EditOutputs(pictures, options.mask_out, partials, options.strip)


def check_input(path: Path) -> None:
    """Raise `UsageError` unless `path` is a file that can be read."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a picture")
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} may not be read")


def check_outputs(paths: Sequence[Path], picture: Path, mask: Path | None = None, markup: Path | None = None) -> None:
    """Raise `UsageError` unless all `paths` can be written, are different files, and are none of those that go in."""
    inputs = {"picture": picture, "mask": mask, "markup": markup}
    seen: set[Path] = set()
    for path in paths:
        _check_place(path)
        _check_not_inputs(path, inputs)
        if path.resolve() in seen:
            raise UsageError(f"{path} is named twice")
        seen.add(path.resolve())


def check_masks_folder(folder: Path, picture: Path, markup: Path | None = None) -> None:
    """Raise `UsageError` unless masks can be written into `folder`, which may be new, over nothing that goes in."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    home = folder if folder.exists() else folder.parent
    if not home.is_dir():
        raise UsageError(f"there is no folder {home}")
    if not os.access(home, os.W_OK):
        raise UsageError(f"{home} may not be written")
    for path in folder.glob("mask-*.png"):
        _check_not_inputs(path, {"picture": picture, "markup": markup})


def _check_place(path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} must end in one of {', '.join(FORMATS)}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path} may not be written")


def _check_not_inputs(path: Path, inputs: Mapping[str, Path | None]) -> None:
    for what, source in inputs.items():
        if source and path.exists() and path.samefile(source):
            raise UsageError(f"{path} is the {what} itself, which is never overwritten")
