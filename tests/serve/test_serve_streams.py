"""Streamed edits over real Ray: through Serve's proxy and through the handle."""

import base64
import io

import numpy as np
import openai
import pytest
from PIL import Image

from deployments.errors import InvalidInput
from deployments.messages import EditRequest, EditResult, PartialImage, Progress

FIELDS = {"target": "the cactus", "seed": 1, "num_inference_steps": 12}


@pytest.fixture(scope="module")
def sdk(base_url):
    with openai.OpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def decoded(b64):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(b64)))).astype(int)


def test_the_sdk_streams_an_edit_through_the_proxy(sdk, png, scene):
    stream = sdk.images.edit(image=png, prompt="a lemon", n=2, stream=True, partial_images=3, extra_body=FIELDS)
    *previews, best, other = stream
    plain = sdk.images.edit(image=png, prompt="a lemon", n=2, extra_body=FIELDS)
    assert [each.type for each in previews] == ["image_edit.partial_image"] * 3
    assert [each.partial_image_index for each in previews] == [0, 1, 2]
    assert [each.seed for each in (best, other)] == [each.seed for each in plain.data]
    assert best.mask_b64 == plain.mask_b64
    outside = decoded(best.mask_b64) == 0
    finished = decoded(next(each for each in (best, other) if each.seed == 1).b64_json)
    off = [np.abs(decoded(each.b64_json) - finished)[~outside].mean() for each in previews]
    assert off == sorted(off, reverse=True)
    for each in (*previews, best, other):
        assert (decoded(each.b64_json)[outside] == scene.image[outside]).all()


def test_a_failure_before_the_painting_has_its_own_status_through_the_proxy(sdk, png):
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        sdk.images.edit(image=png, prompt="a lemon", stream=True, extra_body=FIELDS | {"target": "the sailboat"})
    assert caught.value.code == "target_not_found"


def test_the_handle_streams_previews_and_ends_in_the_same_result(handle, scene):
    request = EditRequest(scene.image, "a lemon", **FIELDS)
    *news, result = handle.options(stream=True).edit_stream.remote(request, partial_images=2)
    assert isinstance(result, EditResult)
    assert {type(each) for each in news} == {Progress, PartialImage}
    assert [each.index for each in news if isinstance(each, PartialImage)] == [0, 1]
    plain = handle.edit.remote(request).result(timeout_s=120)
    assert (plain.edits[0].image == result.edits[0].image).all()
    with pytest.raises(InvalidInput, match="partial_images"):
        list(handle.options(stream=True).edit_stream.remote(request, partial_images=4))


@pytest.mark.usefixtures("settled")
def test_a_preview_arrives_before_the_edit_ends_and_once_though_its_replica_dies(sdk, png, kill_replicas):
    """The painting is begun anew after the preview has arrived: it had not ended by then."""
    fields = FIELDS | {"num_inference_steps": 150, "progress": True}
    stream = sdk.images.edit(image=png, prompt="a lemon", n=2, stream=True, partial_images=3, extra_body=fields)
    events = []
    for event in stream:
        events.append(event)
        if event.type == "image_edit.partial_image" and event.partial_image_index == 0:
            assert kill_replicas("inpaint") == 1
    kinds = [event.type for event in events]
    done = [event.done if event.type == "image_edit.progress" else None for event in events]
    first = kinds.index("image_edit.partial_image")
    reached = max(filter(None, done[:first]))
    assert 0 < min(filter(None, done[first:])) < reached
    previews = [event for event in events if event.type == "image_edit.partial_image"]
    assert [event.partial_image_index for event in previews] == [0, 1, 2]
    assert kinds[-2:] == ["image_edit.completed"] * 2
