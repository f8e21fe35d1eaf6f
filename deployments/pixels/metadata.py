"""What a picture file carries beside its picture: EXIF, texts, resolution, provenance.

It goes by the parts that the file is made of. Those that hold the pixels or say how to read them are known; every
other part is metadata, whatever it may be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass

from PIL import ExifTags

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_ENOUGH = 24  # bytes of a part that tell what it is
_MARKER = re.compile(rb"\xff[^\x00\xff]")  # of a segment of a JPEG
_START_OF_SCAN = b"\xff\xda"  # behind it are the pixels


def has_metadata(data: bytes, exif_tags: Set[int]) -> bool:
    """Return whether a file, PNG, JPEG or WebP, holds metadata beside its picture.

    `exif_tags` are the EXIF tags in it. The orientation does not count among them, since it is applied to the pixels.
    """
    layout = next(layout for layout in _LAYOUTS if data.startswith(layout.signature))
    for part in layout.parts(data):
        if part.startswith(layout.exif):
            if exif_tags != {ExifTags.Base.Orientation}:
                return True
        elif not layout.picture.match(part):
            return True
    return False


def png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the name and the body of each whole chunk of a PNG."""
    view = memoryview(data)
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(view):  # length, name and checksum take 4 bytes each
        length = int.from_bytes(view[at : at + 4], "big")
        end = at + 12 + length
        if end > len(view):
            return
        yield bytes(view[at + 4 : at + 8]), view[at + 8 : at + 8 + length]
        at = end


def _png_parts(data: bytes) -> Iterator[bytes]:
    return (name for name, _ in png_chunks(data))


def _jpeg_parts(data: bytes) -> Iterator[bytes]:
    """Yield the marker and first bytes of each segment before the pixels. Like Pillow, skip what lies between."""
    marker = _MARKER.search(data, 2)
    while marker and marker[0] != _START_OF_SCAN:
        at = marker.end()
        yield marker[0][1:] + data[at + 2 : at + 2 + _ENOUGH]
        marker = _MARKER.search(data, at + int.from_bytes(data[at : at + 2], "big"))


def _webp_parts(data: bytes) -> Iterator[bytes]:
    """Yield the name of each chunk. Chunks are padded to an even length."""
    at = 12
    while at + 8 <= len(data):
        yield data[at : at + 4]
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2


@dataclass(frozen=True)
class _Layout:
    """How a format is made: its `parts` by their first bytes, which of them are the `picture`, which one is `exif`."""

    signature: bytes
    parts: Callable[[bytes], Iterator[bytes]]
    picture: re.Pattern[bytes]
    exif: bytes


_LAYOUTS = (
    _Layout(PNG_SIGNATURE, _png_parts, re.compile(rb"IHDR|PLTE|IDAT|IEND|tRNS|iCCP|sRGB|acTL|fcTL|fdAT"), b"eXIf"),
    _Layout(
        b"\xff\xd8",
        _jpeg_parts,
        # A JFIF header without units, for square pixels and without a thumbnail says nothing.
        re.compile(rb"\xe0JFIF\0..\0(..)\1\0\0|\xe2ICC_PROFILE\0|\xeeAdobe|[^\xe0-\xef\xfe]", re.DOTALL),
        b"\xe1Exif\0\0",
    ),
    _Layout(b"RIFF", _webp_parts, re.compile(rb"VP8[XL ]|ALPH|ICCP|ANIM|ANMF"), b"EXIF"),
)
