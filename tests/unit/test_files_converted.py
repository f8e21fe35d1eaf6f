"""What reading a file does to the picture in it is named; what it leaves alone is not."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from deployments.limits import Limits
from deployments.pixels.files import FORMATS, decode, encode

PHOTO = Image.fromarray(np.random.default_rng(4).integers(0, 256, (32, 48, 3), dtype=np.uint8))
PHOTO.paste((200, 30, 60), (0, 0, 24, 16))
LOSSLESS = {"WEBP": {"lossless": True}}

# XYZ of red, green and blue under D50
ADOBE_RGB = (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)
DISPLAY_P3 = (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(picture: Image.Image = PHOTO, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **LOSSLESS.get(format, {}), **options)
    return out.getvalue()


def converted(data: bytes) -> tuple[str, ...]:
    return decode(data, Limits()).converted


def icc_profile(primaries: tuple, gamma: float = 2.2, space: bytes = b"RGB ") -> bytes:
    """A colour profile of these primaries; of another `space` it makes no sense for a picture in RGB."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    tags = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    for channel, primary in zip((b"r", b"g", b"b"), primaries, strict=True):
        tags[channel + b"XYZ"] = xyz(primary)
        tags[channel + b"TRC"] = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    table, bodies, start = b"", b"", 132 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(bodies), len(body))
        bodies += body
    header = struct.pack(">I4sI4s4s4s", start + len(bodies), b"test", 0x02100000, b"mntr", space, b"XYZ ")
    header += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + bodies


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(name: bytes, body: bytes) -> bytes:
    """A PNG with one chunk more."""
    data = saved()
    return data[:33] + chunk(name, body) + data[33:]  # behind the header


def png_of_16_bits(levels: np.ndarray) -> bytes:
    """HxWxC levels as a PNG, which Pillow writes for grey only."""
    height, width, channels = levels.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def with_segment(marker: int, body: bytes) -> bytes:
    """A JPEG with one segment more."""
    data = saved(format="JPEG")
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + data[2:]


def with_exif(format: str, **tags: object) -> bytes:
    exif = Image.Exif()
    for name, value in tags.items():
        exif[{"orientation": 0x0112, "make": 0x010F}[name]] = value
    return saved(format=format, exif=exif)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_of_a_plain_file_nothing_is_converted(format, mode):
    assert converted(saved(PHOTO.convert(mode), format)) == ()


@pytest.mark.parametrize("format", FORMATS)
def test_of_a_file_of_ours_nothing_is_converted(format):
    assert converted(encode(np.asarray(PHOTO), format)) == ()


@pytest.mark.parametrize("mode", ["1", "P"])
def test_palettes_and_bits_lose_nothing(mode):
    assert converted(saved(PHOTO.convert(mode))) == ()


@pytest.mark.parametrize("interlaced", [False, True])
def test_how_a_file_is_packed_is_no_conversion(interlaced):
    assert converted(saved(format="JPEG", progressive=interlaced, optimize=True, quality=60)) == ()


# Profiles


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("primaries", [ADOBE_RGB, DISPLAY_P3], ids=["Adobe RGB", "Display P3"])
def test_a_profile_that_changes_pixels(format, primaries):
    data = saved(format=format, icc_profile=icc_profile(primaries))
    assert converted(data) == ("profile",)
    with Image.open(io.BytesIO(data)) as stored:
        assert (decode(data, Limits()).pixels != np.asarray(stored)).mean() > 0.2


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_srgb_changes_nothing(format):
    data = saved(format=format, icc_profile=SRGB)
    assert converted(data) == ()
    with Image.open(io.BytesIO(data)) as stored:
        np.testing.assert_array_equal(decode(data, Limits()).pixels, np.asarray(stored))


def test_a_profile_that_moves_no_colour_of_this_picture():
    grey = np.full((32, 32, 3), 255, np.uint8)
    assert converted(saved(Image.fromarray(grey), icc_profile=icc_profile(ADOBE_RGB))) == ()


@pytest.mark.parametrize(
    "profile", [b"not a profile", icc_profile(ADOBE_RGB, space=b"CMYK")], ids=["text", "of another space"]
)
def test_a_profile_that_makes_no_sense_is_left_behind(profile):
    assert converted(saved(icc_profile=profile)) == ("metadata",)


def test_cmyk():
    assert converted(saved(PHOTO.convert("CMYK"), "JPEG")) == ("profile",)


# Transparency


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_cut_out_is_laid_over_white(mode):
    for format in ("PNG", "WEBP") if mode == "RGBA" else ("PNG",):
        picture = PHOTO.convert(mode)
        picture.putalpha(Image.radial_gradient("L").resize(PHOTO.size))
        assert converted(saved(picture, format)) == ("alpha",)
        picture.putalpha(Image.new("L", PHOTO.size, 254))
        assert converted(saved(picture, format)) == ("alpha",)
        picture.putalpha(Image.new("L", PHOTO.size, 255))  # nothing of it is transparent
        assert converted(saved(picture, format)) == ()


def test_a_transparent_colour():
    palette = PHOTO.quantize(8)
    used = palette.getpixel((0, 0))
    assert converted(saved(palette, transparency=used)) == ("alpha",)
    assert converted(saved(PHOTO, transparency=(200, 30, 60))) == ("alpha",)
    assert converted(saved(PHOTO, transparency=(1, 2, 3))) == ()  # no pixel has it
    assert converted(saved(PHOTO.convert("L"), transparency=PHOTO.convert("L").getpixel((0, 0)))) == ("alpha",)


# Depth


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_become_8(channels):
    levels = np.random.default_rng(1).integers(0, 65536, (32, 48, channels), dtype=np.uint16)
    alpha = ("alpha",) if channels in (2, 4) else ()
    assert converted(png_of_16_bits(levels)) == (*alpha, "depth")
    if channels in (2, 4):
        levels[:, :, -1] = 65535
        assert converted(png_of_16_bits(levels)) == ("depth",)


def test_16_bits_of_grey_by_pillow():
    levels = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    assert converted(saved(Image.fromarray(levels))) == ("depth",)


# Orientation, frames


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("orientation", "names"), [(1, ()), (3, ("orientation",)), (6, ("orientation",)), (9, ())])
def test_what_is_turned_upright_is_no_metadata(format, orientation, names):
    assert converted(with_exif(format, orientation=orientation)) == names


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(format):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime")]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], duration=100)
    assert converted(data) == ("frames",)


def test_of_the_pictures_in_one_jpeg_the_first_is_read():
    data = saved(format="MPO", save_all=True, append_images=[PHOTO.resize((16, 16))])
    assert data.startswith(b"\xff\xd8\xff")
    assert "frames" in converted(data)


# Metadata


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_exif_is_left_behind(format):
    assert converted(with_exif(format, make="Camera")) == ("metadata",)
    assert converted(with_exif(format, make="Camera", orientation=6)) == ("orientation", "metadata")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow mentions what it cannot read
def test_so_is_exif_that_cannot_be_read():
    assert converted(saved(format="JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")) == ("metadata",)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_resolution_is_left_behind(format):
    assert converted(saved(format=format, dpi=(300, 300))) == ("metadata",)


@pytest.mark.parametrize("add", ["add_text", "add_itxt"])
def test_texts_are_left_behind(add):
    info = PngImagePlugin.PngInfo()
    getattr(info, add)("loop", "what Pillow may take for a setting")
    assert converted(saved(pnginfo=info)) == ("metadata",)
    assert converted(saved(format="JPEG", comment="by hand")) == ("metadata",)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_xmp_is_left_behind(format):
    assert converted(saved(format=format, xmp=b"<x:xmpmeta/>")) == ("metadata",)


@pytest.mark.parametrize(
    "data",
    [
        with_chunk(b"caBX", b"provenance"),
        with_chunk(b"tIME", bytes(7)),
        with_chunk(b"gAMA", struct.pack(">I", 100_000)),
        with_segment(0xEB, b"JP\0\0provenance"),
        with_segment(0xED, b"Photoshop 3.0\0"),
        with_segment(0xE0, b"JFIF\0\x01\x02\0\0\x02\0\x01\0\0"),  # pixels that are not square
    ],
    ids=["png provenance", "png time", "png gamma", "jpeg provenance", "jpeg captions", "jpeg aspect"],
)
def test_whatever_else_a_file_carries_is_left_behind(data):
    assert converted(data) == ("metadata",)


@pytest.mark.parametrize("data", [with_chunk(b"sRGB", b"\0"), with_segment(0xEE, b"Adobe\0d\0\0\0\0\x01")])
def test_what_says_how_to_read_the_pixels_is_no_metadata(data):
    assert converted(data) == ()


def test_what_is_padded_between_segments_is_skipped():
    plain, commented = saved(format="JPEG"), saved(format="JPEG", comment="by hand")
    assert converted(plain[:2] + b"\xff" * 9 + plain[2:]) == ()
    assert converted(commented[:2] + b"\xff" * 9 + commented[2:]) == ("metadata",)


def test_an_unknown_part_of_a_webp_is_metadata():
    data = saved(format="WEBP", icc_profile=SRGB) + b"C2PA" + struct.pack("<I", 4) + b"1234"
    assert converted(data[:4] + struct.pack("<I", len(data) - 8) + data[8:]) == ("metadata",)


def test_all_at_once_in_one_order():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    picture = PHOTO.convert("RGBA")
    picture.putalpha(128)
    data = saved(picture, icc_profile=icc_profile(ADOBE_RGB), exif=exif, dpi=(72, 72))
    assert converted(data) == ("profile", "alpha", "orientation", "metadata")
