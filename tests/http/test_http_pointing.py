"""Saying what is meant, by words or by pointing; what a locate answers."""

import base64
import time

import numpy as np
import pytest

EDITS = "/v1/images/edits"
LOCATE = "/v1/locate"


@pytest.fixture
def sent(client, driver, picture):
    """Sends fields that have to be accepted; returns what the driver got."""

    def post(route: str, fields: dict):
        form = ({"prompt": "a lemon"} if route == EDITS else {}) | fields
        answer = client.post(route, files={"image": picture}, data=form)
        assert answer.status_code == 200, answer.text
        return driver.requests[-1]

    return post


@pytest.fixture
def refused_on(client, driver, picture, refused):
    """Sends fields that have to be refused before the driver hears of them; returns the message."""

    def post(route: str, param: str, fields: dict, code: str = "invalid_value") -> str:
        form = ({"prompt": "a lemon"} if route == EDITS else {}) | fields
        before = len(driver.requests)
        answer = client.post(route, files={"image": picture}, data=form)
        assert len(driver.requests) == before
        return refused(answer, 400, code, param)["message"]

    return post


both_routes = pytest.mark.parametrize("route", [EDITS, LOCATE])


def test_locate(client, driver, picture, opened):
    form = {"target": " the apple ", "avoid": "the dog, the cat"}
    body = client.post(LOCATE, files={"image": picture}, data=form).json()
    assert body.pop("heat")[2] == pytest.approx([8 / 11, 9 / 11, 10 / 11, 1], abs=1e-4)
    masks = [opened(base64.b64decode(candidate.pop("mask_b64"))) for candidate in body["candidates"]]
    assert body == {
        "target": "the apple",
        "phrase": "apple",
        "found": True,
        "point": [32, 21],
        "confidence": 0.875,
        "margin": 1.5,
        "size": [96, 64],
        "low_confidence": False,
        "chosen": 0,
        "instances": [0],
        "candidates": [
            {
                "point": [32, 21],
                "box": [24, 16, 48, 32],
                "area": 0.0625,
                "score": 0.625,
                "sam_score": 0.75,
                "source": "peak",
                "features": {"coverage": 0.5, "sam": 0.75},
            },
            {
                "point": [8, 5],
                "box": [0, 0, 12, 8],
                "area": 0.015625,
                "score": 0.625,
                "sam_score": 0,
                "source": "heat",
                "features": {"coverage": 0.5, "sam": 0},
            },
        ],
        "timings": {"locate": 0.0123},
    }
    for mask, (left, top, right, bottom) in zip(masks, [(24, 16, 48, 32), (0, 0, 12, 8)], strict=True):
        white = np.zeros((64, 96), np.uint8)
        white[top:bottom, left:right] = 255
        np.testing.assert_array_equal(mask, white)
    assert (driver.requests[0].target, driver.requests[0].avoid) == ("the apple", "the dog, the cat")


def test_what_is_not_found_is_an_answer_of_locate(client, picture):
    answer = client.post(LOCATE, files={"image": picture}, data={"target": "a unicorn"})
    assert answer.status_code == 200
    assert (answer.json()["found"], answer.json()["margin"]) == (False, -2.5)


def test_failed_edit_has_the_same_best_guess_masks_and_all(client, picture, refused):
    answer = client.post(EDITS, files={"image": picture}, data={"prompt": "a unicorn"})
    refused(answer, 422, "target_not_found", "target")
    located = client.post(LOCATE, files={"image": picture}, data={"target": "a unicorn"}).json()
    assert len(located["candidates"]) == 2
    assert answer.json()["location"] == located


# Words


def test_avoid(sent):
    for route in (EDITS, LOCATE):
        assert sent(route, {"target": "the apple", "avoid": " the green apple "}).avoid == "the green apple"
        assert sent(route, {"target": "the apple", "avoid": " "}).avoid == ""


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("false", False), (" ", None)]
)
def test_all(sent, text, value):
    for route in (EDITS, LOCATE):
        assert sent(route, {"target": "the apple", "all": text}).all is value


@both_routes
def test_all_is_true_or_false(refused_on, route):
    assert refused_on(route, "all", {"target": "the apple", "all": "both"}) == "`all` must be true or false."


@pytest.mark.parametrize("pointer", [{"points": "3,4"}, {"box": "3,4,9,9"}], ids=str)
@both_routes
def test_all_is_not_for_pointers(refused_on, route, pointer):
    assert "`all` is for a search by words" in refused_on(route, "all", pointer | {"all": "true"})


@pytest.mark.parametrize("pointer", [{"points": "3,4"}, {"box": "3,4,9,9"}], ids=str)
@both_routes
def test_avoid_is_not_for_pointers(refused_on, route, pointer):
    assert "`avoid` is for a search by words" in refused_on(route, "avoid", pointer | {"avoid": "the dog"})


def test_locate_needs_words_or_a_pointer(sent, refused_on):
    assert "`points` or `box`" in refused_on(LOCATE, "target", {})
    assert sent(LOCATE, {"target": " ", "points": "3,4"}).target is None
    for pointer in ({"points": "3,4"}, {"box": "3,4,9,9"}):
        assert sent(LOCATE, pointer).target is None
        assert sent(LOCATE, pointer | {"target": "the apple"}).target == "the apple"


@pytest.mark.parametrize("name", ["candidate", "prompt", "mode", "mask_mode", "dilation"])
def test_locate_takes_no_field_of_an_edit(refused_on, name):
    refused_on(LOCATE, name, {"target": "x", name: "0"}, "unknown_parameter")


# Points and boxes


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("12,34", ((12, 34),)),
        (" 12 , 34 ", ((12, 34),)),
        ("0,0; 95,63", ((0, 0), (95, 63))),
        ("1,2;3,4;", ((1, 2), (3, 4))),
        ("1,2 3,4\n5,6", ((1, 2), (3, 4), (5, 6))),
        ("1, 2, 3, 4", ((1, 2), (3, 4))),
        ("1,2 ; ; 3,4", ((1, 2), (3, 4))),
        ("007,-0", ((7, 0),)),
        ("[[12,34]]", ((12, 34),)),
        (" [[0, 0],\n[95.0, 63]] ", ((0, 0), (95, 63))),
        ("[1,2]", ((1, 2),)),
        ("[1,2,3,4]", ((1, 2), (3, 4))),
        (" ".join(["5,6"] * 64), ((5, 6),) * 64),
    ],
    ids=lambda value: str(value)[:20],
)
@both_routes
def test_points(sent, route, text, points):
    request = sent(route, {"points": text})
    assert (request.points, request.labels) == (points, ())


@pytest.mark.parametrize(
    "text",
    [
        *(
            ";",
            ",",
            "5",
            "5,",
            ",5",
            "5 6",
            "5;6",
            "1,2,3",
            "1,2;3",
            "1,2 3,4 5",
            "(1,2)",
            "[[1,2],[3]]",
            "[[[1,2]]]",
            "[1,2,3]",
            "[[1,2]",
            "[[1,null]]",
            '[["1","2"]]',
            '{"x":1}',
            "[[NaN,1]]",
            "[[1.5,2]]",
            "[true,false]",
            "[" * 60_000,
            "[[" + "9" * 5000 + ",2]]",
            "1,2|3,4",
        ),
        *("nan,nan", "nan,5", "inf,5", "-inf,5", "1.5,2", "1e2,2", "1_0,2", "0x1,2", "+1,2", "--1,2", "１,2", "1,2\0"),
        *("1" * 10 + ",2", "9" * 5000 + ",2", "1,2;" * 65, "1,2;" * 10_000, "1 " * 20_000, ";" * 50_000),
        *("1" + " " * 60_000 + "x", "1,2" + " ;" * 30_000 + "x", "1,2 " * 30_000 + "x"),
    ],
    ids=lambda text: repr(text)[:20],
)
@both_routes
def test_points_that_are_none(refused_on, route, text):
    start = time.thread_time()
    message = refused_on(route, "points", {"points": text})
    assert time.thread_time() - start < 0.5
    assert message in (f"`points` must be 1 to 64 x,y pairs{how}." for how in ("", ", such as `120,80; 200,90`"))


@pytest.mark.parametrize("text", ["96,0", "0,64", "-1,0", "0,-1", "5,5; 96,5", "999999999,0"])
@both_routes
def test_points_outside(refused_on, route, text):
    assert "must lie in the picture, which is 96x64: " in refused_on(route, "points", {"points": text})


@pytest.mark.parametrize(
    ("text", "labels"), [("1,0", (1, 0)), (" 0 , 1 ", (0, 1)), ("1,1", (1, 1)), ("[1, 0]", (1, 0))]
)
@both_routes
def test_labels(sent, route, text, labels):
    request = sent(route, {"points": "1,2; 3,4", "labels": text})
    assert (request.points, request.labels) == (((1, 2), (3, 4)), labels)


@pytest.mark.parametrize("text", ["2,1", "[2,1]", "-1,1", "1;0", "10", "1,,0", "nan,1", "yes,no", ",".join("1" * 65)])
@both_routes
def test_labels_that_are_none(refused_on, route, text):
    message = refused_on(route, "labels", {"points": "1,2; 3,4", "labels": text})
    assert message in (f"`labels` must be 1 to 64 labels 1 or 0{how}." for how in ("", ", such as `1,0`"))


@pytest.mark.parametrize(
    "fields", [{"target": "x"}, {"box": "1,2,3,4"}, {"points": "1,2"}, {"points": "1,2; 3,4; 5,6"}], ids=str
)
@both_routes
def test_labels_are_as_many_as_points(refused_on, route, fields):
    message = refused_on(route, "labels", fields | {"labels": "1,0"})
    assert message == "`labels` must be as many as `points`, one for each."


@pytest.mark.parametrize(("text", "box"), [("3,4,50,60", (3, 4, 50, 60)), (" [0, 0, 96, 64] ", (0, 0, 96, 64))])
@both_routes
def test_box(sent, route, text, box):
    assert sent(route, {"box": text}).box == box
    both = sent(route, {"box": text, "points": "5,6", "labels": "0"})
    assert (both.box, both.points, both.labels) == (box, ((5, 6),), (0,))


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5", "1 2 3 4", "nan,0,5,5", "1.5,2,3,4", "1,2;3,4", "a,b,c,d"])
@both_routes
def test_box_that_is_none(refused_on, route, text):
    assert refused_on(route, "box", {"box": text}) == "`box` must be 4 integers, such as `40,30,220,160`."


@pytest.mark.parametrize(
    "text", ["-1,0,5,5", "0,-1,5,5", "0,0,97,5", "0,0,5,65", "5,0,5,9", "9,0,5,9", "0,5,9,5", "0,9,9,5"]
)
@both_routes
def test_box_that_is_no_box_in_the_picture(refused_on, route, text):
    assert "in the picture, which is 96x64, left before right" in refused_on(route, "box", {"box": text})


@pytest.mark.parametrize(
    ("fields", "got"),
    [
        ({"points[]": ["1,2", "3,4"]}, (((1, 2), (3, 4)), (), None)),
        ({"points[]": ["1", "2"]}, (((1, 2),), (), None)),
        ({"points[][]": ["1", "2", "3", "4"], "labels[]": ["1", "0"]}, (((1, 2), (3, 4)), (1, 0), None)),
        ({"points[]": ["1", "2", "3", "4"], "labels[]": ["true", "false"]}, (((1, 2), (3, 4)), (1, 0), None)),
        ({"box[]": ["1", "2", "3", "4"]}, ((), (), (1, 2, 3, 4))),
        ({"box[]": ["1.0", "2.0", "3.0", "4.0"]}, ((), (), (1, 2, 3, 4))),
        ({"points[][]": ["5", "6"] * 64, "labels[]": ["1"] * 64}, (((5, 6),) * 64, (1,) * 64, None)),
    ],
    ids=lambda value: str(value)[:40],
)
@both_routes
def test_lists_may_come_item_by_item(sent, route, fields, got):
    request = sent(route, fields)
    assert (request.points, request.labels, request.box) == got


@both_routes
def test_lists_that_come_in_other_ways(refused_on, route):
    assert "x,y pairs" in refused_on(route, "points", {"points[][]": ["1", "2", "3"]})
    assert "more than once" in refused_on(route, "points", {"points": "1,2", "points[]": ["1,2"]})
    assert "more than once" in refused_on(route, "box", {"box": ["1,2,3,4", "1,2,3,4"]})
    message = refused_on(route, "points[0][x]", {"points[0][x]": "1"}, "unknown_parameter")
    assert "There is no field `points[0][x]`." in message
    refused_on(route, "boxes[]", {"boxes[]": ["1"]}, "unknown_parameter")


def test_more_points_where_the_limits_allow_them(driver, sent, refused_on):
    limits = driver.settings.limits
    driver.settings = driver.settings.model_copy(update={"limits": limits.model_copy(update={"max_points": 2})})
    assert len(sent(LOCATE, {"points": "1,2; 3,4"}).points) == 2
    assert "1 to 2 x,y pairs" in refused_on(LOCATE, "points", {"points": "1,2; 3,4; 5,6"})


def test_answer_for_a_pointer_has_no_heat(client, picture):
    body = client.post(LOCATE, files={"image": picture}, data={"points": "30,20"}).json()
    assert (body["heat"], body["target"], body["confidence"], body["margin"]) == (None, "", 1, 0)


# Candidates


def test_candidate(client, driver, picture, opened):
    form = {"prompt": "x", "candidate": "1"}
    body = client.post(EDITS, files={"image": picture}, data=form).json()
    assert driver.requests[0].candidate == 1
    assert (body["chosen"], body["point"], body["low_confidence"]) == (1, [8, 5], True)
    assert opened(base64.b64decode(body["mask_b64"]))[:8, :12].all()
    answer = client.post(EDITS, files={"image": picture}, data=form, headers={"accept": "image/png"})
    assert answer.headers["x-retouch-candidate"] == "1"


def test_candidate_that_is_not_there(client, driver, picture, refused):
    """Only the driver can tell."""
    answer = client.post(EDITS, files={"image": picture}, data={"prompt": "x", "candidate": "31"})
    refused(answer, 400, "invalid_value", "candidate")
    assert driver.requests[0].candidate == 31


@pytest.mark.parametrize(
    ("name", "value", "got"),
    [
        *[("mask_shape", shape, shape) for shape in ("silhouette", "hull", "box")],
        *[("fill", fill, fill) for fill in ("noise", "original", "blur")],
        *[("dilation", text, float(text)) for text in ("0", "0.25", "1")],
        *[("min_score", text, float(text)) for text in ("-1", "0.3", "1")],
    ],
)
def test_how_it_is_painted(client, driver, picture, name, value, got):
    assert client.post(EDITS, files={"image": picture}, data={"prompt": "x", name: value}).status_code == 200
    assert getattr(driver.requests[0], name) == got


@pytest.mark.parametrize("route", [EDITS, LOCATE])
def test_docs_describe_the_lists(client, route):
    document = client.get("/openapi.json").json()
    schema = document["paths"][route]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    points, box = schema["properties"]["points"], schema["properties"]["box"]
    assert (points["type"], points["minItems"], points["maxItems"]) == ("string", 1, 64)
    assert (box["type"], box["minItems"], box["maxItems"]) == ("string", 4, 4)
    assert points["description"]
    assert "default" not in points
