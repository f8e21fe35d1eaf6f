"""Picture files: read from what callers have at hand, to be sent, and written from Pillow images."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL import Image


class BinaryFile(Protocol):
    """A file opened for reading bytes, or anything that reads like one."""

    def read(self) -> bytes:
        """Return all bytes that are left."""
        ...


ImageInput = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image
"""A picture: a path, the bytes of a PNG, JPEG or WebP file, a file opened in binary mode, or a Pillow image."""

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"lossless": True}),
}
"""The file name endings that can be written, each with the format's name in Pillow and its options."""

_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})


@dataclass(frozen=True)
class Picture:
    """The bytes of an image file, as they are sent. The name that the file has here is not sent."""

    content: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """The type by the first bytes, never by a name. The service judges a type that is unknown here."""
        if self.content.startswith(b"\x89PNG\r\n\x1a\n"):
            return "image/png"
        if self.content.startswith(b"\xff\xd8\xff"):
            return "image/jpeg"
        if self.content[:4] == b"RIFF" and self.content[8:12] == b"WEBP":
            return "image/webp"
        return "application/octet-stream"

    @property
    def file_name(self) -> str:
        """A file name that fits the type."""
        kind, _, subtype = self.media_type.partition("/")
        return f"image.{subtype}" if kind == "image" else "image"


def read_picture(image: ImageInput) -> Picture:
    """Read `image` whole. A file object is read from where it stands and is left open."""
    if isinstance(image, Image.Image):
        return Picture(_encoded(image))
    if isinstance(image, (bytes, bytearray, memoryview)):
        return Picture(bytes(image))
    if isinstance(image, (str, os.PathLike)):
        return Picture(Path(image).read_bytes())
    if hasattr(image, "read"):
        return Picture(_all_bytes(image))
    raise TypeError(f"an image is a path, bytes, a binary file or a Pillow image, not {type(image).__name__}")


def ranked(path: Path, rank: int) -> Path:
    """Return the path for the picture of `rank`, given the path of the best one (rank 1): `a.png`, `a-2.png`, ..."""
    return path if rank == 1 else path.with_name(f"{path.stem}-{rank}{path.suffix}")


def write_picture(image: Image.Image, path: Path) -> None:
    """Write `image` in the format of the ending of `path`. A failure to encode it leaves no broken file."""
    name, options = FORMATS[path.suffix.lower()]
    if name == "JPEG" and image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    encoded = io.BytesIO()
    image.save(encoded, format=name, **options)
    path.write_bytes(encoded.getvalue())


def write_pictures(folder: str | os.PathLike[str], pictures: Mapping[Path, Image.Image]) -> tuple[Path, ...]:
    """Write pictures into `folder` by their names and return their paths. A missing folder is created."""
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    for name, image in pictures.items():
        write_picture(image, home / name)
    return tuple(home / name for name in pictures)


def _all_bytes(file: BinaryFile) -> bytes:
    content = file.read()
    if not isinstance(content, bytes):
        raise TypeError(f"the image file gave {type(content).__name__} where bytes are needed: open it with mode 'rb'")
    return content


def _encoded(image: Image.Image) -> bytes:
    """Return a PNG of the pixels as Pillow shows them. An orientation tag that was not applied is not sent.

    The file is packed quickly rather than tightly, because it is sent once.
    """
    file = io.BytesIO()
    lossless = image if image.mode in _PNG_MODES else image.convert("RGB")
    lossless.save(file, format="PNG", compress_level=1)
    return file.getvalue()
