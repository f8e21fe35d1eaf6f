"""Reading a mask: by its transparency or by its luminance, whatever the file."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from deployments.errors import InvalidInput, UnsupportedImage
from deployments.limits import Limits
from deployments.pixels import files
from deployments.pixels.files import mask_png

LIMITS = Limits()
MARKED = np.zeros((24, 32), bool)
MARKED[:12, :16] = True
LIGHT = np.where(MARKED, np.uint8(255), np.uint8(0))
GREY = Image.fromarray(LIGHT)


def saved(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def decode_mask(*args: object, **options: object) -> np.ndarray:
    return files.decode_mask(*args, **options).marked


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


@pytest.mark.parametrize(("level", "marks"), [(0, True), (127, True), (128, False), (254, False)])
def test_half_clear_is_the_border(level, marks):
    alpha = np.full((24, 32), level, np.uint8)
    alpha[0] = [0, 255] * 16
    read = files.decode_mask(saved(with_alpha(LIGHT, alpha)), LIMITS)
    assert (read.marked[1:] == marks).all()
    assert (read.mode, read.threshold) == ("alpha", 128)


@pytest.mark.parametrize(("level", "marks"), [(1, False), (127, False), (128, True), (254, True)])
def test_middle_grey_is_the_border(level, marks):
    """Of soft masks, whose levels are many."""
    light = np.full((24, 32), level, np.uint8)
    light[:2] = np.linspace(0, 255, 64).reshape(2, 32)
    read = files.decode_mask(saved(Image.fromarray(light)), LIMITS)
    assert (read.marked[2:] == marks).all()
    assert (read.mode, read.threshold) == ("luminance", 128)


# What programs write


@pytest.mark.parametrize("mode", ["auto", "luminance"])
@pytest.mark.parametrize("level", [1, 2, 15, 127])
def test_zero_and_one_dark_level_are_a_mask_of_it(level, mode):
    masks = [MARKED.astype(np.uint8) * level, MARKED.astype(np.uint16) * level]
    for mask in masks:
        read = files.decode_mask(saved(Image.fromarray(mask)), LIMITS, mode)
        np.testing.assert_array_equal(read.marked, MARKED)
        assert (read.mode, read.threshold) == ("luminance", level)


def test_zero_and_one_in_the_alpha_channel():
    alpha = 1 - MARKED.astype(np.uint8)
    read = files.decode_mask(saved(with_alpha(LIGHT, alpha)), LIMITS)
    np.testing.assert_array_equal(read.marked, MARKED)


def named(value: Image.Image | str) -> str:
    """Return what a test's name says of a picture or a text; a picture's own `str` is another one in each process."""
    return value.mode if isinstance(value, Image.Image) else value


def labelled(*levels: int, kind: type = np.uint8) -> Image.Image:
    """Stripes of these levels."""
    return Image.fromarray(np.tile(np.array(levels, kind), (24, 8)))


def coloured(*colours: tuple[int, int, int], as_palette: bool) -> Image.Image:
    stripes = Image.fromarray(np.tile(np.array(colours, np.uint8), (24, 8, 1)))
    return stripes.quantize(len(colours)) if as_palette else stripes


VOC = ((0, 0, 0), (192, 128, 128), (224, 224, 192))


@pytest.mark.parametrize(
    ("picture", "what"),
    [
        (labelled(0, 1, 2), "the levels 0, 1, 2,"),
        (labelled(0, 1, 255), "the levels 0, 1, 255,"),
        (labelled(0, 3, 17, 255), "the levels 0, 3, 17, 255,"),
        (labelled(1, 2, 3, 4, 5, 6), "the levels 1, 2, 3, 4, ...,"),
        (labelled(0, 12, 140), "the levels 0, 12, 140,"),
        (labelled(0, 1, 2, kind=np.uint16), "the levels 0, 1, 2,"),
        (labelled(0, 400, 40_000, kind=np.uint16), "the levels 0, 400, 40000,"),
        (coloured(*VOC, as_palette=True), "3 colours,"),
        (coloured(*VOC, as_palette=False), "3 colours,"),
    ],
    ids=named,
)
def test_labels_are_refused_with_a_hint(picture, what):
    with pytest.raises(InvalidInput) as refused:
        decode_mask(saved(picture), LIMITS)
    assert refused.value.param == "mask"
    assert refused.value.message == (
        f"`mask` has {what} as if each stood for a thing, and does not say which is meant. Send white where that thing "
        "is and black elsewhere, or `mask_mode` luminance to go by what is light."
    )


def test_asked_to_go_by_light_labels_do():
    np.testing.assert_array_equal(
        decode_mask(saved(labelled(0, 1, 255)), LIMITS, "luminance"), np.tile([False, False, True], (24, 8))
    )


@pytest.mark.parametrize(
    "picture",
    [
        labelled(0, 128, 255),
        labelled(0, 64, 255),
        labelled(20, 255),
        labelled(0, 255),
        labelled(*range(0, 256, 4)),
        coloured((0, 0, 0), (255, 255, 0), as_palette=True),
    ],
    ids=["trimap", "three", "dark-ground", "two", "ramp", "palette"],
)
def test_what_goes_from_dark_to_light_is_no_labels(picture):
    light = np.asarray(picture.convert("L"))
    np.testing.assert_array_equal(decode_mask(saved(picture), LIMITS), light >= 128)


@pytest.mark.parametrize("top", [200, 254, 255])
def test_a_smoothed_edge_is_no_label(top):
    """A brush of less than full strength, and a plain mask with a few pixels nearly black."""
    light = np.zeros((64, 64), np.uint8)
    light[16:48, 16:48] = top
    light[16, 16:40:4] = (13, 25, 60, 110, 150, 190)
    light[0, :3] = 1
    np.testing.assert_array_equal(decode_mask(saved(Image.fromarray(light)), LIMITS), light >= 128)


def test_levels_that_a_jpeg_makes_are_no_labels():
    """Its loss makes others of two, and whoever numbers things does not store them so."""
    light = np.kron(np.array([[0, 60, 250, 250]] * 3, np.uint8), np.ones((8, 8), np.uint8))
    data = saved(Image.fromarray(light), "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as stored:
        assert 2 < len(stored.getcolors()) <= 32
    np.testing.assert_array_equal(decode_mask(data, LIMITS), light == 250)


@pytest.mark.parametrize(
    ("picture", "mode", "why"),
    [
        (
            Image.new("L", (32, 24), 0),
            "auto",
            "it is nowhere lighter than 0, and what marks has a level of ",
        ),
        (Image.new("L", (32, 24), 1), "auto", "it is nowhere lighter than 1, "),
        (labelled(*range(0, 120, 2)), "auto", "it is nowhere lighter than 118, "),
        (labelled(0, 1, 2), "luminance", "it is nowhere lighter than 2, "),
        (
            labelled(*range(0, 30_000, 500), kind=np.uint16),
            "auto",
            "lighter than 29500, ",
        ),
        (Image.new("RGBA", (32, 24), "white"), "auto", "it has an alpha channel, and nothing in it is more than half "),
        (Image.new("RGBA", (32, 24), "white"), "alpha", "Send `mask_mode` luminance to go by what is light."),
        (Image.new("RGBA", (32, 24), (255, 255, 255, 0)), "luminance", "it is nowhere lighter than 0, "),
    ],
    ids=named,
)
def test_a_mask_that_marks_nothing_is_refused_with_a_hint(picture, mode, why):
    with pytest.raises(InvalidInput, match=r"^`mask` marks nothing: ") as refused:
        decode_mask(saved(picture), LIMITS, mode)
    assert why in refused.value.message


def test_what_is_clear_is_not_light():
    """White strokes on a clear ground, whatever colour that has."""
    white = np.full((24, 32), 255, np.uint8)
    strokes = saved(with_alpha(white, LIGHT))
    np.testing.assert_array_equal(decode_mask(strokes, LIMITS, "luminance"), MARKED)
    by_default = files.decode_mask(strokes, LIMITS)
    np.testing.assert_array_equal(by_default.marked, ~MARKED)
    assert by_default.mode == "alpha"


def test_one_clear_colour():
    """Of a palette, of 8 bits and of 16."""
    indices = Image.fromarray(MARKED.astype(np.uint8))
    indices.putpalette([255, 255, 255, 0, 0, 0])
    deep = Image.fromarray(np.where(MARKED, np.uint16(7), np.uint16(65_535)))
    masks = [saved(indices, transparency=1), saved(deep, transparency=7)]
    masks += [saved(Image.fromarray(255 - LIGHT), transparency=0)]
    for data in masks:
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
