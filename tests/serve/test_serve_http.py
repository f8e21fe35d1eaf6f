"""The graph over HTTP: the OpenAI SDK, our own client and command line, and bad input."""

import base64
import io

import httpx
import numpy as np
import openai
import pytest
import retouch
from PIL import Image

FIELDS = {"prompt": "a lemon", "target": "the cactus", "seed": "1", "num_inference_steps": "6"}


def decoded(b64):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(b64))))


def test_the_openai_sdk_edits_unchanged(base_url, png, scene):
    with openai.OpenAI(base_url=f"{base_url}/v1", api_key="none") as client:
        result = client.images.edit(
            model="retouch",
            image=png,
            prompt="a lemon",
            n=2,
            extra_body={"target": "the cactus", "seed": 1, "num_inference_steps": 6},
        )
    assert len(result.data) == 2
    assert result.size == "320x256"
    mask = decoded(result.mask_b64) == 255
    for image in result.data:
        picture = decoded(image.b64_json)
        assert (picture[~mask] == scene.image[~mask]).all()
    assert result._request_id


def test_our_client_edits_locates_and_scores(base_url, png, masks):
    with retouch.Retouch(base_url) as client:
        assert client.ready()
        result = client.edit(png, "a lemon", target="the cactus", seed=1, num_inference_steps=6)
        location = client.locate(png, "the dog")
        score = client.score(png, "a dog")
    assert result.changed_outside_px == 0
    x, y = location.point_xy
    assert masks["dog"][y, x]
    assert -1 <= score <= 1


def test_the_command_line_edits(base_url, png, tmp_path, capsys):
    from retouch.cli.main import main

    (tmp_path / "scene.png").write_bytes(png)
    picture, out = str(tmp_path / "scene.png"), str(tmp_path / "out.png")
    flags = ["--target", "the cactus", "--seed", "1", "--steps", "6", "-o", out, "--url", base_url]
    assert main(["edit", picture, "a lemon", *flags]) == 0
    with Image.open(out) as edited:
        assert edited.size == (320, 256)
    assert main(["edit", picture, "a lemon", "--target", "the sailboat", "--url", base_url]) == 1


def test_health_and_readiness(base_url):
    assert httpx.get(f"{base_url}/healthz").status_code == 200
    ready = httpx.get(f"{base_url}/readyz")
    assert ready.status_code == 200
    for stage in ("clip", "sam", "inpaint"):
        assert stage in ready.text


def test_a_client_cannot_override_the_policy_nor_choose_an_unsafe_id(base_url):
    headers = {"x-request-timeout-seconds": "0.000001", "x-request-id": "<script>"}
    answer = httpx.get(f"{base_url}/readyz", headers=headers)
    assert answer.status_code == 200  # with Serve obeying the header it would be 408
    ids = answer.headers.get_list("x-request-id")
    assert len(ids) == 1
    assert ids[0].isalnum()
    assert httpx.get(f"{base_url}/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"


BAD = {
    "unreadable picture": ({}, b"\x89PNG\r\n\x1a\n" + bytes(50), 400, "image_invalid", "image"),
    "wrong type": ({}, b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "image_unsupported", "image"),
    "too large": ({}, bytes(25_000_000), 413, "image_too_large", None),
    "empty prompt": ({"prompt": " "}, None, 400, "invalid_value", "prompt"),
    "nothing found": ({"target": "the sailboat"}, None, 422, "target_not_found", "target"),
    "unknown field": ({"colour": "red"}, None, 400, "unknown_parameter", "colour"),
    "bad number": ({"seed": "-1"}, None, 400, "invalid_value", "seed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_the_service_lives_on(base_url, png, case):
    fields, picture, status, code, param = BAD[case]
    answer = httpx.post(
        f"{base_url}/v1/images/edits", data=FIELDS | fields, files={"image": picture or png}, timeout=60
    )
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    if param:
        assert error["param"] == param
    assert answer.headers["x-request-id"]
    for leak in ("Traceback", "site-packages", "RayTaskError", " at 0x"):
        assert leak not in answer.text
    good = httpx.post(f"{base_url}/v1/locate", data={"target": "the dog"}, files={"image": png}, timeout=60)
    assert good.status_code == 200
