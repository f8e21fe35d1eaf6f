"""Every parameter that the OpenAI SDK has for an edit is served, or refused by its name: none is unknown or ignored."""

import inspect
import io
import typing

import httpx2
import numpy as np
import openai
import pytest
from openai.types import image_edit_params
from PIL import Image

from deployments.http.api import build_api

NOT_OURS = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}  # of the SDK's own transport
SIGNATURES = [
    *typing.get_overloads(openai.resources.Images.edit),
    openai.resources.Images.edit,
    *typing.get_overloads(openai.resources.AsyncImages.edit),
    openai.resources.AsyncImages.edit,
]
TYPED_DICTS = [image_edit_params.ImageEditParamsNonStreaming, image_edit_params.ImageEditParamsStreaming]


def drawn(value: int) -> bytes:
    """Return a 96x64 PNG, transparent but for a square of this alpha: strokes, or with its inverse a mask."""
    alpha = np.full((64, 96), 255 - value, np.uint8)
    alpha[20:40, 30:50] = value
    out = io.BytesIO()
    Image.merge("RGBA", (*Image.new("RGB", (96, 64), "red").split(), Image.fromarray(alpha))).save(out, "PNG")
    return out.getvalue()


# Values that OpenAI documents for each parameter.
VALUES: dict[str, list] = {
    "image": [...],
    "prompt": ["a lemon"],
    "background": ["auto", "opaque", "transparent"],
    "complexity": ["low", "medium", "high"],
    "frame_count": [2, 9, 16],
    "frame_duration_ms": [200],
    "input_fidelity": ["high", "low"],
    "markup": [drawn(255)],
    "mask": [drawn(0)],
    "model": ["retouch", "gpt-image-1.5", "gpt-image-2.5-sunburst-2026-09-08", "chatgpt-image-latest", "dall-e-2"],
    "n": [1, 2, 10],
    "output_compression": [100, 50],
    "output_format": ["png", "webp", "jpeg", "gif", "svg"],
    "partial_images": [0, 3],
    "quality": ["low", "medium", "high", "xhigh", "max", "auto", "standard"],
    "response_format": ["b64_json", "url"],
    "safety_identifier": ["team-7"],
    "size": ["auto", "96x64", "1024x1024", "1536x864"],
    "stream": [False, True],
    "svg": [{"model": "m"}, {"reasoning": {"effort": "low"}}],
    "user": ["team-7"],
}
# What is refused of them. Everything else is served.
REFUSED = [
    ("background", "transparent"),
    *[("complexity", value) for value in VALUES["complexity"]],
    *[("frame_count", value) for value in VALUES["frame_count"]],
    ("frame_duration_ms", 200),
    ("input_fidelity", "low"),
    ("model", "dall-e-2"),
    ("output_compression", 50),
    ("output_format", "gif"),
    ("output_format", "svg"),
    ("partial_images", 3),
    ("response_format", "url"),
    ("size", "1024x1024"),
    ("size", "1536x864"),
    *[("svg", value) for value in VALUES["svg"]],
]
CASES = [(name, value) for name, values in VALUES.items() for value in values]


def parameters(signature) -> set[str]:
    return set(inspect.signature(signature).parameters) - NOT_OURS


@pytest.fixture
def send(driver, picture):
    """Sends one parameter through the SDK to the app, as it is sent to a server."""

    async def call(name: str, value: object):
        transport = httpx2.ASGITransport(build_api(driver))
        async with (
            httpx2.AsyncClient(transport=transport) as http_client,
            openai.AsyncOpenAI(
                api_key="any", base_url="http://service/v1", max_retries=0, http_client=http_client
            ) as sdk,
        ):
            sent = {"image": picture, "prompt": "a lemon"} | ({} if value is ... else {name: value})
            answer = await sdk.images.edit(**sent)
            return [event async for event in answer] if isinstance(answer, openai.AsyncStream) else answer

    return call


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda one: one.__qualname__)
def test_every_parameter_of_the_signature_has_a_value_here(signature):
    assert parameters(signature) == set(VALUES)


@pytest.mark.parametrize("params", TYPED_DICTS, ids=lambda one: one.__name__)
def test_every_key_of_the_parameters_types_has_a_value_here(params):
    assert set(typing.get_type_hints(params)) == set(VALUES)


def test_every_value_of_a_literal_is_among_the_values_here():
    hints = typing.get_type_hints(image_edit_params.ImageEditParamsBase)
    for name in ("background", "complexity", "input_fidelity", "output_format", "quality", "response_format"):
        literals = [kind for kind in typing.get_args(hints[name]) if typing.get_origin(kind) is typing.Literal]
        assert set(typing.get_args(literals[0])) == set(VALUES[name])


@pytest.mark.parametrize(("name", "value"), CASES, ids=lambda value: str(value)[:24])
async def test_every_value_is_served_or_refused_by_name(send, driver, name, value):
    if (name, value) not in REFUSED:
        answer = await send(name, value)
        pictures = answer[-1:] if name == "stream" and value else answer.data
        assert pictures[0].b64_json
        assert len(driver.requests) == 1
        return
    with pytest.raises(openai.APIStatusError) as refused:
        await send(name, value)
    assert (refused.value.status_code, refused.value.param) == (404 if name == "model" else 400, name)
    assert f"`{name}`" in refused.value.message or name == "model"
    assert not driver.requests


@pytest.mark.parametrize(("name", "value"), [("complexity", "low"), ("frame_count", 3), ("svg", {"model": "m"})])
async def test_what_nothing_here_can_heed_is_refused_with_what_to_do(send, name, value):
    with pytest.raises(openai.BadRequestError, match=f"`{name}` has no effect here.*: leave it out") as refused:
        await send(name, value)
    assert refused.value.code == "unknown_parameter"


@pytest.mark.parametrize(
    ("safety_identifier", "user", "got"),
    [("a-1", None, "a-1"), (None, "b-2", "b-2"), ("a-1", "b-2", "a-1"), ("", "b-2", "b-2"), (" ", "", None)],
)
async def test_the_identifier_of_who_asks_is_repeated(client, picture, caplog, safety_identifier, user, got):
    caplog.set_level("INFO", "deployments.http")
    form = {"prompt": "x", "safety_identifier": safety_identifier, "user": user}
    sent = {name: value for name, value in form.items() if value is not None}
    answer = client.post("/v1/images/edits", files={"image": picture}, data=sent)
    assert answer.json()["safety_identifier"] == got
    assert f"for {got!r}" in caplog.text


async def test_usage_is_read_by_the_sdk(send):
    usage = (await send("n", 2)).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (9, 80, 89)
    assert (usage.input_tokens_details.image_tokens, usage.input_tokens_details.text_tokens) == (6, 3)
