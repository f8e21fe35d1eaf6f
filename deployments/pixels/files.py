"""Bytes to pictures and back: HxWx3 uint8 sRGB inside, PNG, JPEG or WebP outside.

What a file becomes, whatever it holds:

- The first bytes say what it is; its name and content type are not looked at. Of an animation the first
  frame counts.
- Too many bytes or pixels are refused before a pixel is decoded, missing ones afterwards. A PNG must hold
  every row and its end mark, a WebP every byte. A JPEG that stops is refused too; one that was cut *and*
  given a new end mark is grey where data is missing, as in any viewer: its format does not say how much
  there should be.
- EXIF orientation is applied, so that "left" is what a viewer shows on the left.
- Transparency is laid over white, which is what most pages and viewers show it on. The painter knows no
  alpha, and the colours under transparent pixels are often leftovers that nobody has ever seen.
- An embedded colour profile is converted to sRGB; one that makes no sense is ignored, as viewers do.
- Nothing else of the file survives: pictures are encoded from their pixels alone, so EXIF, text chunks and
  whatever was appended to the file stay behind.
- What was converted on the way is named with the pixels: `Conversion` has the names.

A mask is read like a picture, except that its colour profile means nothing, and that it is its transparency or its
luminance that counts, at the file's own depth.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
from PIL import Image, ImageChops

from deployments.errors import ImageTooLarge, InvalidImage, InvalidInput, UnsupportedImage
from deployments.limits import Limits
from deployments.pixels.loaded import by_profile, colour_and_alpha, exif_tags, turned_upright
from deployments.pixels.markup import ReadMarkup, read_markup
from deployments.pixels.mask_files import MaskMode, ReadMask, read_mask
from deployments.pixels.metadata import PNG_SIGNATURE, has_metadata, png_chunks

Format = Literal["png", "jpeg", "webp"]
Conversion = Literal["profile", "alpha", "depth", "orientation", "frames", "metadata"]
FORMATS: tuple[Format, ...] = get_args(Format)
LONGEST_SIDE_PX: dict[Format, int] = {"png": 2**31 - 1, "jpeg": 65_535, "webp": 16_383}  # by file format

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATE_STEP = 65_536


_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False, slots=True)
class Decoded:
    """A picture as it was read: `pixels` HxWx3 uint8 sRGB, upright and opaque, and what of its file was `converted`.

    - profile: an ICC profile or CMYK became sRGB, and pixels changed by that;
    - alpha: something transparent was laid over white;
    - depth: 16 bits became 8;
    - orientation: the pixels were turned upright, as the EXIF data asks;
    - frames: of several pictures in the file only the first was read;
    - metadata: something beside the picture was left behind, or a profile that makes no sense.
    """

    pixels: np.ndarray
    converted: tuple[Conversion, ...]


def decode(data: bytes, limits: Limits, param: str = "image") -> Decoded:
    """Return the picture in `data`, and what was converted to read it. `param` is the request's field named in errors.

    Raises UnsupportedImage, InvalidImage or ImageTooLarge.
    """
    return _read(data, limits, param, lambda picture: _decoded(picture, data))


def decode_mask(data: bytes, limits: Limits, mode: MaskMode = "auto", param: str = "mask") -> ReadMask:
    """Return the mask in `data`, which marks at least one pixel. `param` is the request's field named in errors.

    By "alpha" the more transparent half of the scale marks, as with OpenAI; by "luminance" the lighter half, where
    what is transparent counts as black (as with `mask-mode: luminance` in CSS), or of a mask of two dark levels, such
    as 0 and 1, the one that is not 0. "auto" goes by alpha if there is any, and refuses what numbers several things.
    """
    return _read(data, limits, param, lambda file: read_mask(file, mode, param))


def decode_markup(data: bytes, limits: Limits, param: str = "markup") -> ReadMarkup:
    """Return what is drawn in `data`, a file that is transparent but for its strokes: a loop, or points on things.

    `param` is the request's field named in errors.
    """
    return _read(data, limits, param, lambda file: read_markup(file, param))


def _read(data: bytes, limits: Limits, param: str, reading: Callable[[Image.Image], _Result]) -> _Result:
    """Return what `reading` makes of the loaded file. Any fault of the file is an InvalidInput about `param`."""
    if len(data) > limits.max_image_bytes:
        raise ImageTooLarge(
            f"`{param}` has {len(data):,} bytes; at most {limits.max_image_bytes:,} are accepted.", param
        )
    kind = _format_of(data, param)
    try:
        with Image.open(io.BytesIO(data), formats=(kind.upper(),)) as picture:
            _check_size(*picture.size, limits, param)
            if kind == "png" and not _png_is_complete(data):
                raise InvalidImage(f"`{param}` is a PNG that ends too early.", param)
            picture.load()
            return reading(picture)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        # Pillow has a ceiling of its own, for an operator who sets ours higher. It only warns at first: our
        # own check, which follows at once, covers that case unless warnings are errors.
        raise ImageTooLarge(f"`{param}` has more pixels than are accepted.", param) from None
    except (InvalidInput, MemoryError):
        raise
    except Exception as cause:  # on hostile files decoders raise nearly anything, and their texts stay here
        raise InvalidImage(f"`{param}` is no readable {kind.upper()}: it is damaged or incomplete.", param) from cause


def encode(image: np.ndarray, format: Format = "png", quality: int = 100) -> bytes:
    """Return `image` (HxWx3 uint8 in sRGB) as a file without metadata; `quality` 0..100 acts on JPEG and WebP."""
    # Level 1 of a photograph takes a quarter of the default level's time and 5 % more bytes.
    options: dict[str, int] = {"compress_level": 1} if format == "png" else {"quality": quality}
    if format == "jpeg" and quality >= 90:
        options["subsampling"] = 0  # whoever asks for this much does not want blurred colours
    out = io.BytesIO()
    Image.fromarray(image).save(out, format.upper(), **options)
    return out.getvalue()


def mask_png(mask: np.ndarray) -> bytes:
    """Return `mask` (HxW bool) as a grey PNG: white where it is True, black elsewhere."""
    return encode(np.where(mask, np.uint8(255), np.uint8(0)), "png")


def _format_of(data: bytes, param: str) -> Format:
    if data.startswith(PNG_SIGNATURE):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    what = "is neither PNG, JPEG nor WebP" if data else "is empty; send a PNG, JPEG or WebP file"
    raise UnsupportedImage(f"`{param}` {what}.", param)


def _check_size(width: int, height: int, limits: Limits, param: str) -> None:
    size = f"`{param}` is {width}x{height} pixels"
    if max(width, height) > limits.max_side_px:
        raise ImageTooLarge(f"{size}; no side may be longer than {limits.max_side_px}.", param)
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"{size}; at most {limits.max_pixels:,} pixels are accepted.", param)
    if min(width, height) < limits.min_side_px:
        raise InvalidImage(f"{size}; no side may be shorter than {limits.min_side_px}.", param)


def _png_is_complete(data: bytes) -> bool:
    """Return whether a PNG holds all its rows and its end mark.

    Pillow does not check: it leaves missing rows black. So the pixel data is inflated here once more,
    in small steps and without keeping it, and counted against what the header announces.
    """
    inflater = zlib.decompressobj()
    missing: int | None = None
    for name, body in png_chunks(data):
        if name == b"IHDR":
            if missing is not None:
                return False
            missing = _png_pixel_bytes(body)
        elif name == b"IDAT" and missing is not None:
            missing -= _inflated_bytes(inflater, body, missing)
        elif name == b"IEND":
            return missing == 0
    return False


def _png_pixel_bytes(header: memoryview) -> int:
    """Return how many bytes a PNG's pixels have before compression, with one filter byte for each row."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    depth, colour_type, interlaced = header[8], header[9], header[12]
    bits = depth * _PNG_CHANNELS[colour_type]
    passes = [(width, height)]
    if interlaced:
        passes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _ADAM7]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in passes if columns > 0 and rows > 0)


def _inflated_bytes(inflater: zlib._Decompress, body: memoryview, wanted: int) -> int:
    """Return how many bytes `body` inflates to, counting no further than `wanted`."""
    found = 0
    for start in range(0, len(body), _INFLATE_STEP):
        rest: bytes | memoryview = body[start : start + _INFLATE_STEP]
        while rest and found < wanted:
            found += len(inflater.decompress(rest, min(wanted - found, _INFLATE_STEP * 16)))
            rest = inflater.unconsumed_tail
    return found


def _decoded(picture: Image.Image, data: bytes) -> Decoded:
    """Return the pixels of the loaded picture, and what reading converted."""
    colour, alpha = colour_and_alpha(picture)
    plain = colour if colour.mode == "RGB" else colour.convert("RGB")
    profile = picture.info.get("icc_profile")
    meant = by_profile(colour, profile) if profile else None
    flat = _over_white(plain if meant is None else meant, alpha)
    upright = turned_upright(picture, flat)
    happened: dict[Conversion, bool] = {
        "profile": colour.mode == "CMYK" or (meant is not None and _differ(meant, plain)),
        "alpha": alpha is not None and alpha.getextrema() != (255, 255),
        "depth": _has_16_bits(picture, data),
        "orientation": upright is not flat,
        "frames": getattr(picture, "n_frames", 1) > 1,
        "metadata": (bool(profile) and meant is None) or has_metadata(data, exif_tags(picture)),
    }
    return Decoded(np.array(upright), tuple(kind for kind, did in happened.items() if did))


def _over_white(colour: Image.Image, alpha: Image.Image | None) -> Image.Image:
    if alpha is None:
        return colour
    ground = Image.new("RGB", colour.size, "white")
    ground.paste(colour, mask=alpha)
    return ground


def _differ(one: Image.Image, other: Image.Image) -> bool:
    """Return whether any pixel of two pictures differs."""
    return one is not other and ImageChops.difference(one, other).getbbox() is not None


def _has_16_bits(picture: Image.Image, data: bytes) -> bool:
    """Return whether the channels have 16 bits. JPEG and WebP have 8; Pillow's mode says it of grey pictures only."""
    return picture.format == "PNG" and any(name == b"IHDR" and body[8] == 16 for name, body in png_chunks(data))
