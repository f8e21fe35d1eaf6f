"""A picture as it was loaded: its colours, its opacity, its profile, and which way is up."""

from __future__ import annotations

import io

import numpy as np
from PIL import ExifTags, Image, ImageCms

_UPRIGHT = {  # EXIF orientation -> what turns the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PROFILE_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}  # picture mode -> ICC name of its colour space


def colour_and_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours in a mode that a profile can describe (RGB, L, CMYK), and the opacity (L) if there is any."""
    if picture.mode.startswith("I"):
        return _grey_of_16_bits(picture)
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        colour = picture.getchannel("L") if picture.mode == "LA" else rgba.convert("RGB")
        return colour, rgba.getchannel("A")
    if picture.mode in _PROFILE_SPACES:
        return picture, None
    return picture.convert("L" if picture.mode == "1" else "RGB"), None


def _grey_of_16_bits(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return 16-bit grey scaled to 8 bits. Pillow's own conversion clips at 255, so nearly all of it is white."""
    levels = np.asarray(picture).astype(np.int32)
    grey = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    clear = picture.info.get("transparency")
    if clear is None:
        return grey, None
    return grey, Image.fromarray(np.where(levels == clear, np.uint8(0), np.uint8(255)))


def by_profile(colour: Image.Image, profile: bytes) -> Image.Image | None:
    """Return `colour` converted to sRGB by an ICC profile, or None where the profile does not describe such a picture.

    A broken profile is no reason to refuse a picture that everyone else shows.
    """
    try:
        return _converted(colour, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _converted(colour: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    if profile.profile.xcolor_space != _PROFILE_SPACES[colour.mode]:
        raise ValueError("a profile for another kind of picture")
    to_srgb = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), colour.mode, "RGB")
    if colour.mode == "RGB" and _changes_nothing(to_srgb):
        return colour
    converted = ImageCms.applyTransform(colour, to_srgb)
    if converted is None:  # the signature's case of a transform in place, which this is not
        raise ValueError("no picture came back")
    return converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return whether a transform moves no colour by more than a rounding step: most profiles are sRGB by another name.

    Such pictures then keep their bytes, so that an edit can be compared with its original.
    """
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), transform)).astype(np.int16) - cube
    return bool(np.abs(moved).max() <= 1)


def turned_upright(source: Image.Image, picture: Image.Image) -> Image.Image:
    """Return `picture` turned as the EXIF data of `source` asks, or as it is where that data cannot be read."""
    try:
        turn = _UPRIGHT.get(source.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as for the decoders above: damaged EXIF makes Pillow raise many things
        return picture
    return picture if turn is None else picture.transpose(turn)


def exif_tags(picture: Image.Image) -> set[int]:
    """Return the EXIF tags in the main directory of a picture file; none where they cannot be read."""
    try:
        return set(picture.getexif())
    except Exception:  # as above
        return set()
