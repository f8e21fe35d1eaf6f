"""Files that are small and claim, or unfold into, more than anyone should decode."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def png_bomb(width: int, height: int, rows: int) -> bytes:
    """Return a PNG of this size in pixels that has so many rows, all black."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes(width + 1) * rows)
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def plain(width: int, height: int, kind: str = "PNG") -> bytes:
    """Return a red picture of this size in pixels as a file of this kind."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, kind)
    return out.getvalue()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
