"""SAM as it is served: batches, a cache of embeddings, one bad prompt that harms nobody."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from deployments.config import ModelArgs
from deployments.errors import InvalidInput, OtherWeights
from deployments.messages import Embedding, Prompt, SegmentRequest
from deployments.sam.model import SamSegmenter
from deployments.sam.server import SamServer
from deployments.serving.caching import SharedCache, digest

Photo = Callable[..., np.ndarray]


# The cache


def test_pictures_with_the_same_bytes_and_another_shape_differ() -> None:
    image = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)
    assert digest(image) == digest(image.copy())
    assert digest(image) != digest(image.reshape(8, 4, 3))
    assert digest(image[:, ::-1]) == digest(image[:, ::-1].copy()) != digest(image)


class Maker:
    """Makes numbered values when it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> str:
        self.calls += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return f"value {self.calls}"


async def test_what_is_asked_for_twice_at_once_is_made_once() -> None:
    cache: SharedCache[str] = SharedCache(2)
    maker = Maker()
    waiting = [asyncio.ensure_future(cache.get("a", maker)) for _ in range(3)]
    await asyncio.sleep(0)
    maker.go.set()
    assert await asyncio.gather(*waiting) == ["value 1"] * 3
    assert await cache.get("a", maker) == "value 1"
    assert maker.calls == 1


async def test_the_entry_used_longest_ago_goes_first() -> None:
    cache: SharedCache[str] = SharedCache(2)
    maker = Maker()
    maker.go.set()
    for key in ("a", "b", "a", "c", "a"):
        await cache.get(key, maker)
    assert (maker.calls, len(cache)) == (3, 2)
    assert await cache.get("b", maker) == "value 4"


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    cache: SharedCache[str] = SharedCache(2)
    maker = Maker()
    first, second = (asyncio.ensure_future(cache.get("a", maker)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    maker.go.set()
    assert await second == "value 1"
    assert not maker.cancelled


async def test_when_all_have_left_the_work_stops_and_a_newcomer_starts_anew() -> None:
    cache: SharedCache[str] = SharedCache(2)
    maker = Maker()
    first = asyncio.ensure_future(cache.get("a", maker))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    newcomer = asyncio.ensure_future(cache.get("a", maker))
    with pytest.raises(asyncio.CancelledError):
        await first
    maker.go.set()
    assert (await newcomer).startswith("value")
    second = asyncio.ensure_future(cache.get("b", other := Maker()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await asyncio.sleep(0)
    assert other.cancelled
    assert len(cache) == 1


async def test_a_failure_is_told_and_not_remembered() -> None:
    cache: SharedCache[str] = SharedCache(2)

    async def fails() -> str:
        raise RuntimeError("no memory")

    answers = await asyncio.gather(cache.get("a", fails), cache.get("a", fails), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["no memory"] * 2
    maker = Maker()
    maker.go.set()
    assert await cache.get("a", maker) == "value 1"


# The server


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all batches that went through the encoder."""
    sizes: list[int] = []
    encode = SamSegmenter.encode

    def counting(self: SamSegmenter, images: list[np.ndarray]) -> list[Embedding]:
        sizes.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(SamSegmenter, "encode", counting)
    return sizes


async def test_the_same_picture_is_encoded_once(encoded: list[int], photo: Photo) -> None:
    server = SamServer({})
    image = photo()
    embeddings = await asyncio.gather(*(server.encode(image.copy()) for _ in range(4)))
    embeddings.append(await server.encode(image))
    assert encoded == [1]
    assert all(embedding.features is embeddings[0].features for embedding in embeddings)
    server.check_health()


async def test_what_is_cut_out_in_one_call_is_what_two_calls_give(encoded: list[int], photo: Photo) -> None:
    server = SamServer({})
    image, request = photo(), SegmentRequest((Prompt(((70, 55),), (1,), several=True),))
    together = await server.cut_out(image, request)
    apart = await server.segment(await server.encode(image), request)
    np.testing.assert_array_equal(together.small, apart.small)
    assert [span.name for span in together.spans] == ["sam.encode", "sam.segment"]
    assert encoded == [1]


async def test_different_pictures_share_calls_up_to_the_batch_size(
    encoded: list[int], pocket_sam: SamSegmenter, photo: Photo
) -> None:
    server = SamServer(ModelArgs())
    server.reconfigure({"max_batch_size": 3, "max_wait_s": 0.5})
    images = [photo(64, 64, seed) for seed in range(6)]
    embeddings = await asyncio.gather(*map(server.encode, images))
    assert encoded == [3, 3]
    for embedding, image in zip(embeddings, images, strict=True):
        np.testing.assert_allclose(embedding.features, pocket_sam.encode([image])[0].features, atol=2e-5)


async def test_a_bad_prompt_fails_alone(pocket_sam: SamSegmenter, photo: Photo) -> None:
    server = SamServer({"model": "pocket"})
    embedding = await server.encode(photo())
    good = SegmentRequest((Prompt(((70, 55),), (1,), several=True), Prompt(box_xyxy=(12, 8, 83, 59))))
    bad = SegmentRequest((*good.prompts, Prompt(((120, 55),), (1,))))
    answers = await asyncio.gather(
        *(server.segment(embedding, request) for request in (good, bad, good)), return_exceptions=True
    )
    assert isinstance(answers[1], InvalidInput)
    expected = pocket_sam.decode(embedding, good)
    for answer in (answers[0], answers[2]):
        np.testing.assert_array_equal(answer.small, expected.small)
        assert answer.prompts == (0, 0, 0, 1)
        assert [span.name for span in answer.spans] == ["sam.encode", "sam.segment"]
    server.check_health()


async def test_an_embedding_of_other_weights_is_refused_and_not_misread(photo: Photo) -> None:
    server = SamServer({"model": "pocket"})
    embedding = await server.encode(photo())
    request = SegmentRequest((Prompt(((70, 55),), (1,)),))
    with pytest.raises(OtherWeights):
        await server.segment(replace(embedding, weights="of another SAM"), request)
    await SamServer({"model": "pocket"}).segment(embedding, request)  # another replica with the same weights


def test_settings_that_nobody_knows_are_refused() -> None:
    server = SamServer({})
    with pytest.raises(ValidationError, match="max_batch"):
        server.reconfigure({"max_batch": 3})
    with pytest.raises(ValidationError, match="checkpoint"):
        SamServer({"checkpoint": "sam.pth"})
