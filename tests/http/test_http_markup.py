"""Strokes drawn over a picture say what is meant."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

EDITS = "/v1/images/edits"
LOCATE = "/v1/locate"


def png(draw, size=(96, 64)) -> bytes:
    """Return a transparent PNG in which `draw` has drawn."""
    picture = Image.new("RGBA", size)
    draw(ImageDraw.Draw(picture))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


LOOP = png(lambda canvas: canvas.ellipse((20, 10, 69, 49), outline=(255, 0, 0, 200), width=3))
DOT = png(lambda canvas: canvas.ellipse((40, 30, 44, 34), fill=(0, 0, 0, 1)))
both_routes = pytest.mark.parametrize("route", [EDITS, LOCATE])


@pytest.fixture
def sent(client, driver, picture):
    """Sends a drawing that has to be accepted; returns what the driver got, and the answer."""

    def post(route: str, markup: bytes, fields: dict | None = None):
        form = ({"prompt": "a lemon"} if route == EDITS else {}) | (fields or {})
        answer = client.post(route, files={"image": picture, "markup": markup}, data=form)
        assert answer.status_code == 200, answer.text
        return driver.requests[-1], answer

    return post


@both_routes
def test_a_loop_becomes_a_box(sent, route):
    request, _ = sent(route, LOOP)
    assert (request.box, request.points, request.labels) == ((20, 10, 70, 50), (), ())


@both_routes
def test_a_dot_becomes_a_point(sent, route):
    request, _ = sent(route, DOT)
    assert (request.box, request.points, request.labels) == (None, ((42, 32),), ())


def test_the_answer_says_how_it_was_read(client, sent, picture):
    marked = int((np.asarray(Image.open(io.BytesIO(LOOP)))[..., 3] > 0).sum())
    read = sent(EDITS, LOOP)[1].json()["markup_read"]
    assert read == {"box": [20, 10, 70, 50], "points": [], "marked_px": marked}
    assert sent(EDITS, DOT)[1].json()["markup_read"] == {"box": None, "points": [[42, 32]], "marked_px": 21}
    assert client.post(EDITS, files={"image": picture}, data={"prompt": "x"}).json()["markup_read"] is None
    form, accept = {"prompt": "x"}, {"accept": "image/png"}
    for markup, said in ((LOOP, f"box, marked_px={marked}"), (DOT, "points, marked_px=21")):
        answer = client.post(EDITS, files={"image": picture, "markup": markup}, data=form, headers=accept)
        assert answer.headers["x-retouch-markup-read"] == said
    assert (
        "x-retouch-markup-read" not in client.post(EDITS, files={"image": picture}, data=form, headers=accept).headers
    )


def test_as_json(client, driver, picture):
    def url(data):
        return {"image_url": f"data:image/png;base64,{base64.b64encode(data).decode()}"}

    for route, fields in ((EDITS, {"prompt": "a lemon"}), (LOCATE, {})):
        assert client.post(route, json={"images": [url(picture)], "markup": url(LOOP), **fields}).status_code == 200
        assert driver.requests[-1].box == (20, 10, 70, 50)


@both_routes
def test_a_target_beside_it_names_what_lies_there(sent, route):
    assert sent(route, LOOP, {"target": "the apple"})[0].target == "the apple"


@pytest.mark.parametrize("fields", [{"mode": "remove", "prompt": ""}, {"prompt": "remove it"}], ids=str)
def test_what_is_drawn_around_may_be_removed_without_a_name(sent, fields):
    assert sent(EDITS, LOOP, fields)[0].box == (20, 10, 70, 50)


@pytest.mark.parametrize("turn", [3, 6, 8])
def test_strokes_are_turned_as_their_file_says(client, driver, turn):
    """So a drawing that a phone saves with the orientation of its photograph fits that."""

    def turned(mode):
        picture = Image.new(mode, (96, 64))
        if mode == "RGBA":
            ImageDraw.Draw(picture).ellipse((10, 20, 14, 24), fill="red")
        exif = picture.getexif()
        exif[0x0112] = turn
        out = io.BytesIO()
        picture.save(out, "PNG", exif=exif)
        return out.getvalue()

    answer = client.post(LOCATE, files={"image": turned("RGB"), "markup": turned("RGBA")})
    assert answer.status_code == 200, answer.text
    assert driver.requests[0].points == ({3: (83, 41), 6: (41, 12), 8: (22, 83)}[turn],)


@pytest.mark.parametrize(
    ("name", "value"),
    [("points", "3,4"), ("labels", "1"), ("box", "3,4,9,9"), ("avoid", "the dog"), ("all", "true")],
)
@both_routes
def test_what_else_says_what_is_meant_is_refused_by_name(client, driver, picture, refused, route, name, value):
    form = ({"prompt": "a lemon"} if route == EDITS else {}) | {name: value}
    answer = client.post(route, files={"image": picture, "markup": LOOP}, data=form)
    assert not driver.requests
    message = refused(answer, 400, "invalid_value", name)["message"]
    assert message == f"`{name}` says what is meant, and so does `markup`: send one of them."


def test_not_with_a_mask(refused_edit, picture):
    files = {"image": picture, "markup": LOOP, "mask": LOOP}
    assert "so does `markup`" in refused_edit("mask", {}, files)


@pytest.mark.parametrize(
    ("markup", "status", "code", "says"),
    [
        (png(lambda canvas: None), 400, "invalid_value", "is empty"),
        (png(lambda canvas: canvas.rectangle((0, 0, 96, 64), fill="red")), 400, "invalid_value", "nowhere transparent"),
        (png(lambda canvas: canvas.point((3, 3), "red"), (95, 64)), 400, "invalid_value", "must have the size"),
        (LOOP[:-20], 400, "image_invalid", "is a PNG that ends too early"),
        (b"<svg/>", 415, "image_unsupported", "neither PNG"),
        (png(lambda canvas: None, (1001, 20)), 413, "image_too_large", "1001x20"),
    ],
    ids=["empty", "opaque", "size", "cut", "svg", "large"],
)
def test_refused_drawings(refused_edit, picture, markup, status, code, says):
    message = refused_edit("markup", {}, {"image": picture, "markup": markup}, status, code)
    assert message.startswith("`markup` ")
    assert says in message


def test_a_picture_without_alpha_is_no_drawing(refused_edit, picture):
    assert "has no alpha channel" in refused_edit("markup", {}, {"image": picture, "markup": picture})


def test_one_file_and_no_text(refused_edit, picture):
    files = [("image", ("p.png", picture)), ("markup", ("m.png", LOOP)), ("markup", ("m.png", LOOP))]
    assert "sent 2 times" in refused_edit("markup", {}, files)
    assert "must be a file" in refused_edit("markup", {"markup": "data:image/png;base64,AAAA"})


def test_score_takes_none(client, picture, refused):
    answer = client.post("/v1/score", files={"image": picture, "markup": LOOP}, data={"text": "x"})
    refused(answer, 400, "unknown_parameter", "markup")
