"""Writing pictures to files."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"lossless": True}),
}
"""File name endings we write: Pillow's name of the format and its options."""


def ranked(path: Path, rank: int) -> Path:
    """Where the picture of this rank goes, if the best one (rank 1) goes to `path`: `a.png`, `a-2.png`, ..."""
    return path if rank == 1 else path.with_name(f"{path.stem}-{rank}{path.suffix}")


def write_picture(image: Image.Image, path: Path) -> None:
    """Write `image` in the format that the name of `path` says. It is encoded first, so a failure leaves no stump."""
    name, options = FORMATS[path.suffix.lower()]
    if name == "JPEG" and image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    encoded = io.BytesIO()
    image.save(encoded, format=name, **options)
    path.write_bytes(encoded.getvalue())


def write_pictures(folder: str | os.PathLike[str], pictures: Mapping[Path, Image.Image]) -> tuple[Path, ...]:
    """Write pictures by their names in `folder`, which is made if need be, and return their paths."""
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    for name, image in pictures.items():
        write_picture(image, home / name)
    return tuple(home / name for name in pictures)
