"""What good requests get."""

import asyncio
import base64
import io
import json
import logging
import threading

import numpy as np
import pytest
from PIL import Image

from deployments.config import DriverSettings
from deployments.http import answers, api
from deployments.http.statuses import BY_ROUTE
from deployments.messages import Readiness

EDITS = "/v1/images/edits"


def test_edit(client, driver, picture, opened):
    form = {
        "prompt": " a lemon ",
        "target": "the apple",
        "negative_prompt": "blur",
        "n": "2",
        "seed": "40",
        "num_inference_steps": "7",
        "guidance_scale": "3.5",
        "strength": "0.4",
        "scheduler": "euler",
    }
    answer = client.post(EDITS, files={"image": picture}, data=form)
    assert answer.status_code == 200
    body = answer.json()

    request = driver.requests[0]
    np.testing.assert_array_equal(request.image, opened(picture))
    assert (request.prompt, request.target, request.negative_prompt) == ("a lemon", "the apple", "blur")
    assert (request.n, request.seed, request.num_inference_steps, request.guidance_scale) == (2, 40, 7, 3.5)
    assert (request.strength, request.scheduler) == (0.4, "euler")

    assert [item["seed"] for item in body["data"]] == [41, 40]
    assert body["data"][0]["score"] == {
        "before": 0.125,
        "after": 0.25,
        "delta": 0.125,
        "region_before": 0.0,
        "region_after": 0.5,
    }
    assert body["data"][0]["seam"] == 2.5
    assert (body["data"][0]["execution"], body["data"][0]["precision"]) == ("traced", "float32")
    painted = opened(base64.b64decode(body["data"][0]["b64_json"]))
    mask = opened(base64.b64decode(body["mask_b64"])) == 255
    assert mask.sum() == 16 * 24
    assert (painted[mask] == (41, 0, 7)).all()
    np.testing.assert_array_equal(painted[~mask], opened(picture)[~mask])
    assert body["created"] > 1_700_000_000
    assert {key: value for key, value in body.items() if key not in ("created", "data", "mask_b64")} == {
        "output_format": "png",
        "size": "96x64",
        "background": "opaque",
        "quality": "auto",
        "usage": {
            "input_tokens": 9,
            "input_tokens_details": {"image_tokens": 6, "text_tokens": 3},
            "output_tokens": 80,
            "total_tokens": 89,
        },
        "safety_identifier": None,
        "mode": "replace",
        "method": "diffusion",
        "fill_method": None,
        "target": "the apple",
        "phrase": "apple",
        "point": [32, 21],
        "confidence": 0.875,
        "margin": 1.5,
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
            },
            {"point": [8, 5], "box": [0, 0, 12, 8], "area": 0.015625, "score": 0.625, "sam_score": 0, "source": "heat"},
        ],
        "improved": True,
        "filtered": [],
        "mask_read": None,
        "markup_read": None,
        "changed_outside_px": 0,
        "converted": [],
        "num_inference_steps": 7,
        "guidance_scale": 3.5,
        "timings": {"locate": 0.01, "inpaint": 0.1235},
    }


def test_what_reading_converted_is_told(client):
    upload = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    Image.new("RGBA", (96, 64), (200, 30, 60, 128)).save(upload, "PNG", exif=exif)
    form = {"data": {"prompt": "a lemon"}, "files": {"image": upload.getvalue()}}
    assert client.post(EDITS, **form).json()["converted"] == ["alpha", "metadata"]
    answer = client.post(EDITS, headers={"accept": "image/png"}, **form)
    assert answer.headers["x-retouch-converted"] == "alpha,metadata"


def test_edit_with_nothing_but_a_prompt(client, driver, picture):
    body = client.post(EDITS, files={"image": picture}, data={"prompt": "a lemon"}).json()
    request = driver.requests[0]
    assert (request.target, request.negative_prompt, request.n, request.seed) == (None, "", 1, None)
    assert (request.num_inference_steps, request.guidance_scale) == (None, None)
    assert (request.strength, request.scheduler) == (None, None)
    assert (request.avoid, request.mode, request.points, request.labels) == ("", "replace", (), ())
    assert (request.box, request.mask, request.candidate) == (None, None, None)
    assert (request.mask_shape, request.dilation, request.fill, request.min_score) == (None, None, None, None)
    assert body["quality"] == "medium"
    assert body["data"][0]["seed"] == 1234


@pytest.mark.parametrize("name", ["image", "image[]"])
def test_picture_by_either_name_whatever_it_claims_to_be(client, picture, name):
    upload = {name: ("../../etc/passwd\0.exe", picture, "text/html")}
    assert client.post(EDITS, files=upload, data={"prompt": "a lemon"}).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "retouch"},
        {"size": "auto"},
        {"size": "96x64"},
        {"response_format": "b64_json"},
        {"background": "auto"},
        {"background": "opaque"},
        {"input_fidelity": "high"},
        {"moderation": "auto"},
        {"quality": "standard"},
        {"stream": "false"},
        {"stream": "0"},
        {"partial_images": "0"},
        {"progress": "false"},
        {"output_compression": "100"},
        {"negative_prompt": ""},
        {"avoid": " "},
        {"mask_mode": "auto"},
        {"min_score": "-1"},
        {"dilation": "0"},
        {"guidance_scale": "0"},
        {"strength": "0.01"},
        {"strength": "1"},
        {"seed": str(2**63 - 10), "n": "10"},
        {"n": "10"},
        {"num_inference_steps": "150"},
        {"prompt": "x" * 200},
        {"prompt": "\u202egnirts \x07 \u00e9\u0301 \U0001f34b"},
    ],
    ids=str,
)
def test_accepted_fields(client, picture, fields):
    assert client.post(EDITS, files={"image": picture}, data={"prompt": "a lemon"} | fields).status_code == 200


@pytest.mark.parametrize(
    ("quality", "steps"),
    [("low", 10), ("medium", 20), ("standard", 20), ("high", 40), ("xhigh", 60), ("max", 80)],
)
def test_quality_sets_the_steps(client, picture, quality, steps):
    body = client.post(EDITS, files={"image": picture}, data={"prompt": "x", "quality": quality}).json()
    assert body["num_inference_steps"] == steps
    assert body["quality"] == {"standard": "medium"}.get(quality, quality)


def test_quality_keeps_within_the_limit(client, driver, picture):
    driver.settings = DriverSettings(num_inference_steps=100, limits=driver.settings.limits)
    for quality in ("high", "xhigh", "max"):
        body = client.post(EDITS, files={"image": picture}, data={"prompt": "x", "quality": quality}).json()
        assert (body["num_inference_steps"], body["quality"]) == (150, quality)
    driver.settings = DriverSettings(num_inference_steps=1, limits=driver.settings.limits)
    body = client.post(EDITS, files={"image": picture}, data={"prompt": "x", "quality": "low"}).json()
    assert body["num_inference_steps"] == 1


def test_usage_counts_the_picture_the_text_and_the_work(client, opened):
    for size, tokens in (((32, 32), 1), ((33, 32), 2), ((64, 96), 6)):
        out = io.BytesIO()
        Image.new("RGB", size).save(out, "PNG")
        sent = {"files": {"image": out.getvalue()}, "data": {"prompt": "x", "n": "3"}}
        usage = client.post(EDITS, **sent).json()["usage"]
        assert usage["input_tokens_details"] == {"image_tokens": tokens, "text_tokens": 3}
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (tokens + 3, 120, tokens + 123)


def test_a_classical_fill_uses_only_the_picture(client, picture):
    form = {"mode": "remove", "target": "the apple"}
    usage = client.post(EDITS, files={"image": picture}, data=form).json()["usage"]
    assert usage["input_tokens_details"] == {"image_tokens": 6, "text_tokens": 0}
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (6, 0, 6)


@pytest.mark.parametrize("name", ["retouch", "gpt-image-2.6-flare", "chatgpt-image-latest"])
def test_names_that_are_taken_for_the_model(client, picture, name):
    assert client.post(EDITS, files={"image": picture}, data={"prompt": "x", "model": name}).status_code == 200
    assert client.get(f"/v1/models/{name}").json()["id"] == name
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["retouch"]


def test_the_operator_says_which_names_are_taken_for_the_model(client, driver, picture, refused):
    driver.settings = driver.settings.model_copy(update={"model_aliases": ("sd-*",)})
    form = {"prompt": "x", "model": "sd-inpaint"}
    assert client.post(EDITS, files={"image": picture}, data=form).status_code == 200
    answer = client.post(EDITS, files={"image": picture}, data={"prompt": "x", "model": "gpt-image-2"})
    assert "`retouch`" in refused(answer, 404, "model_not_found", "model")["message"]


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_output_format(client, picture, format):
    form = {"prompt": "x", "output_format": format}
    body = client.post(EDITS, files={"image": picture}, data=form).json()
    assert body["output_format"] == format
    with Image.open(io.BytesIO(base64.b64decode(body["data"][0]["b64_json"]))) as image:
        assert image.format == format.upper()


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_output_compression(client, picture, format):
    sizes = []
    for compression in ("0", "50", "100"):
        form = {"prompt": "x", "output_format": format, "output_compression": compression}
        body = client.post(EDITS, files={"image": picture}, data=form).json()
        sizes.append(len(body["data"][0]["b64_json"]))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/png", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("IMAGE/WEBP", "image/webp"),
        ("image/*", "image/png"),
        ("text/html, image/webp, */*;q=0.8", "image/webp"),
        ("application/json;q=0.5, image/jpeg;q=0.9", "image/jpeg"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json, image/png", "application/json"),
        ("image/png;q=0.1, application/json", "application/json"),
        ("image/png;q=0", "application/json"),
        ("image/png;q=banana", "application/json"),
        ("text/html", "application/json"),
        ("", "application/json"),
    ],
)
def test_accept_chooses_between_json_and_the_picture(client, picture, accept, kind):
    answer = client.post(EDITS, files={"image": picture}, data={"prompt": "x"}, headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind


def test_picture_answer(client, picture, opened):
    form = {"prompt": "x", "seed": "9", "n": "2"}
    answer = client.post(EDITS, files={"image": picture}, data=form, headers={"accept": "image/png"})
    assert tuple(opened(answer.content)[20, 30]) == (10, 0, 7)  # the best one: the driver ranked seed 10 first
    assert answer.headers["x-retouch-seed"] == "10"
    assert answer.headers["x-retouch-point"] == "32,21"
    assert answer.headers["x-retouch-score"] == "0.2500"
    assert answer.headers["x-retouch-candidate"] == "0"
    assert answer.headers["x-retouch-improved"] == "true"
    assert "x-retouch-converted" not in answer.headers


def test_any_picture_answer_takes_the_format_asked_for(client, picture):
    form = {"prompt": "x", "output_format": "webp", "output_compression": "30"}
    answer = client.post(EDITS, files={"image": picture}, data=form, headers={"accept": "image/*"})
    assert answer.headers["content-type"] == "image/webp"


def test_user_goes_to_the_log_on_one_line(client, picture, caplog):
    caplog.set_level(logging.INFO, "deployments.http")
    form = {"prompt": "CANARY prompt", "user": "team-7\r\nforged line"}
    client.post(EDITS, files={"image": picture}, data=form, headers={"x-request-id": "abc-1"})
    messages = [record.getMessage() for record in caplog.records]
    assert [m for m in messages if "team-7" in m] == ["request abc-1 edited 1 picture(s) for 'team-7\\r\\nforged line'"]
    assert "CANARY" not in caplog.text


def test_score(client, driver, picture, opened):
    body = client.post("/v1/score", files={"image": picture}, data={"text": "an apple"}).json()
    assert body == {"score": pytest.approx(opened(picture).mean() / 255)}
    assert driver.requests[0].text == "an apple"


def test_models(client):
    model = client.get("/v1/models/retouch").json()
    assert (model["id"], model["object"], model["owned_by"]) == ("retouch", "model", "retouch")
    assert client.get("/v1/models").json() == {"object": "list", "data": [model]}


def test_health_and_readiness(client, driver):
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = {"status": "ready", "stages": {"clip": True, "sam": True, "inpaint": True}}
    assert client.get("/readyz").json() == ready
    driver.stages["clip"] = Readiness(True, "clip.model")  # an update failed, and the old replicas go on
    assert client.get("/readyz").json() == ready


@pytest.mark.parametrize(
    ("not_ready", "message"),
    [
        ({"sam": Readiness(False)}, "Not ready: sam."),
        ({"sam": Readiness(False, "sam.model")}, "Not ready: sam cannot start; see its setting sam.model."),
        (
            {"sam": Readiness(False, "sam.device"), "inpaint": Readiness(False)},
            "Not ready: sam cannot start; see its setting sam.device. Not ready: inpaint.",
        ),
    ],
)
def test_a_stage_that_is_not_ready_is_named(client, driver, not_ready, message):
    driver.stages |= not_ready
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "error": {"message": message, "type": "server_error", "param": None, "code": "not_ready"},
        "status": "not ready",
        "stages": {stage: stage not in not_ready for stage in ("clip", "sam", "inpaint")},
    }
    assert client.get("/healthz").status_code == 200


def test_index_names_routes_that_exist(client):
    body = client.get("/").json()
    assert body["limits"]["max_pixels"] == 200_000
    for route in body["routes"].values():
        method, path = route.split()
        assert client.request(method, path).status_code in (200, 415)  # a POST without a form


def test_docs_describe_the_multipart_fields(client, driver):
    assert 'href="openapi.json"' in client.get("/docs").text
    document = client.get("/openapi.json").json()
    body = document["paths"][EDITS]["post"]["requestBody"]
    schema = body["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == ["image"]
    prompt_or_removal = [{"required": ["prompt"]}, {"required": ["mode"], "properties": {"mode": {"const": "remove"}}}]
    assert schema["anyOf"] == prompt_or_removal
    assert schema["properties"]["image"]["format"] == schema["properties"]["mask"]["format"] == "binary"
    assert schema["properties"]["n"]["maximum"] == 10
    assert schema["properties"]["target"]["maxLength"] == 200
    assert set(document["paths"][EDITS]["post"]["responses"]) == {"200", *map(str, BY_ROUTE[EDITS])}
    content = document["paths"][EDITS]["post"]["responses"]["200"]["content"]
    assert {"application/json", "image/webp", "text/event-stream"} <= set(content)
    assert "image_edit.completed" in content["text/event-stream"]["schema"]["description"]
    assert "HTTPValidationError" not in json.dumps(document["paths"])


def test_limits_may_change_while_it_runs(client, driver, picture):
    def n_limit() -> int:
        document = client.get("/openapi.json").json()
        content = document["paths"][EDITS]["post"]["requestBody"]["content"]
        return content["multipart/form-data"]["schema"]["properties"]["n"]["maximum"]

    form = {"prompt": "x", "n": "3"}
    assert client.post(EDITS, files={"image": picture}, data=form).status_code == 200
    driver.settings = DriverSettings(limits=driver.settings.limits.model_copy(update={"max_images": 2}))
    assert client.post(EDITS, files={"image": picture}, data=form).status_code == 400
    assert n_limit() == 2


def test_pictures_are_read_and_written_off_the_event_loop(client, driver, picture, monkeypatch):
    threads = {}

    def spied(name, function):
        def run(*args):
            threads[name] = threading.get_ident()
            return function(*args)

        return run

    monkeypatch.setattr(api, "decode", spied("decode", api.decode))
    monkeypatch.setattr(api, "decode_mask", spied("mask", api.decode_mask))
    monkeypatch.setattr(answers, "edit_json", spied("encode", answers.edit_json))
    monkeypatch.setattr(answers, "locate_answer", spied("locate", answers.locate_answer))
    form = {"prompt": "x", "mask_mode": "luminance"}
    assert client.post(EDITS, files={"image": picture, "mask": picture}, data=form).status_code == 200
    assert client.post("/v1/locate", files={"image": picture}, data={"target": "x"}).status_code == 200
    assert set(threads) == {"decode", "mask", "encode", "locate"}
    assert driver.thread not in threads.values()
    del threads["locate"]
    assert client.post(EDITS, files={"image": picture}, data={"prompt": "a unicorn"}).status_code == 422
    assert driver.thread != threads["locate"]


def test_cancelled_request_cancels_the_driver(driver, picture):
    async def run() -> None:
        driver.hold = asyncio.Event()
        boundary = b"--b\r\nContent-Disposition: form-data; name="
        body = (
            boundary + b'"prompt"\r\n\r\nx\r\n' + boundary + b'"image"; filename="a"\r\n\r\n' + picture + b"\r\n--b--"
        )
        scope = {
            "type": "http",
            "method": "POST",
            "path": EDITS,
            "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
            "query_string": b"",
        }

        async def receive() -> dict:
            return {"type": "http.request", "body": body}

        async def send(message: dict) -> None:
            raise AssertionError(f"nobody is there to read {message}")

        task = asyncio.create_task(api.build_api(driver)(scope, receive, send))
        await driver.holding.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert driver.cancelled == 1

    asyncio.run(asyncio.wait_for(run(), 30))


def test_client_that_leaves_while_sending_is_no_fault(driver, caplog):
    async def run() -> None:
        async def receive() -> dict:
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            raise AssertionError(f"nobody is there to read {message}")

        headers = [(b"content-type", b"multipart/form-data; boundary=b")]
        scope = {"type": "http", "method": "POST", "path": EDITS, "headers": headers, "query_string": b""}
        await api.build_api(driver)(scope, receive, send)

    asyncio.run(run())
    assert not caplog.records
