"""Reading a mask: by its transparency or by its luminance, whatever the file."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from deployments.config import Limits
from deployments.errors import InvalidInput, UnsupportedImage
from deployments.images import decode_mask, mask_png

LIMITS = Limits()
MARKED = np.zeros((24, 32), bool)
MARKED[:12, :16] = True
LIGHT = np.where(MARKED, np.uint8(255), np.uint8(0))
GREY = Image.fromarray(LIGHT)


def saved(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def with_alpha(light: np.ndarray, alpha: np.ndarray, mode: str = "LA") -> Image.Image:
    return Image.merge("LA", (Image.fromarray(light), Image.fromarray(alpha))).convert(mode)


def test_what_we_write_reads_back():
    mask = decode_mask(mask_png(MARKED), LIMITS)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, MARKED)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
@pytest.mark.parametrize("how", ["auto", "luminance"])
def test_opaque_files_mark_by_luminance(mode, how):
    np.testing.assert_array_equal(decode_mask(saved(GREY.convert(mode)), LIMITS, how), MARKED)


def test_luminance_of_colours():
    """Green is light and blue is dark, as the eye has it."""
    colours = Image.new("RGB", (32, 24), "blue")
    colours.paste("lime", (0, 0, 16, 12))
    np.testing.assert_array_equal(decode_mask(saved(colours), LIMITS), MARKED)
    inks = Image.new("CMYK", (32, 24), (0, 0, 0, 255))
    inks.paste((0, 0, 0, 0), (0, 0, 16, 16))
    mask = decode_mask(saved(inks, "JPEG", quality=100), LIMITS)
    assert mask[:12, :12].all()
    assert not mask[20:, 20:].any()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("how", ["auto", "alpha"])
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_files_with_alpha_mark_where_they_are_clear(mode, how, format):
    picture = with_alpha(255 - LIGHT, 255 - LIGHT, mode).convert("RGBA" if format == "WEBP" else mode)
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    np.testing.assert_array_equal(decode_mask(saved(picture, format, **options), LIMITS, how), MARKED)


@pytest.mark.parametrize(("level", "marks"), [(0, True), (127, True), (128, False), (255, False)])
def test_half_clear_is_the_border(level, marks):
    alpha = np.full((24, 32), level, np.uint8)
    assert (decode_mask(saved(with_alpha(LIGHT, alpha)), LIMITS) == marks).all()


@pytest.mark.parametrize(("level", "marks"), [(0, False), (127, False), (128, True), (255, True)])
def test_middle_grey_is_the_border(level, marks):
    assert (decode_mask(saved(Image.new("L", (32, 24), level)), LIMITS) == marks).all()


def test_what_is_clear_is_not_light():
    """White strokes on a clear ground, whatever colour that has."""
    white = np.full((24, 32), 255, np.uint8)
    strokes = saved(with_alpha(white, LIGHT))
    np.testing.assert_array_equal(decode_mask(strokes, LIMITS, "luminance"), MARKED)
    np.testing.assert_array_equal(decode_mask(strokes, LIMITS, "auto"), ~MARKED)


def test_one_clear_colour():
    """Of a palette, of 8 bits and of 16."""
    indices = Image.fromarray(MARKED.astype(np.uint8))
    indices.putpalette([255, 255, 255, 0, 0, 0])
    deep = Image.fromarray(np.where(MARKED, np.uint16(7), np.uint16(65_535)))
    files = [saved(indices, transparency=1), saved(deep, transparency=7)]
    files += [saved(Image.fromarray(255 - LIGHT), transparency=0)]
    for data in files:
        np.testing.assert_array_equal(decode_mask(data, LIMITS), MARKED)
        np.testing.assert_array_equal(decode_mask(data, LIMITS, "luminance"), ~MARKED)


def test_16_bits_are_scaled():
    deep = Image.fromarray(np.where(MARKED, np.uint16(33_000), np.uint16(32_500)))
    np.testing.assert_array_equal(decode_mask(saved(deep), LIMITS), MARKED)


@pytest.mark.parametrize("picture", [GREY, GREY.convert("P"), GREY.convert("RGB")], ids=["grey", "palette", "colour"])
def test_alpha_that_is_not_there(picture):
    with pytest.raises(InvalidInput, match="`selection` has no alpha channel") as refused:
        decode_mask(saved(picture), LIMITS, "alpha", param="selection")
    assert refused.value.param == "selection"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    mask = decode_mask(saved(GREY, exif=exif), LIMITS)
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert mask.shape == ((24, 32) if orientation < 5 else (32, 24))
    assert mask[corner[orientation]]
    assert mask.sum() == MARKED.sum()
    assert mask[mask.any(axis=1)][:, mask.any(axis=0)].all()


def test_colour_profile_means_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    np.testing.assert_array_equal(decode_mask(saved(GREY.convert("RGB"), icc_profile=profile), LIMITS), MARKED)


def test_limits_and_formats_are_those_of_pictures():
    for data in (b"", b"GIF89a", b"\x89PNG"):
        with pytest.raises(UnsupportedImage) as refused:
            decode_mask(data, LIMITS)
        assert refused.value.param == "mask"
    for limits in (Limits(max_image_bytes=50), Limits(max_pixels=500), Limits(max_side_px=31), Limits(min_side_px=25)):
        with pytest.raises(InvalidInput, match=r"^`mask` "):
            decode_mask(saved(GREY), limits)


def test_damaged_bytes_never_escape_as_anything_but_an_invalid_input():
    rng = np.random.default_rng(5)
    for data in (saved(GREY), saved(with_alpha(LIGHT, LIGHT)), saved(GREY, "JPEG"), saved(GREY, "WEBP")):
        for _ in range(100):
            damaged = np.frombuffer(data, np.uint8).copy()
            damaged[rng.integers(12, len(data), 4)] = rng.integers(0, 256, 4)
            with contextlib.suppress(InvalidInput):
                assert decode_mask(damaged.tobytes(), LIMITS).dtype == bool
