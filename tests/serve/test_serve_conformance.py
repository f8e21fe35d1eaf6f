"""The contract on real Serve with the pocket models: all rows of the suite, and one picture by any way in."""

import asyncio
import base64
import io
import json
import shutil
import subprocess

import httpx
import numpy as np
import openai
import pytest
import retouch
from PIL import Image

from benchmarks.conformance.__main__ import main as conformance
from deployments.messages import EditRequest, EditResult

SEED, STEPS = 7, 6
PROMPT = "a lemon"
EXTRA = {"seed": SEED, "num_inference_steps": STEPS}
FORM = {"prompt": PROMPT, "seed": str(SEED), "num_inference_steps": str(STEPS)}


def test_every_row_of_the_conformance_suite_holds(base_url, tmp_path):
    found = tmp_path / "found.json"
    status = conformance(["--base-url", f"{base_url}/v1", "--extensions", "--json", str(found)])
    rows = json.loads(found.read_text())["rows"]
    assert {row["name"]: row["why"] for row in rows if row["outcome"] == "fails"} == {}
    assert [row["name"] for row in rows if row["outcome"] == "not asked"] == ["refusals.wrong_key"]
    assert status == 0


@pytest.fixture(scope="module")
def marked(scene):
    """A mask of the scene, HxW bool."""
    mask = np.zeros(scene.image.shape[:2], bool)
    mask[90:190, 110:220] = True
    return mask


@pytest.fixture(scope="module")
def mask(marked):
    """The same as OpenAI has it: a PNG that is transparent where the picture is to be edited."""
    image = Image.fromarray(np.where(marked, 0, 255).astype(np.uint8))
    clear = Image.new("RGBA", image.size, (255, 255, 255, 255))
    clear.putalpha(image)
    out = io.BytesIO()
    clear.save(out, "PNG")
    return out.getvalue()


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def from_b64(b64):
    return decoded(base64.b64decode(b64))


def by_sdk(base_url, png, mask, folder):
    with openai.OpenAI(base_url=f"{base_url}/v1", api_key="none") as client:
        answer = client.images.edit(image=png, mask=mask, prompt=PROMPT, extra_body=EXTRA)
    return from_b64(answer.data[0].b64_json)


def by_async_sdk(base_url, png, mask, folder):
    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="none") as client:
            return await client.images.edit(image=png, mask=mask, prompt=PROMPT, extra_body=EXTRA)

    return from_b64(asyncio.run(ask()).data[0].b64_json)


def by_sdk_stream(base_url, png, mask, folder):
    with openai.OpenAI(base_url=f"{base_url}/v1", api_key="none") as client:
        options = {"stream": True, "partial_images": 2, "extra_body": EXTRA}
        *_, last = client.images.edit(image=png, mask=mask, prompt=PROMPT, **options)
    assert last.type == "image_edit.completed"
    return from_b64(last.b64_json)


def by_curl(base_url, png, mask, folder):
    (folder / "scene.png").write_bytes(png)
    (folder / "mask.png").write_bytes(mask)
    files = ["-F", "image=@scene.png", "-F", "mask=@mask.png"]
    texts = [argument for name, value in FORM.items() for argument in ("-F", f"{name}={value}")]
    accept = ["-H", "Accept: image/png", "-o", "curled.png"]
    command = ["curl", "--silent", "--show-error", "--fail", *files, *texts, *accept, f"{base_url}/v1/images/edits"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    return decoded((folder / "curled.png").read_bytes())


def by_json(base_url, png, mask, folder):
    image, hole = ({"image_url": f"data:image/png;base64,{base64.b64encode(data).decode()}"} for data in (png, mask))
    body = {"images": [image], "mask": hole, "prompt": PROMPT, **EXTRA}
    answer = httpx.post(f"{base_url}/v1/images/edits", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return from_b64(answer.json()["data"][0]["b64_json"])


def by_client(base_url, png, mask, folder):
    with retouch.Retouch(base_url) as client:
        return np.asarray(client.edit(png, PROMPT, mask=mask, **EXTRA).image.convert("RGB"))


def by_async_client(base_url, png, mask, folder):
    async def ask():
        async with retouch.AsyncRetouch(base_url) as client:
            return await client.edit(png, PROMPT, mask=mask, **EXTRA)

    return np.asarray(asyncio.run(ask()).image.convert("RGB"))


def by_client_stream(base_url, png, mask, folder):
    with retouch.Retouch(base_url) as client:
        *_, result = client.edit_stream(png, PROMPT, mask=mask, partial_images=1, **EXTRA)
    return np.asarray(result.image.convert("RGB"))


def by_command_line(base_url, png, mask, folder):
    from retouch.cli.main import main

    picture, hole, out = (folder / name for name in ("scene.png", "mask.png", "out.png"))
    picture.write_bytes(png)
    hole.write_bytes(mask)
    options = ["--mask", str(hole), "--seed", str(SEED), "--steps", str(STEPS), "-o", str(out), "--url", base_url]
    assert main(["edit", str(picture), PROMPT, *options]) == 0
    return decoded(out.read_bytes())


def by_handle(handle, scene, marked, **fields):
    request = EditRequest(scene.image, PROMPT, mask=marked, **EXTRA | fields)
    return handle.edit.remote(request).result(timeout_s=120).edits[0].image


def by_handle_stream(handle, scene, marked):
    request = EditRequest(scene.image, PROMPT, mask=marked, **EXTRA)
    *_, result = handle.options(stream=True).edit_stream.remote(request, partial_images=1)
    assert isinstance(result, EditResult)
    return result.edits[0].image


def is_the_same(way, handle, scene, marked):
    """Whether `way` gives the pixels that the handle gives.

    A replica goes over to a faster execution once, soon after its start, whose last bits may differ. So what differs is
    asked a second time.
    """
    return any(np.array_equal(way(), by_handle(handle, scene, marked)) for _ in range(2))


@pytest.mark.parametrize(
    "way",
    [
        by_sdk,
        by_async_sdk,
        by_sdk_stream,
        by_curl,
        by_json,
        by_client,
        by_async_client,
        by_client_stream,
        by_command_line,
    ],
    ids=lambda way: way.__name__,
)
def test_one_edit_is_one_picture_over_http(way, handle, base_url, scene, png, marked, mask, tmp_path):
    if way is by_curl and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    assert is_the_same(lambda: way(base_url, png, mask, tmp_path), handle, scene, marked)


def test_one_edit_is_one_picture_through_the_handle(handle, scene, marked):
    assert is_the_same(lambda: by_handle_stream(handle, scene, marked), handle, scene, marked)
    edited = by_handle(handle, scene, marked)
    assert (edited[~marked] == scene.image[~marked]).all()
    assert (edited[marked] != by_handle(handle, scene, marked, seed=SEED + 1)[marked]).any()
