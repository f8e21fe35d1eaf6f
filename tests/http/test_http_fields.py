"""Every field that is refused, by its name."""

import io
import zlib
from typing import get_args

import pytest
from PIL import Image

from deployments.config import DriverSettings
from deployments.errors import InvalidInput
from deployments.http.fields import EDIT_FORM
from deployments.messages import Scheduler

EDITS = "/v1/images/edits"


@pytest.mark.parametrize(
    ("param", "value", "allowed"),
    [
        *[("n", value, "from 1 to 10") for value in ("0", "-1", "11", "1000", "1.5", "two", "nan", "1e3", "9" * 5000)],
        *[("seed", value, f"from 0 to {2**63 - 10}") for value in ("-1", str(2**63 - 9), str(2**70), "x")],
        *[("num_inference_steps", value, "from 1 to 150") for value in ("0", "151", "1000000000", "-3", "inf")],
        *[("guidance_scale", value, "from 0 to 30") for value in ("-0.1", "30.1", "nan", "inf", "-inf", "1e400", "x")],
        *[
            ("strength", value, "must be a number from 0.01 to 1.")
            for value in ("0", "0.009", "1.5", "nan", "inf", "x")
        ],
        *[("scheduler", value, f"must be one of {', '.join(get_args(Scheduler))}.") for value in ("magic", "DDIM")],
        *[("output_compression", value, "from 0 to 100") for value in ("-1", "101", "best")],
        *[("prompt", value, "is required: it says what to paint") for value in (None, "", "  \n ")],
        *[("prompt", value, "text of 0 to 200") for value in ("x" * 201, "x" * 60_000, "x" * 200_000)],
        ("target", "x" * 201, "text of 1 to 200"),
        ("avoid", "x" * 201, "text of 0 to 200"),
        ("negative_prompt", "x" * 201, "text of 0 to 200"),
        *[("candidate", value, "an integer from 0 to 31") for value in ("-1", "32", "1.5", "best", "9" * 5000)],
        *[("mode", value, "one of replace, remove") for value in ("erase", "Remove")],
        ("mask_shape", "circle", "one of silhouette, hull, box"),
        ("fill", "white", "one of noise, original, blur"),
        *[("fill_method", value, "one of classical, painter") for value in ("telea", "Painter")],
        *[("dilation", value, "a number from 0 to 1") for value in ("-0.1", "1.1", "nan", "inf", "x")],
        *[("min_score", value, "a number from -1 to 1") for value in ("-1.1", "1.1", "nan", "-inf", "x")],
        ("mask_mode", "invert", "one of auto, alpha, luminance"),
        ("user", "x" * 257, "text of 0 to 256"),
        ("safety_identifier", "x" * 257, "text of 0 to 256"),
        ("response_format", "url", "b64_json"),
        *[
            ("output_format", value, "one of png, jpeg, webp: an edit is one still picture of pixels")
            for value in ("gif", "svg")
        ],
        ("output_format", "PNG", "one of png, jpeg, webp"),
        ("quality", "hd", "one of auto, low, medium, standard, high, xhigh, max"),
        ("background", "transparent", "one of auto, opaque"),
        ("input_fidelity", "low", "high"),
        ("moderation", "low", "auto"),
        ("stream", "maybe", "must be true or false"),
        ("partial_images", "1", "send `stream` as true too"),
        *[("partial_images", value, "an integer from 0 to 3") for value in ("-1", "4", "1.5", "many")],
        ("progress", "true", "send `stream` as true too"),
        ("progress", "maybe", "must be true or false"),
        *[("size", value, "own 96x64") for value in ("1024x1024", "64x96", "1000000x1000000", "0x0", "big")],
    ],
    ids=lambda value: str(value)[:20],
)
def test_refused_value(refused_edit, param, value, allowed):
    message = refused_edit(param, {param: value})
    assert f"`{param}`" in message
    assert allowed in message


BLANK_TEXTS = [name for name in EDIT_FORM.model_fields if name != "prompt"]


@pytest.mark.parametrize("blank", ["", " ", " \n\t"])
def test_a_blank_field_is_as_if_not_sent(client, driver, picture, blank):
    """As a browser's form sends what nobody has filled in; so are the nameless and empty files of it."""
    files = [("image", ("photo.png", picture)), ("mask", ("", b"")), ("image[]", ("", b""))]
    data = {"prompt": "a lemon"} | dict.fromkeys(BLANK_TEXTS, blank)
    answers = [
        client.post(EDITS, files=files, data=data),
        client.post(EDITS, files={"image": picture}, data={"prompt": "a lemon", "mask": blank, "box[]": blank}),
        client.post(EDITS, files={"image": picture}, data={"prompt": "a lemon"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3, answers[0].text
    told = [repr(request).replace(repr(request.image), "") for request in driver.requests]
    assert told[0] == told[1] == told[2]
    located = client.post("/v1/locate", files={"image": picture}, data={"target": "x", "points": blank, "box": blank})
    assert located.status_code == 200
    removal = data | {"prompt": blank, "mode": "remove", "target": "x"}
    removed = client.post(EDITS, files={"image": picture}, data=removal)
    assert removed.status_code == 200


def test_a_browsers_form_without_a_mask(client, driver, picture):
    """The bytes that a browser sends for a form of which nobody chose the mask nor wrote the target."""

    def part(head: bytes, content: bytes) -> bytes:
        return b"--cut\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + content + b"\r\n"

    octets = b"\r\nContent-Type: application/octet-stream"
    body = part(b'name="image"; filename="a.png"' + octets, picture) + part(b'name="prompt"', b"a lemon")
    body += part(b'name="target"', b"") + part(b'name="mask"; filename=""' + octets, b"") + b"--cut--\r\n"
    answer = client.post(EDITS, content=body, headers={"content-type": "multipart/form-data; boundary=cut"})
    assert answer.status_code == 200, answer.text
    assert (driver.requests[0].mask, driver.requests[0].target) == (None, None)


def test_what_is_required_may_not_be_blank_and_what_is_unknown_stays_so(client, picture, refused_edit, refused):
    assert "is required" in refused_edit("prompt", {"prompt": " "})
    assert "is required" in refused_edit("image", {}, {"image": ("", b"")})
    assert "is required" in refused_edit("image", {"image": ""}, {"mask": ("", b"")})
    refused_edit("steps", {"steps": ""}, code="unknown_parameter")
    form = {"target": "x", "mask": ""}
    refused(client.post("/v1/locate", files={"image": picture}, data=form), 400, "unknown_parameter", "mask")
    files = {"image": picture, "mask": ("mask.png", b"")}  # somebody chose this one
    assert "is empty" in refused_edit("mask", {}, files, 415, "image_unsupported")


@pytest.mark.parametrize("path", [EDITS, "/v1/locate", "/v1/score"])
@pytest.mark.parametrize("name", ["seed", "prompt", "steps", "a" * 2000])
def test_nothing_is_read_from_the_address(client, driver, picture, refused, path, name):
    form = {"/v1/locate": {"target": "x"}, "/v1/score": {"text": "x"}}.get(path, {"prompt": "x"})
    answer = client.post(path, params={name: "1"}, files={"image": picture}, data=form)
    assert not driver.requests
    message = refused(answer, 400, "unknown_parameter", name[:64])["message"]
    assert message == f"`{name[:64]}` must be a field of the form: nothing is read from the address."


AT_MOST = "`num_inference_steps` must be an integer from 1 to 50."


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"quality": "high"}, "quality", f"`quality` high sets `num_inference_steps`. {AT_MOST}"),
        ({"num_inference_steps": "60"}, "num_inference_steps", AT_MOST),
        ({"num_inference_steps": "60", "quality": "auto"}, "num_inference_steps", AT_MOST),
        ({}, "num_inference_steps", AT_MOST),
    ],
)
def test_steps_are_refused_by_the_name_they_were_sent_by(client, driver, picture, refused, fields, param, message):
    driver.failures.append(InvalidInput(AT_MOST, "num_inference_steps"))
    answer = client.post(EDITS, files={"image": picture}, data={"prompt": "x"} | fields)
    assert refused(answer, 400, "invalid_value", param)["message"] == message


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("quality", {"quality": "high", "num_inference_steps": "5"}),
        ("output_compression", {"output_compression": "50"}),
        ("output_compression", {"output_compression": "50", "output_format": "png"}),
    ],
)
def test_fields_that_do_not_go_together(refused_edit, param, fields):
    assert f"`{param}`" in refused_edit(param, fields)


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("output_format", {"output_format": "webp"}),
        ("response_format", {"response_format": "b64_json"}),
    ],
)
def test_accept_header_that_contradicts_a_field(client, picture, refused, param, fields):
    form = {"prompt": "x"} | fields
    answer = client.post(EDITS, files={"image": picture}, data=form, headers={"accept": "image/png"})
    refused(answer, 400, "invalid_value", param)


def test_output_format_that_cannot_hold_the_picture(client, driver, refused):
    limits = driver.settings.limits.model_copy(update={"max_side_px": 20_000, "max_pixels": 400_000})
    driver.settings = DriverSettings(limits=limits)
    form = {"prompt": "x", "output_format": "webp"}
    answer = client.post(EDITS, files={"image": saved((17_000, 16))}, data=form)
    refused(answer, 400, "invalid_value", "output_format")


@pytest.mark.parametrize(
    "name", ["steps", "image_url", "input_image", "strength[a]", "__proto__", "Prompt", "a" * 2000, "é", "\u202e"]
)
def test_unknown_field(refused_edit, name):
    message = refused_edit(name[:64], {name: "http://127.0.0.1:9/x"}, code="unknown_parameter")
    assert name[:64] in message
    assert len(message) < 200


def test_unknown_field_comes_with_a_suggestion(refused_edit):
    message = refused_edit("inference_steps", {"inference_steps": "3"}, code="unknown_parameter")
    assert "Did you mean `num_inference_steps`?" in message


@pytest.mark.parametrize("route", ["/v1/locate", "/v1/score"])
def test_other_routes_refuse_what_they_do_not_know(client, picture, refused, route):
    known = {"/v1/locate": "target", "/v1/score": "text"}[route]
    files = {"image": picture, "mask": picture}
    refused(client.post(route, files=files, data={known: "x"}), 400, "unknown_parameter", "mask")
    form = {known: "x", "mask": "abc"}
    refused(client.post(route, files={"image": picture}, data=form), 400, "unknown_parameter", "mask")
    refused(client.post(route, files={"image": picture}), 400, "invalid_value", known)
    refused(client.post(route, files={"image": picture}, data={known: ""}), 400, "invalid_value", known)
    refused(client.post(route, files={"image": picture}, data={known: "x" * 201}), 400, "invalid_value", known)
    refused(client.post(route, data={known: "x", "n": "1"}), 415, "unsupported_media_type")
    form = {known: "x", "n": "1"}
    refused(client.post(route, files={"image": picture}, data=form), 400, "unknown_parameter", "n")
    refused(client.post(route, files={"image": b"GIF89a"}, data={known: "x"}), 415, "image_unsupported", "image")
    assert client.post(route, files={"image": picture}, data={known: "x"}).status_code == 200


def test_model(refused_edit):
    message = refused_edit("model", {"model": "dall-e-2"}, status=404, code="model_not_found")
    assert "`retouch`" in message


def test_more_than_one_picture(refused_edit, picture):
    for names in (("image", "image"), ("image[]", "image[]"), ("image", "image[]"), ("image[]",) * 16):
        message = refused_edit("image", {}, [(name, ("p.png", picture)) for name in names])
        assert f"sent {len(names)} times" in message


def test_no_picture(refused_edit):
    assert "required" in refused_edit("image", {"prompt": None}, {"prompt": (None, "a lemon")})


def test_picture_as_text(refused_edit):
    assert "must be a file" in refused_edit("image", {}, {"image": (None, "http://127.0.0.1:9/x.png")})
    assert "must be a file" in refused_edit("image", {}, {"image[]": (None, "data:image/png;base64,AAAA")})


def test_text_as_file(refused_edit, picture):
    files = {"image": picture, "seed": ("seed.txt", b"5")}
    assert refused_edit("seed", {}, files) == "`seed` must be text, not a file."
    files = {"image": picture, "weights": ("w.bin", b"5")}
    refused_edit("weights", {}, files, code="unknown_parameter")


def test_field_sent_twice(refused_edit):
    assert "more than once" in refused_edit("prompt", {"prompt": ["a lemon", "a pear"]})


def saved(size: tuple[int, int], format: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, format)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 415, "image_unsupported"),
        (b"<svg/>", 415, "image_unsupported"),
        (b"\x80\x04\x95pickle", 415, "image_unsupported"),
        (saved((32, 32), "GIF"), 415, "image_unsupported"),
        (saved((32, 32), "TIFF"), 415, "image_unsupported"),
        (saved((1001, 20)), 413, "image_too_large"),
        (saved((600, 600)), 413, "image_too_large"),
        (saved((9, 90)), 400, "image_invalid"),
        (saved((64, 64))[:-20], 400, "image_invalid"),
        (saved((64, 64), "JPEG")[:400], 400, "image_invalid"),
        (b"\x89PNG\r\n\x1a\n" + zlib.compress(b"x"), 400, "image_invalid"),
        (saved((64, 64)) + bytes(400_000), 413, "image_too_large"),
    ],
    ids=lambda value: f"{len(value)}-bytes" if isinstance(value, bytes) else str(value),
)
def test_refused_picture(refused_edit, data, status, code):
    message = refused_edit("image", {}, {"image": ("photo.png", data, "image/png")}, status, code)
    assert message.startswith("`image` ")
