"""A mask of the caller's own."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

EDITS = "/v1/images/edits"
MARKED = np.zeros((64, 96), bool)
MARKED[10:20, 30:70] = True
LIGHT = np.where(MARKED, np.uint8(255), np.uint8(0))


def saved(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def clear_where_marked(colour: int = 0) -> bytes:
    """As OpenAI has it: alpha 0 marks."""
    levels = np.full_like(LIGHT, colour)
    return saved(Image.fromarray(np.dstack([levels, levels, levels, 255 - LIGHT])))


WHITE_ON_BLACK = saved(Image.fromarray(LIGHT))


@pytest.fixture
def edit(client, picture):
    def post(mask: bytes, fields: dict | None = None):
        form = {"prompt": "a lemon"} | (fields or {})
        return client.post(EDITS, files={"image": picture, "mask": mask}, data=form)

    return post


@pytest.fixture
def refused_mask(refused_edit, picture):
    def post(
        mask: bytes, fields: dict | None = None, param: str = "mask", status: int = 400, code: str = "invalid_value"
    ) -> str:
        return refused_edit(param, fields or {}, {"image": picture, "mask": mask}, status, code)

    return post


@pytest.mark.parametrize(
    ("mask", "mode"),
    [
        (clear_where_marked(), "auto"),
        (clear_where_marked(), None),
        (clear_where_marked(255), "alpha"),
        (WHITE_ON_BLACK, "auto"),
        (WHITE_ON_BLACK, "luminance"),
        (saved(Image.fromarray(LIGHT), "JPEG", quality=100), None),
        (saved(Image.fromarray(LIGHT), "WEBP", lossless=True), None),
    ],
    ids=["clear", "clear-by-default", "clear-white", "white", "white-by-luminance", "jpeg", "webp"],
)
def test_mask(edit, driver, opened, mask, mode):
    body = edit(mask, {} if mode is None else {"mask_mode": mode}).json()
    got = driver.requests[0].mask
    assert got.dtype == bool
    np.testing.assert_array_equal(got, MARKED)
    assert [candidate["source"] for candidate in body["candidates"]] == ["mask"]
    assert (driver.requests[0].target, driver.requests[0].prompt) == (None, "a lemon")


@pytest.mark.parametrize(
    ("mask", "mode", "told"),
    [
        (clear_where_marked(), "auto", ("alpha", "transparent", 128, 400)),
        (WHITE_ON_BLACK, "auto", ("luminance", "light", 128, 400)),
        (saved(Image.fromarray(MARKED.astype(np.uint8))), "auto", ("luminance", "light", 1, 400)),
        # Strokes on the clear ground of a canvas: read as OpenAI does, which may not be what is meant, so it is said.
        (saved(Image.fromarray(np.dstack([LIGHT] * 4))), "auto", ("alpha", "transparent", 128, 96 * 64 - 400)),
        (saved(Image.fromarray(np.dstack([LIGHT] * 4))), "luminance", ("luminance", "light", 128, 400)),
    ],
    ids=["alpha", "luminance", "ones", "canvas", "canvas-by-luminance"],
)
def test_answer_says_how_the_mask_was_read(edit, client, picture, mask, mode, told):
    read = edit(mask, {"mask_mode": mode}).json()["mask_read"]
    assert read == dict(zip(("mode", "marks", "threshold", "marked_px"), told, strict=True))
    form, files = {"prompt": "x", "mask_mode": mode}, {"image": picture, "mask": mask}
    headers = client.post(EDITS, files=files, data=form, headers={"accept": "image/png"}).headers
    assert headers["x-retouch-mask-read"] == f"{told[0]}, threshold={told[2]}, marked_px={told[3]}"


def test_without_a_mask_none_was_read(client, picture):
    assert client.post(EDITS, files={"image": picture}, data={"prompt": "x"}).json()["mask_read"] is None
    form, headers = {"prompt": "x"}, {"accept": "image/png"}
    answer = client.post(EDITS, files={"image": picture}, data=form, headers=headers)
    assert "x-retouch-mask-read" not in answer.headers


def test_mask_of_labels(refused_mask):
    labels = MARKED.astype(np.uint8)
    labels[40:50] = 2
    assert "`mask` has the levels 0, 1, 2, as if each stood for a thing" in refused_mask(saved(Image.fromarray(labels)))


def test_mask_mode_decides_where_a_file_says_both(edit, driver):
    """Light left, clear right."""
    levels = np.zeros((64, 96, 4), np.uint8)
    levels[:, :48] = 255
    mask = saved(Image.fromarray(levels))
    edit(mask, {"mask_mode": "alpha"})
    edit(mask, {"mask_mode": "luminance"})
    edit(mask)
    by_alpha, by_luminance, by_default = (request.mask for request in driver.requests)
    assert by_alpha[:, 48:].all()
    assert not by_alpha[:, :48].any()
    np.testing.assert_array_equal(by_luminance, ~by_alpha)
    np.testing.assert_array_equal(by_default, by_alpha)


def test_mask_may_go_with_what_shapes_and_names_it(edit, driver):
    fields = {"target": "the apple", "mask_shape": "box", "dilation": "0.1"}
    assert edit(WHITE_ON_BLACK, fields).status_code == 200
    request = driver.requests[0]
    assert (request.target, request.mask_shape, request.dilation) == ("the apple", "box", 0.1)


def test_mask_is_turned_upright_like_the_picture(client, driver):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = saved(Image.fromarray(np.ascontiguousarray(np.rot90(LIGHT))), exif=exif)
    upright = saved(Image.new("RGB", (96, 64)))
    turned = saved(Image.new("RGB", (64, 96)), "JPEG", exif=exif)
    for image in (upright, turned):
        answer = client.post(EDITS, files={"image": image, "mask": lying}, data={"prompt": "x"})
        assert answer.status_code == 200, answer.text
        np.testing.assert_array_equal(driver.requests[-1].mask, MARKED)


@pytest.mark.parametrize("size", [(64, 96), (95, 64), (192, 128)])
def test_mask_of_another_size(refused_mask, size):
    message = refused_mask(saved(Image.new("L", size, 255)))
    assert message == (f"`mask` is {size[0]}x{size[1]} pixels; it must have the size of the upright picture, 96x64.")


@pytest.mark.parametrize(
    "mask",
    [
        saved(Image.new("L", (96, 64), 0)),
        saved(Image.new("L", (96, 64), 127)),
        saved(Image.new("L", (96, 64), 1)),
        saved(Image.new("RGBA", (96, 64), (255, 255, 255, 255))),
        saved(Image.new("RGBA", (96, 64), (255, 255, 255, 128))),
    ],
    ids=["black", "grey", "ones", "opaque", "half-clear"],
)
def test_mask_that_marks_nothing(refused_mask, mask):
    assert refused_mask(mask).startswith("`mask` marks nothing: ")


def test_alpha_of_a_file_that_has_none(refused_mask):
    assert refused_mask(WHITE_ON_BLACK, {"mask_mode": "alpha"}) == "`mask` has no alpha channel to go by."


@pytest.mark.parametrize(
    ("name", "value"),
    [("points", "3,4"), ("box", "3,4,9,9"), ("candidate", "0"), ("avoid", "the dog"), ("all", "true")],
)
def test_mask_excludes_other_ways_to_say_what_is_meant(refused_mask, name, value):
    assert refused_mask(WHITE_ON_BLACK, {name: value}, param=name).endswith("so does `mask`: send one of them.")


@pytest.mark.parametrize("mode", ["alpha", "luminance"])
def test_mask_mode_without_a_mask(refused_edit, mode):
    assert "none was sent" in refused_edit("mask_mode", {"mask_mode": mode})


def test_mask_sent_in_other_ways(refused_edit, picture):
    twice = [("image", ("p.png", picture)), ("mask", ("a", WHITE_ON_BLACK)), ("mask", ("b", WHITE_ON_BLACK))]
    assert "sent 2 times" in refused_edit("mask", {}, twice)
    assert refused_edit("mask", {"mask": "data:image/png;base64,AAAA"}) == "`mask` must be a file, not text."
    files = {"image": picture, "mask[]": WHITE_ON_BLACK}
    message = refused_edit("mask[]", {}, files, code="unknown_parameter")
    assert "Did you mean `mask`?" in message
    assert "is required" in refused_edit("image", {}, {"mask": WHITE_ON_BLACK})


# Files that mean harm, or are odd


def bomb(width: int, height: int) -> bytes:
    """A grey PNG that claims to be that large; its rows, all zero, are there as far as 10 MB go."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = zlib.compress(bytes(min(height * (width + 1), 10**7)), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(9000, 9000), (65_500, 65_500), (1000, 201), (1001, 16)], ids=str)
def test_mask_that_is_a_bomb(refused_mask, size):
    mask = bomb(*size)
    start = time.thread_time()
    message = refused_mask(mask, status=413, code="image_too_large")
    assert time.thread_time() - start < 0.2
    assert message.startswith("`mask` ")


@pytest.mark.parametrize(
    ("mask", "status", "code"),
    [
        (b"", 415, "image_unsupported"),
        (b"\x89PNG", 415, "image_unsupported"),
        (b"<svg/>", 415, "image_unsupported"),
        (saved(Image.fromarray(LIGHT), "GIF"), 415, "image_unsupported"),
        (saved(Image.fromarray(LIGHT), "TIFF"), 415, "image_unsupported"),
        (WHITE_ON_BLACK[:-20], 400, "image_invalid"),
        (WHITE_ON_BLACK[:-12] + b"CANARY" * 3, 400, "image_invalid"),
        (WHITE_ON_BLACK + bytes(400_000), 413, "image_too_large"),
        (saved(Image.new("L", (9, 64), 255)), 400, "image_invalid"),
    ],
    ids=["empty", "cut", "svg", "gif", "tiff", "short", "damaged", "long", "narrow"],
)
def test_refused_mask_file(refused_mask, mask, status, code):
    message = refused_mask(mask, status=status, code=code)
    assert message.startswith("`mask` ")
    assert "CANARY" not in message


def test_mask_of_16_bits(edit, driver):
    deep = np.where(MARKED, np.uint16(65_535), np.uint16(32_767))
    assert edit(saved(Image.fromarray(deep))).status_code == 200
    np.testing.assert_array_equal(driver.requests[0].mask, MARKED)


def test_mask_with_a_palette_and_transparency(edit, driver):
    """Colour 1 is clear in one file; the other has no transparency, so its colours count."""
    indices = Image.fromarray(MARKED.astype(np.uint8))
    indices.putpalette([255, 255, 255, 0, 0, 0])
    assert indices.mode == "P"
    edit(saved(indices, transparency=1))
    edit(saved(indices))
    by_alpha, by_colour = (request.mask for request in driver.requests)
    np.testing.assert_array_equal(by_alpha, MARKED)
    np.testing.assert_array_equal(by_colour, ~MARKED)
