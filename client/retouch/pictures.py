"""From what callers have at hand (a path, bytes, a file, a Pillow image) to the bytes that are sent."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL import Image


class BinaryFile(Protocol):
    """A file opened for reading bytes, or anything that reads like one."""

    def read(self) -> bytes:
        """All bytes that are left."""
        ...


ImageInput = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image
"""A picture: a path, the bytes of a PNG, JPEG or WebP file, a file opened in binary mode, or a Pillow image."""

_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})


@dataclass(frozen=True)
class Picture:
    """The bytes of an image file, as they travel. The name that the file has here stays here."""

    content: bytes = field(repr=False)

    @property
    def media_type(self) -> str:
        """By the first bytes, never by the name; what we do not know is left to the service to judge."""
        if self.content.startswith(b"\x89PNG\r\n\x1a\n"):
            return "image/png"
        if self.content.startswith(b"\xff\xd8\xff"):
            return "image/jpeg"
        if self.content[:4] == b"RIFF" and self.content[8:12] == b"WEBP":
            return "image/webp"
        return "application/octet-stream"

    @property
    def file_name(self) -> str:
        """A name that fits the type."""
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


def _all_bytes(file: BinaryFile) -> bytes:
    content = file.read()
    if not isinstance(content, bytes):
        raise TypeError(f"the image file gave {type(content).__name__} where bytes are needed: open it with mode 'rb'")
    return content


def _encoded(image: Image.Image) -> bytes:
    """As PNG, pixel for pixel as Pillow shows it: an orientation tag that was not applied is not sent.

    Packed quickly rather than tightly, as the file travels once.
    """
    file = io.BytesIO()
    lossless = image if image.mode in _PNG_MODES else image.convert("RGB")
    lossless.save(file, format="PNG", compress_level=1)
    return file.getvalue()
