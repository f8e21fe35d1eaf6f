"""Decoding hostile, odd and honest files; encoding without a trace of the input."""

import contextlib
import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from deployments.errors import ImageTooLarge, InvalidImage, InvalidInput, UnsupportedImage
from deployments.limits import Limits
from deployments.pixels.files import FORMATS, decode, encode, mask_png

LIMITS = Limits()
SMALL = Limits(max_image_bytes=50_000, max_pixels=20_000, max_side_px=400)


def photo(height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth noise, HxWx3 uint8: something that compresses like a photograph."""
    rough = np.random.default_rng(7).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


def saved(picture: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, rows: bytes, *extra: bytes, interlaced: bool = False, end: bool = True) -> bytes:
    """An 8-bit grey PNG of what the header claims and what `rows` really holds (filter bytes included)."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, int(interlaced))
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows))]
    return b"".join([*parts, chunk(b"IEND", b"") if end else b""])


def quarters() -> Image.Image:
    """32x24: red and green above, blue and white below."""
    picture = Image.new("RGB", (32, 24), "white")
    picture.paste("red", (0, 0, 16, 12))
    picture.paste("lime", (16, 0, 32, 12))
    picture.paste("blue", (0, 12, 16, 24))
    return picture


# Honest files


@pytest.mark.parametrize("options", [("PNG", {}), ("WEBP", {"lossless": True})], ids=["png", "webp"])
def test_lossless_files_keep_every_byte(options):
    format, how = options
    image = photo()
    decoded = decode(saved(Image.fromarray(image), format, **how), LIMITS).pixels
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_jpeg_comes_close(options):
    image = photo()
    decoded = decode(saved(Image.fromarray(image), "JPEG", quality=95, **options), LIMITS).pixels
    assert np.abs(decoded.astype(int) - image).mean() < 3


@pytest.mark.parametrize("interlaced", [False, True])
def test_whole_png_of_odd_size_is_complete(interlaced):
    width, height = 37, 19
    passes = [(width, height)]
    if interlaced:
        # ceil((size - first) / step) for the seven passes, worked out by hand from the PNG specification
        passes = [(5, 3), (5, 3), (10, 2), (9, 5), (19, 5), (18, 10), (37, 9)]
    rows = b"".join(b"\0" + b"\x80" * columns for columns, count in passes for _ in range(count))
    assert (decode(png(width, height, rows, interlaced=interlaced), LIMITS).pixels == 128).all()
    with pytest.raises(InvalidImage):
        decode(png(width, height, rows[:-1], interlaced=interlaced), LIMITS)


@pytest.mark.parametrize("mode", ["1", "P", "L", "RGB", "RGBA"])
def test_png_rows_are_counted_right_for_every_depth(mode):
    picture = Image.fromarray(photo(24, 41)).convert(mode)
    for bits in (1, 2, 4, 8) if mode == "P" else (None,):
        reduced = picture.quantize(2**bits) if bits else picture
        assert decode(saved(reduced, "PNG", **({"bits": bits} if bits else {})), LIMITS).pixels.shape == (24, 41, 3)


# Row 4: pixel bombs


def lossless_webp_header(width: int, height: int) -> bytes:
    """A WebP that claims a size and has no pixels to show for it."""
    body = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 5
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


@pytest.fixture
def no_decoding(monkeypatch):
    """Makes it a failure to decode a single pixel."""

    def refuse(picture):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    monkeypatch.setattr("deployments.pixels.files.zlib.decompressobj", refuse)


@pytest.mark.parametrize(
    ("width", "height", "rows"),
    [(9000, 9000, 9000), (65500, 65500, 1), (8000, 8000, 1), (12000, 9000, 1)],
    ids=["whole-9000", "claimed-65500", "too-many-pixels", "over-pillow-warning"],
)
def test_pixel_bombs_are_refused_before_they_are_decoded(width, height, rows, no_decoding):
    bomb = png(width, height, bytes(width + 1) * rows)
    assert len(bomb) < 300_000
    start = time.thread_time()
    with pytest.raises(ImageTooLarge):
        decode(bomb, LIMITS)
    assert time.thread_time() - start < 0.05


def test_webp_bombs_are_refused_before_they_are_decoded(no_decoding):
    with pytest.raises(InvalidInput):
        decode(lossless_webp_header(16383, 16383), LIMITS)
    whole = saved(Image.new("RGB", (9000, 64)), "WEBP", lossless=True, method=0)
    assert len(whole) < 1000
    with pytest.raises(ImageTooLarge):
        decode(whole, LIMITS)


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
def test_bomb_is_refused_where_pillow_only_warns():
    with pytest.raises(ImageTooLarge, match="12000x9000"), pytest.warns(Image.DecompressionBombWarning):
        decode(png(12000, 9000, b"\0"), Limits(max_side_px=20_000))


def test_byte_limit_comes_first():
    with pytest.raises(ImageTooLarge, match="50,001 bytes") as refused:
        decode(b"x" * 50_001, SMALL, param="photo")
    assert refused.value.param == "photo"


# Row 5: extreme shapes


@pytest.mark.parametrize("size", [(1, 1), (15, 300), (300, 15)])
def test_too_small(size):
    with pytest.raises(InvalidImage, match="shorter than 16"):
        decode(saved(Image.new("RGB", size), "PNG"), LIMITS)


@pytest.mark.parametrize(
    ("size", "refusal"), [((1, 1_000_000), ImageTooLarge), ((401, 20), ImageTooLarge), ((0, 0), InvalidImage)]
)
def test_extreme_shapes(size, refusal):
    with pytest.raises(refusal):
        decode(png(*size, b"\0"), SMALL)


def test_limits_are_inclusive():
    limits = Limits(max_pixels=400 * 50, max_side_px=400, min_side_px=50)
    assert decode(saved(Image.new("RGB", (400, 50)), "PNG"), limits).pixels.shape == (50, 400, 3)


# Row 6: truncated and short files


@pytest.mark.parametrize(
    ("format", "options"),
    [("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {}), ("WEBP", {"lossless": True})],
)
def test_no_file_may_be_cut_anywhere(format, options):
    whole = saved(Image.fromarray(photo(24, 24)), format, **options)
    decode(whole, LIMITS)
    for length in range(len(whole)):
        with pytest.raises(InvalidInput):
            decode(whole[:length], LIMITS)


def test_png_with_too_few_rows():
    with pytest.raises(InvalidImage, match="ends too early"):
        decode(png(4000, 4000, (b"\0" + b"\x80" * 4000) * 10), LIMITS)


def test_png_without_end_mark():
    rows = (b"\0" + b"\x80" * 32) * 32
    decode(png(32, 32, rows), LIMITS)
    with pytest.raises(InvalidImage):
        decode(png(32, 32, rows, end=False), LIMITS)


def test_png_with_two_headers_cannot_lie_about_its_size():
    second = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0))
    with pytest.raises(InvalidImage):
        decode(png(32, 32, (b"\0" + b"\x80" * 32) * 32, second), LIMITS)


def test_damaged_bytes_never_escape_as_anything_but_an_invalid_input():
    rng = np.random.default_rng(3)
    for format in ("PNG", "JPEG", "WEBP"):
        whole = np.frombuffer(saved(Image.fromarray(photo(24, 24)), format), np.uint8)
        for _ in range(150):
            damaged = whole.copy()
            damaged[rng.integers(12, len(whole), 4)] = rng.integers(0, 256, 4)
            with contextlib.suppress(InvalidInput):
                assert decode(damaged.tobytes(), LIMITS).pixels.shape[2] == 3


# Row 7: bombs in metadata, and animations


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(8_000_000))),
        chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(8_000_000))),
    ],
    ids=["zTXt", "iCCP"],
)
def test_compressed_metadata_bombs(extra):
    start = time.thread_time()
    with pytest.raises(InvalidImage):
        decode(png(32, 32, (b"\0" + b"\x80" * 32) * 32, extra), LIMITS)
    assert time.thread_time() - start < 0.2


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow mentions it; that is for the log
@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 60_000, b"MM\0*"])
def test_broken_exif_is_ignored(exif):
    assert decode(saved(quarters(), "JPEG", exif=exif), LIMITS).pixels.shape == (24, 32, 3)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_first_frame_of_an_animation(format):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], duration=100, **options)
    assert (decode(data, LIMITS).pixels == (255, 0, 0)).all()


# Row 8: other types


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"<html><body>hello</body></html>",
        b"\x93NUMPY\x01\x00",
        b"\x80\x04\x95",
        b"\x89PNG\r\n",
        b"RIFF\x10\0\0\0WAVEfmt ",
        *(saved(Image.new("RGB", (32, 32)), kind) for kind in ("GIF", "TIFF", "BMP", "AVIF", "ICO", "PPM")),
    ],
)
def test_other_types_are_refused(data):
    with pytest.raises(UnsupportedImage) as refused:
        decode(data, LIMITS)
    assert refused.value.status == 415
    assert refused.value.param == "image"


def test_tail_of_a_polyglot_is_left_behind():
    for format in ("PNG", "JPEG", "WEBP"):
        polyglot = saved(quarters(), format) + b"PK\x03\x04 SECRET TAIL"
        assert b"SECRET" not in encode(decode(polyglot, LIMITS).pixels)


# Row 9: odd modes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    stored = quarters()
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode(saved(stored, "PNG", exif=exif), LIMITS).pixels
    red, lime, blue, white = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    corners = {  # top left, top right, bottom left, bottom right
        1: (red, lime, blue, white),
        2: (lime, red, white, blue),
        3: (white, blue, lime, red),
        4: (blue, white, red, lime),
        5: (red, blue, lime, white),
        6: (blue, red, white, lime),
        7: (white, lime, blue, red),
        8: (lime, white, red, blue),
    }[orientation]
    assert upright.shape == ((24, 32, 3) if orientation < 5 else (32, 24, 3))
    assert tuple(tuple(map(int, upright[y, x])) for y, x in ((2, 2), (2, -3), (-3, 2), (-3, -3))) == corners


def test_jpeg_is_turned_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(saved(quarters(), "JPEG", exif=exif), LIMITS).pixels.shape == (32, 24, 3)


def test_transparency_is_laid_over_white():
    rgba = np.zeros((32, 32, 4), np.uint8)
    rgba[:16] = (200, 0, 0, 128)
    decoded = decode(saved(Image.fromarray(rgba), "PNG"), LIMITS).pixels
    np.testing.assert_allclose(decoded[0, 0], (227, 127, 127), atol=1)
    assert (decoded[16:] == 255).all()


def test_transparent_grey_and_palette():
    grey = np.zeros((32, 32, 2), np.uint8)
    grey[:16] = (40, 255)
    decoded = decode(saved(Image.fromarray(grey, "LA"), "PNG"), LIMITS).pixels
    assert (decoded[:16] == 40).all()
    assert (decoded[16:] == 255).all()

    palette = quarters().quantize(4)
    clear = palette.getpixel((0, 0))
    for transparency in (clear, bytes(0 if k == clear else 255 for k in range(4))):
        decoded = decode(saved(palette, "PNG", transparency=transparency), LIMITS).pixels
        assert (decoded[0, 0] == 255).all()
        assert tuple(decoded[0, -1]) == (0, 255, 0)


def test_transparent_colour_key():
    decoded = decode(saved(quarters(), "PNG", transparency=(255, 0, 0)), LIMITS).pixels
    assert (decoded[0, 0] == 255).all()
    assert tuple(decoded[0, -1]) == (0, 255, 0)


@pytest.mark.parametrize("transparency", [None, 0])
def test_16_bit_grey_is_scaled(transparency):
    levels = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    options = {} if transparency is None else {"transparency": transparency}
    decoded = decode(saved(Image.fromarray(levels), "PNG", **options), LIMITS).pixels
    expected = np.round(np.linspace(0, 255, 64))
    np.testing.assert_allclose(decoded[0, 1:, 0], expected[1:], atol=1)
    assert decoded[0, 0, 0] == (0 if transparency is None else 255)


def test_black_and_white_and_palette():
    checks = Image.fromarray((np.indices((32, 32)).sum(0) % 2).astype(bool))
    np.testing.assert_array_equal(decode(saved(checks, "PNG"), LIMITS).pixels[:, :, 0], np.asarray(checks) * 255)
    np.testing.assert_array_equal(decode(saved(quarters().quantize(4), "PNG"), LIMITS).pixels, np.asarray(quarters()))


def test_cmyk_jpeg():
    decoded = decode(saved(quarters().convert("CMYK"), "JPEG", quality=95), LIMITS).pixels
    np.testing.assert_allclose(decoded[2, 2], (255, 0, 0), atol=8)
    np.testing.assert_allclose(decoded[-3, -3], (255, 255, 255), atol=8)


# Colour profiles

SRGB_PRIMARIES = {  # XYZ under D50, as in every sRGB profile
    "r": (0.4360747, 0.2225045, 0.0139322),
    "g": (0.3850649, 0.7168786, 0.0971045),
    "b": (0.1430804, 0.0606169, 0.7141733),
}


def rgb_profile(red: str, green: str, blue: str, space: bytes = b"RGB ") -> bytes:
    """An ICC profile whose channels have the sRGB primaries named, with a gamma of 2.2."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    for channel, source in zip("rgb", (red, green, blue), strict=True):
        tags[channel.encode() + b"XYZ"] = xyz(SRGB_PRIMARIES[source])
        tags[channel.encode() + b"TRC"] = curve
    table, bodies, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", at + len(bodies), len(body))
        bodies += body
    size = at + len(bodies)
    header = struct.pack(">I4sI4s4s4s", size, b"test", 0x02100000, b"mntr", space, b"XYZ ") + b"\0" * 12 + b"acsp"
    header += b"\0" * 28 + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + bodies


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_profile_is_converted_to_srgb(format):
    options = {"lossless": True} if format == "WEBP" else {}
    data = saved(quarters(), format, icc_profile=rgb_profile("b", "g", "r"), **options)
    decoded = decode(data, LIMITS).pixels
    np.testing.assert_allclose(decoded[2, 2], (0, 0, 255), atol=3)  # stored as red, of a profile whose red is blue
    np.testing.assert_allclose(decoded[2, -3], (0, 255, 0), atol=3)
    np.testing.assert_allclose(decoded[-3, -3], (255, 255, 255), atol=1)


def test_srgb_profile_keeps_every_byte():
    image = photo()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(
        decode(saved(Image.fromarray(image), "PNG", icc_profile=profile), LIMITS).pixels, image
    )


@pytest.mark.parametrize(
    "profile",
    [b"not a profile", b"\0" * 4000, rgb_profile("b", "g", "r")[:200], rgb_profile("b", "g", "r", space=b"CMYK")],
    ids=["text", "zeros", "cut", "of-another-space"],
)
def test_broken_profile_is_ignored(profile):
    decoded = decode(saved(quarters(), "PNG", icc_profile=profile), LIMITS).pixels
    np.testing.assert_array_equal(decoded, np.asarray(quarters()))


def test_rgb_profile_on_a_grey_picture_is_ignored():
    grey = Image.fromarray(photo()).convert("L")
    decoded = decode(saved(grey, "PNG", icc_profile=rgb_profile("b", "g", "r")), LIMITS).pixels
    np.testing.assert_array_equal(decoded[:, :, 1], np.asarray(grey))


# Row 10: metadata does not come through; encoding


@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("target", FORMATS)
def test_no_metadata_comes_through(source, target):
    exif = Image.Exif()
    exif[0x010E] = "CANARY description"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)  # GPS latitude
    options: dict[str, object] = {"exif": exif, "icc_profile": rgb_profile("b", "g", "r")}
    if source == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", "CANARY text")
        options["pnginfo"] = texts
    if source == "WEBP":
        options["xmp"] = b"<x>CANARY</x>"
    data = saved(quarters(), source, **options)
    assert b"CANARY" in data

    out = encode(decode(data, LIMITS).pixels, target)
    assert b"CANARY" not in out
    with Image.open(io.BytesIO(out)) as picture:
        assert picture.format == target.upper()
        assert not picture.getexif()
        assert not {"exif", "icc_profile", "xmp", "comment", "Comment"} & set(picture.info)


def test_png_is_lossless_and_quality_acts_on_the_others():
    image = photo()
    np.testing.assert_array_equal(decode(encode(image, "png", quality=10), LIMITS).pixels, image)
    for format in ("jpeg", "webp"):
        poor, good = encode(image, format, quality=10), encode(image, format, quality=100)
        assert len(poor) < len(good)
        assert np.abs(decode(good, LIMITS).pixels.astype(int) - image).mean() < 3


def test_read_only_pictures_can_be_encoded():
    image = photo()
    image.flags.writeable = False
    assert encode(image)


def test_mask_is_white_where_true():
    mask = np.zeros((20, 30), bool)
    mask[5:10, 7:9] = True
    with Image.open(io.BytesIO(mask_png(mask))) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), mask * np.uint8(255))


def test_messages_quote_no_decoder():
    broken = saved(Image.fromarray(photo()), "JPEG")[:400]
    with pytest.raises(InvalidImage) as refused:
        decode(broken, LIMITS)
    assert str(refused.value) == "`image` is no readable JPEG: it is damaged or incomplete."
