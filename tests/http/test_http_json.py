"""Requests whose body is JSON: pictures in data: URLs, and everything that such a body can be wrong about."""

import base64
import json
import threading

import numpy as np
import pytest

from deployments.config import DriverSettings
from deployments.http import documents
from deployments.http.bodies import most_bytes
from deployments.http.json_bodies import read_json

EDITS = "/v1/images/edits"
LOCATE = "/v1/locate"
SCORE = "/v1/score"


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(data: bytes) -> dict:
    return {"images": [{"image_url": url(data)}]}


@pytest.fixture
def body(picture):
    """The body of a good edit, with some keys changed; those changed to ... are left out."""

    def make(**changes) -> dict:
        fields = image(picture) | {"prompt": "a lemon"} | changes
        return {key: value for key, value in fields.items() if value is not ...}

    return make


@pytest.fixture
def refused_json(client, driver, refused):
    """Sends a body, text or what is written as JSON, that has to be refused; returns the message."""

    def post(sent, param: str | None, code: str = "invalid_value", route: str = EDITS) -> str:
        content = sent if isinstance(sent, (str, bytes)) else json.dumps(sent)
        before = len(driver.requests)
        answer = client.post(route, content=content, headers={"content-type": "application/json"})
        assert len(driver.requests) == before
        return refused(answer, 400, code, param)["message"]

    return post


def test_the_same_request_as_a_form_and_as_json(client, driver, picture, body):
    mask = base64.b64decode(client.post(EDITS, files={"image": picture}, data={"prompt": "x"}).json()["mask_b64"])
    form = {
        "n": "2",
        "seed": "7",
        "guidance_scale": "3.5",
        "mask_mode": "luminance",
        "quality": "high",
        "dilation": "0",
    }
    values = {"n": 2, "seed": 7, "guidance_scale": 3.5, "mask_mode": "luminance", "quality": "high", "dilation": 0}
    files = {"image": picture, "mask": mask}
    sent = [
        client.post(EDITS, files=files, data={"prompt": "a lemon"} | form),
        client.post(EDITS, json=body(mask={"image_url": url(mask)}, **values)),
    ]
    assert [answer.status_code for answer in sent] == [200, 200], sent[1].text
    first, second = (answer.json() | {"created": 0} for answer in sent)
    assert first == second
    by_form, by_json = driver.requests[1:]
    np.testing.assert_array_equal(by_form.mask, by_json.mask)
    assert (by_json.n, by_json.seed, by_json.guidance_scale, by_json.num_inference_steps) == (2, 7, 3.5, 40)


@pytest.mark.parametrize("route", [EDITS, LOCATE])
@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ({"points": [[12, 34]]}, (((12, 34),), (), None)),
        ({"points": [12, 34]}, (((12, 34),), (), None)),
        ({"points": [[1, 2], [3.0, 4]], "labels": [1, 0]}, (((1, 2), (3, 4)), (1, 0), None)),
        ({"points": [[1, 2], [3, 4]], "labels": [True, False]}, (((1, 2), (3, 4)), (1, 0), None)),
        ({"box": [3, 4, 50, 60]}, ((), (), (3, 4, 50, 60))),
        ({"points": "1,2", "box": "0,0,50,60"}, (((1, 2),), (), (0, 0, 50, 60))),
        ({"target": "x", "points": [], "labels": []}, ((), (), None)),
    ],
    ids=str,
)
def test_lists(client, driver, body, route, sent, got):
    answer = client.post(route, json=body(**sent) if route == EDITS else body(prompt=..., **sent))
    assert answer.status_code == 200, answer.text
    assert (driver.requests[0].points, driver.requests[0].labels, driver.requests[0].box) == got


def test_null_counts_as_not_sent(client, driver, body, picture):
    nulls = dict.fromkeys(("mask", "markup", "n", "seed", "target", "points", "box", "model", "user", "size", "steps"))
    sent = body(images=[{"image_url": url(picture), "file_id": None}], **nulls)
    answer = client.post(EDITS, json=sent)
    assert answer.status_code == 200, answer.text
    assert (driver.requests[0].mask, driver.requests[0].seed, driver.requests[0].n) == (None, None, 1)


def test_blank_texts_and_numbers_as_texts_are_as_in_a_form(client, driver, body):
    assert client.post(EDITS, json=body(target=" ", seed="7", all="false")).status_code == 200
    assert (driver.requests[0].target, driver.requests[0].seed, driver.requests[0].all) == (None, 7, False)


def test_locate_and_score(client, driver, picture, opened):
    located = client.post(LOCATE, json=image(picture) | {"target": "the apple", "all": True})
    assert (located.status_code, driver.requests[0].all) == (200, True)
    scored = client.post(SCORE, json=image(picture) | {"text": "an apple"})
    assert scored.json() == {"score": pytest.approx(opened(picture).mean() / 255)}


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "", "application/octet-stream;name=a.png", "IMAGE/PNG"])
def test_what_a_data_url_says_of_its_type_does_not_count(client, driver, picture, opened, body, kind):
    answer = client.post(EDITS, json=body(images=[{"image_url": url(picture, kind)}]))
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(driver.requests[0].image, opened(picture))


def test_base64_in_lines(client, picture, body):
    lines = "data:image/png;base64," + base64.encodebytes(picture).decode().replace("\n", "\r\n")
    assert client.post(EDITS, json=body(images=[{"image_url": lines}])).status_code == 200


def test_an_answer_as_a_picture(client, body):
    answer = client.post(EDITS, json=body(), headers={"accept": "image/webp"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")


# Pictures that are not there


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/x.png", "https://example.com/x.png", "file:///etc/passwd", "/etc/passwd", "x.png", "data:", 5],
)
def test_no_address_is_ever_fetched(refused_json, body, address):
    for key, name in (("images", "images[0].image_url"), ("mask", "mask.image_url"), ("markup", "markup.image_url")):
        place = {"image_url": address}
        message = refused_json(body(**{key: [place] if key == "images" else place}), name)
        assert f"`{name}` must be a data: URL: no address is ever fetched" in message
        assert "127.0.0.1" not in message


@pytest.mark.parametrize(
    ("images", "param", "says"),
    [
        (..., "images", "`images` is required"),
        (None, "images", "`images` is required"),
        ([], "images", "`images` is required"),
        ([{"image_url": "data:image/png;base64,"}] * 2, "images", "has 2 pictures"),
        ([{"image_url": "data:image/png;base64,"}] * 1000, "images", "has 1000 pictures"),
        ({"image_url": "data:image/png;base64,"}, "images", "must be a list"),
        ("data:image/png;base64,AAAA", "images", "must be a list"),
        (["data:image/png;base64,AAAA"], "images[0]", "must be an object"),
        ([[]], "images[0]", "must be an object"),
        ([None], "images[0]", "must be an object"),
        ([{}], "images[0].image_url", "is required"),
        ([{"image_url": None}], "images[0].image_url", "is required"),
        ([{"image_url": ""}], "images[0].image_url", "is required"),
        ([{"image_url": {"url": "data:image/png;base64,AAAA"}}], "images[0].image_url", "must be a data: URL"),
        ([{"image_url": "data:image/png,AAAA"}], "images[0].image_url", "in base64"),
        ([{"image_url": "data:image/png;base64,A"}], "images[0].image_url", "no base64"),
        ([{"image_url": "data:image/png;base64,AA=A"}], "images[0].image_url", "no base64"),
        ([{"image_url": "data:image/png;base64,é"}], "images[0].image_url", "no base64"),
        ([{"image_url": "data:image/png;base64,%41AAA"}], "images[0].image_url", "no base64"),
        ([{"image_url": "data:image/png;base64,AA-AA"}], "images[0].image_url", "no base64"),
        ([{"file_id": "file-abc"}], "images[0].file_id", "no files are kept here"),
        ([{"image_url": "data:image/png;base64,AAAA", "file_id": "x"}], "images[0].file_id", "no files are kept"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_pictures_that_cannot_be_read_out(refused_json, body, images, param, says):
    assert says in refused_json(body(images=images), param)


def test_names_within_a_picture(refused_json, body):
    message = refused_json(body(images=[{"image_ur": "x"}]), "images[0].image_ur", "unknown_parameter")
    assert "Did you mean `image_url`?" in message
    refused_json(body(mask={"detail": "high"}), "mask.detail", "unknown_parameter")


def test_a_picture_that_is_none_is_named_by_its_place(client, refused, body):
    for key, place in (("images", "images[0].image_url"), ("mask", "mask.image_url"), ("markup", "markup.image_url")):
        picture = {"image_url": url(b"GIF89a")}
        answer = client.post(EDITS, json=body(**{key: [picture] if key == "images" else picture}))
        assert refused(answer, 415, "image_unsupported", place)["message"].startswith(f"`{place}` is neither PNG")


# Names and values


def test_unknown_names_come_with_a_suggestion(refused_json, body, picture):
    message = refused_json(body(inference_steps=3), "inference_steps", "unknown_parameter")
    assert "Did you mean `num_inference_steps`?" in message
    assert "Did you mean `images`?" in refused_json(body(image=url(picture)), "image", "unknown_parameter")
    refused_json(
        image(picture) | {"text": "x", "mask": {"image_url": url(picture)}}, "mask", "unknown_parameter", SCORE
    )
    refused_json(body(**{"points[]": [1, 2]}), "points[]", "unknown_parameter")


@pytest.mark.parametrize(
    ("param", "value", "says"),
    [
        *[("prompt", value, "text of 0 to 200") for value in (5, 1.5, True, ["a lemon"], {"text": "a lemon"})],
        *[("n", value, "from 1 to 10") for value in (0, 11, 1.5, True, [1], {}, 10**400, "two", 1e300)],
        *[("seed", value, "from 0 to") for value in (-1, 2**63, 10**100, False, 0.5)],
        *[("guidance_scale", value, "from 0 to 30") for value in (-1, 31, True, [3], 10**400, "x")],
        *[("all", value, "true or false") for value in (1, 0, "both", [True], {})],
        *[("quality", value, "one of auto, low") for value in (1, True, ["low"], "hd")],
        *[
            ("points", value, "x,y pairs")
            for value in (5, True, {"x": 1}, [[1, 2, 3]], [[1, None]], [[[1, 2]]], ["1,2"])
        ],
        *[("labels", value, "labels 1 or 0") for value in ([2], ["1"], [[1]], {"a": 1}, 7)],
        *[
            ("box", value, "4 integers")
            for value in ([1, 2, 3], [1, 2, 3, 4, 5], [1.5, 2, 3, 4], 5, {}, [[1, 2, 3, 4]])
        ],
        *[("output_compression", value, "from 0 to 100") for value in (101, True, [1], 2**70)],
        ("points", [[1, 2]] * 65, "1 to 64 x,y pairs"),
        ("output_format", "gif", "one still picture"),
        ("user", "x" * 257, "text of 0 to 256"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_values_of_the_wrong_kind(refused_json, body, param, value, says):
    points = {"points": [[1, 2]]} if param == "labels" else {}
    message = refused_json(body(**points, **{param: value}), param)
    assert message.startswith(f"`{param}` must be ")
    assert says in message


# Bodies


@pytest.mark.parametrize(
    "sent",
    [
        "",
        " ",
        "{",
        "null",
        "5",
        '"a lemon"',
        "[]",
        '[{"prompt": "x"}]',
        "{'prompt': 'x'}",
        '{"prompt": "x",}',
        '{"prompt": "x"} {}',
        '{"prompt": NaN}',
        '{"n": Infinity}',
        '{"guidance_scale": -Infinity}',
        '{"seed": ' + "9" * 5000 + "}",
        '{"prompt": "\\ud800"}',
        '{"prompt": "a \\udc00 lemon"}',
        '{"\\ud800": 1}',
        '{"\\ud800": 1, "\\ud800": 2}',
        '{"images": [{"\\udfff": 1}]}',
        '{"points": [["\\udfff", 1]]}',
        b'{"prompt": "\xff"}',
        b'{"prompt": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"prompt": "x"}',
        '{"prompt": "x"}'.encode("utf-16"),
        '{"points": ' + "[" * 100_000,
        '{"points": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "[" * 990 + "]" * 990,
        '{"x": ' * 600 + "1" + "}" * 600,
        '{"prompt": "a\nlemon"}',
    ],
    ids=lambda sent: repr(sent)[:30],
)
def test_bodies_that_are_no_request(refused_json, sent):
    assert "JSON" in refused_json(sent, None)


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ('{"prompt": "a", "prompt": "b"}', "prompt"),
        ('{"prompt": "a", "prompt": null}', "prompt"),
        ('{"images": [], "images": []}', "images"),
        ('{"images": [{"image_url": "a", "image_url": "b"}]}', "image_url"),
        ('{"x": {"' + "y" * 300 + '": 1, "' + "y" * 300 + '": 1}}', "y" * 64),
    ],
    ids=lambda value: value[:30],
)
def test_a_key_that_comes_twice(refused_json, sent, param):
    assert "more than once" in refused_json(sent, param)


def test_long_lists_are_refused_before_they_are_read(refused_json):
    assert "too many values" in refused_json('{"points": [' + "1," * 200_000 + "1]}", None)


def test_pairs_of_surrogates_are_fine(client, driver, body):
    sent = json.dumps(body(prompt="a \U0001f34b"))
    assert "\\ud83c\\udf4b" in sent
    assert client.post(EDITS, content=sent, headers={"content-type": "application/json"}).status_code == 200
    assert driver.requests[0].prompt == "a \U0001f34b"


def test_nothing_is_read_from_the_address(client, refused, body):
    refused(client.post(EDITS, params={"seed": "1"}, json=body()), 400, "unknown_parameter", "seed")


def test_a_body_may_be_a_third_larger_than_a_form(client, driver, picture, refused, body):
    """Base64 has four characters for three bytes: the largest picture and mask fit, and not much more."""
    limits = driver.settings.limits.model_copy(update={"max_image_bytes": 4_000_000})
    driver.settings = DriverSettings(limits=limits)
    largest = picture + bytes(limits.max_image_bytes - len(picture))
    sent = json.dumps(body(images=[{"image_url": url(largest)}], mask={"image_url": url(largest)}))
    as_json = {"content-type": "Application/JSON; charset=UTF-8"}
    assert most_bytes(limits) < len(sent) < most_bytes(limits, as_json["content-type"])
    assert client.post(EDITS, content=sent, headers=as_json).status_code == 200
    too_large = client.post(EDITS, json=body(images=[{"image_url": url(largest + b"x")}]))
    refused(too_large, 413, "image_too_large", "images[0].image_url")
    far_too_large = body(prompt="x" * most_bytes(limits, "application/json"))
    refused(client.post(EDITS, json=far_too_large), 413, "image_too_large", "image")


def test_json_is_read_off_the_event_loop(client, driver, body, monkeypatch):
    threads = []

    def watched(data):
        threads.append(threading.get_ident())
        return read_json(data)

    monkeypatch.setattr("deployments.http.bodies.read_json", watched)
    assert client.post(EDITS, json=body()).status_code == 200
    assert threads != [driver.thread]


@pytest.mark.parametrize("route", list(documents.FORMS))
def test_the_document_describes_both_bodies(client, driver, route):
    document = client.get("/openapi.json").json()
    content = document["paths"][route]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    form, sent = content["multipart/form-data"]["schema"], content["application/json"]["schema"]
    renamed = {"images" if name == "image" else name for name in form["properties"]}
    assert set(sent["properties"]) == renamed
    assert set(sent["required"]) == {"images" if name == "image" else name for name in form["required"]}
    assert sent["properties"]["images"]["items"]["required"] == ["image_url"]
    if route == EDITS:
        assert sent["properties"]["points"]["items"]["maxItems"] == 2
        assert sent["properties"]["n"] == form["properties"]["n"]
        assert sent["anyOf"] == form["anyOf"]
