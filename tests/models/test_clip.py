"""CLIP: its points against the pocket world, its scores against transformers, and its deployment."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from deployments.clip import dense
from deployments.clip.model import ClipMatcher
from deployments.clip.server import ClipServer
from deployments.config import POCKET_WEIGHTS, ClipSettings, ModelArgs
from deployments.errors import InvalidInput
from deployments.messages import HeatMap, ScoreRequest, SearchRequest, ViewsRequest
from deployments.serving.metrics import BATCH_SIZE, CACHE_HITS
from pocket import tokenizer, world
from pocket.vocabulary import BY_NAME

FOLDER = POCKET_WEIGHTS / "clip"


@pytest.fixture(scope="module")
def matcher() -> ClipMatcher:
    return ClipMatcher.load(ModelArgs())


@pytest.fixture(scope="module")
def library() -> CLIPModel:
    return CLIPModel.from_pretrained(FOLDER).eval()


def scene(number: int, size_wh: tuple[int, int] = (256, 256), **choices: object) -> world.Scene:
    return world.compose(world.evaluation_rng(7, number), size_wh, **choices)


def find(
    matcher: ClipMatcher, image: np.ndarray, *phrases: str, avoid: tuple[str, ...] = (), **settings: object
) -> tuple[HeatMap, ...]:
    (search,) = matcher.locate([SearchRequest(image, phrases, avoid)], ClipSettings(**settings))
    if isinstance(search, Exception):
        raise search
    return search.maps


# Maps


@pytest.mark.parametrize("ensemble", [True, False])
def test_a_heat_map_is_the_formula_written_out(matcher: ClipMatcher, library: CLIPModel, ensemble: bool) -> None:
    """On a picture of the model's size: log-odds of each patch, enlarged, blurred as odds, and made probabilities."""
    image = scene(6, (128, 128)).image
    settings = {"presence_scale": 0.5, "presence_shift": -0.25, "ensemble": ensemble}
    (made,) = find(matcher, image, "the dog", **settings)
    processor, words = CLIPImageProcessorPil.from_pretrained(FOLDER), CLIPTokenizer.from_pretrained(FOLDER)
    with torch.no_grad():
        pixels = processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"]
        patches = dense.patch_features(library, pixels, "naclip")[0]
        templates = dense.TEMPLATES if ensemble else ["a photo of a {}"]

        def embed(noun: str) -> torch.Tensor:
            ids = words([template.format(noun).strip() for template in templates], padding=True, return_tensors="pt")
            vectors = library.get_text_features(**ids).pooler_output
            mean = (vectors / vectors.norm(dim=-1, keepdim=True)).mean(0)
            return mean / mean.norm()

        scale = library.logit_scale.exp()
        against = sum((scale * patches @ embed(word)).exp() for word in (*dense.CONTRAST_WORDS, ""))
        margins = scale * patches @ embed("dog") - against.log()
    wanted = blended(margins.numpy())
    np.testing.assert_allclose(made.heat, 1 / (1 + np.exp(-wanted)), atol=2e-5)
    x, y = made.point_xy
    assert made.margin == pytest.approx(wanted[y // 8, x // 8], abs=1e-3)
    assert made.confidence == pytest.approx(1 / (1 + math.exp(-(0.5 * made.margin - 0.25))))


def blended(logits: np.ndarray) -> np.ndarray:
    """The one view's logits 8x8 as a map 16x16: enlarged between the middles of the cells, and blurred as odds."""
    places = np.clip((np.arange(16) + 0.5) / 2 - 0.5, 0, 7)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(8)))
    odds = np.pad(np.exp(weights @ logits.astype(np.float64) @ weights.T), 1, mode="edge")
    around = ((-1, 0.25), (0, 0.5), (1, 0.25))
    return np.log(sum(v * w * odds[1 + y : 17 + y, 1 + x : 17 + x] for y, v in around for x, w in around))


def test_phrases_of_one_call_share_one_look_and_later_calls_need_none(matcher: ClipMatcher, monkeypatch) -> None:
    looked: list[int] = []
    encode = dense.encode
    monkeypatch.setattr(dense, "encode", lambda model, pixels: looked.append(len(pixels)) or encode(model, pixels))
    rng = np.random.default_rng(5)
    image, other = rng.integers(0, 256, (2, 90, 90, 3), dtype=np.uint8)
    requests = [SearchRequest(image, ("a dog", "a moon")), SearchRequest(image.copy(), ("a cat",), ("a dog",))]
    first, second = matcher.locate(requests, ClipSettings())
    assert looked == [1]
    assert [map_.phrase for map_ in first.maps] == ["a dog", "a moon"]
    assert [map_.phrase for map_ in second.maps] == ["a cat"]
    (again,) = find(matcher, image, "a dog", contrast=True, min_confidence=0.1)
    np.testing.assert_array_equal(first.maps[0].heat, again.heat)
    assert (first.maps[0].heat != first.maps[1].heat).any()
    assert looked == [1]
    find(matcher, image, "a dog", method="patch")
    find(matcher, image, "a dog", squares=(3,))
    find(matcher, other, "a dog")
    assert looked == [1, 1, 1, 1]
    larger = rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    find(matcher, larger, "a dog", squares=(2,))
    find(matcher, larger, "a dog", squares=())
    assert looked[4:] == [10, 1]


@pytest.mark.parametrize("contrast", [True, False])
def test_what_is_to_be_avoided_goes_cold(matcher: ClipMatcher, contrast: bool) -> None:
    apples = ("red apple", "green apple")
    right = 0
    for number in range(3):
        picture = scene(20 + number, stickers=[BY_NAME[name] for name in apples], ground="graded")
        (plain,) = find(matcher, picture.image, "apple", contrast=contrast)
        for wanted, avoided in ((0, 1), (1, 0)):
            (kept,) = find(matcher, picture.image, "apple", avoid=(apples[avoided],), contrast=contrast)
            right += bool(picture.placed[wanted].mask[kept.point_xy[::-1]])
            cold = mean_heat(kept, picture.placed[avoided].mask)
            assert cold < 0.8 * mean_heat(plain, picture.placed[avoided].mask)
            assert cold < 0.8 * mean_heat(kept, picture.placed[wanted].mask)
    assert right >= 5


def mean_heat(map_: HeatMap, mask: np.ndarray) -> float:
    heat = Image.fromarray(map_.heat).resize(mask.shape[::-1], Image.Resampling.BILINEAR)
    return float(np.asarray(heat)[mask].mean())


def test_without_contrast_the_map_is_the_cosine_between_its_least_and_its_greatest(
    matcher: ClipMatcher, library: CLIPModel
) -> None:
    image = scene(6, (128, 128)).image
    (made,) = find(matcher, image, "the dog", contrast=False, method="patch", ensemble=False, squares=())
    pixels = CLIPImageProcessorPil.from_pretrained(FOLDER)(images=Image.fromarray(image), return_tensors="pt")
    ids = CLIPTokenizer.from_pretrained(FOLDER)(["a photo of a dog"], return_tensors="pt")
    with torch.no_grad():
        hidden = library.vision_model(**pixels).last_hidden_state[0, 1:]
        patches = library.visual_projection(library.vision_model.post_layernorm(hidden))
        cosines = torch.nn.functional.cosine_similarity(patches, library.get_text_features(**ids).pooler_output)
        wanted = blended((library.logit_scale.exp() * cosines).reshape(8, 8).numpy())
    np.testing.assert_allclose(made.heat, (wanted - wanted.min()) / np.ptp(wanted), atol=1e-4)
    assert (made.heat.min(), made.heat.max()) == (0, 1)
    x, y = made.point_xy
    assert made.margin == pytest.approx(wanted[y // 8, x // 8] - wanted.mean(), abs=1e-3)


def test_finer_levels_find_what_is_small_and_keep_what_is_large(matcher: ClipMatcher) -> None:
    hits = {(size, squares): 0 for size in ("small", "large") for squares in ((), (2, 4))}
    names = ["lemon", "owl", "frog", "cactus"]
    for (size, squares), number in ((key, number) for key in hits for number in range(len(names))):
        share = (0.08, 0.09) if size == "small" else (0.8, 0.9)
        picture = scene(40 + number, (384, 384), stickers=[BY_NAME[names[number]]], longest_side=share, ground="graded")
        (map_,) = find(matcher, picture.image, names[number], squares=squares)
        hits[size, squares] += bool(picture.placed[0].mask[map_.point_xy[::-1]])
    assert hits["small", ()] < hits["small", (2, 4)] == 4
    assert hits["large", (2, 4)] == 4


# The pocket model


def test_scores_equal_the_librarys(matcher: ClipMatcher, library: CLIPModel) -> None:
    images = [scene(number, size).image for number, size in enumerate([(256, 256), (300, 200), (100, 180)])]
    texts = ["a lemon", "a photo of a red balloon on a wooden table", "Zyx 42 é!"]
    made = matcher.score([ScoreRequest(image, text) for image, text in zip(images, texts, strict=True)])
    processor = CLIPImageProcessorPil.from_pretrained(FOLDER)
    ids = CLIPTokenizer.from_pretrained(FOLDER)(texts, padding=True, return_tensors="pt")
    pixels = processor(images=[Image.fromarray(image) for image in images], return_tensors="pt")
    with torch.no_grad():
        logits = library(**ids, **pixels).logits_per_image / library.logit_scale.exp()
    assert made == pytest.approx(logits.diag().tolist(), abs=1e-5)
    assert len({round(score, 3) for score in made}) == 3


def test_a_view_is_seen_once_whatever_it_is_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    matcher, first, other = ClipMatcher.load(ModelArgs()), scene(5).image, scene(6).image
    wanted = [ClipMatcher.load(ModelArgs()).score([ScoreRequest(first, text)])[0] for text in ("a dog", "a cat")]
    seen: list[int] = []
    features = CLIPModel.get_image_features

    def counted(self: CLIPModel, pixels: torch.Tensor) -> object:
        seen.append(len(pixels))
        return features(self, pixels)

    monkeypatch.setattr(CLIPModel, "get_image_features", counted)
    scores = matcher.score([ScoreRequest(image, "a dog") for image in (first, other, first.copy())])
    again = matcher.score([ScoreRequest(first, "a cat")])
    assert seen == [2]
    assert scores[0] == scores[2] != scores[1]
    assert [scores[0], again[0]] == pytest.approx(wanted, abs=1e-6)


LONGEST = " ".join(["lemon"] * 30)  # the model reads 32 tokens, two of which mark start and end


@pytest.mark.parametrize("param", ["text", "prompt"])
def test_a_text_that_is_too_long_to_score_is_refused_alone(matcher: ClipMatcher, param: str) -> None:
    image = scene(1).image
    texts = ("lemon", LONGEST, LONGEST + " dog", "dog")
    first, longest, refused, last = matcher.score([ScoreRequest(image, text, param) for text in texts])
    message = f"`{param}` must have at most 30 tokens, as CLIP reads no more at once: there are 31."
    assert isinstance(refused, InvalidInput)
    assert (refused.message, refused.param) == (message, param)
    alone = [matcher.score([ScoreRequest(image, text)])[0] for text in ("lemon", LONGEST, "dog")]
    assert [first, longest, last] == pytest.approx(alone, abs=1e-6)
    assert isinstance(matcher.score([ScoreRequest(image, LONGEST + " dog")])[0], InvalidInput)


@pytest.mark.parametrize(
    ("phrases", "avoid", "param", "named"),
    [
        (("dog", LONGEST + " dog"), (), "target", "target"),
        ((LONGEST + " dog",), (), "prompt", "prompt"),
        (("dog",), ("cat", LONGEST + " dog"), "target", "avoid"),
    ],
)
def test_a_phrase_that_is_too_long_to_look_for_is_refused_alone(
    matcher: ClipMatcher, phrases: tuple[str, ...], avoid: tuple[str, ...], param: str, named: str
) -> None:
    good = SearchRequest(scene(2).image, ("dog",))
    first, refused, last = matcher.locate(
        [good, SearchRequest(good.image, phrases, avoid, param), good], ClipSettings()
    )
    assert isinstance(refused, InvalidInput)
    assert refused.param == named
    assert "at most 30 tokens, as CLIP reads no more at once: there are 31." in refused.message
    assert first.maps[0].margin == last.maps[0].margin == find(matcher, good.image, "dog")[0].margin


@pytest.mark.parametrize("ensemble", [True, False])
def test_templates_push_no_word_of_a_phrase_beyond_what_is_read(
    matcher: ClipMatcher, monkeypatch: pytest.MonkeyPatch, ensemble: bool
) -> None:
    """Of 27 tokens the shorter templates leave all, of 30 none does: then the phrase stands alone."""
    read: list[str] = []
    embed = matcher._embed
    monkeypatch.setattr(matcher._ensembles, "_embed", lambda sentences: read.extend(sentences) or embed(sentences))
    monkeypatch.setattr(matcher._bare, "_embed", lambda sentences: read.extend(sentences) or embed(sentences))
    image = scene(1).image
    for count in (27, 30):
        phrase = " ".join(["lemon"] * (count - 1) + ["dog"])
        find(matcher, image, phrase, ensemble=ensemble)
    made = [sentence for sentence in read if "lemon" in sentence]
    lengths = [len(matcher._tokenizer(sentence)["input_ids"]) - 2 for sentence in made]
    assert lengths == ([28, 28, 27, 27, 27, 27, 27] + [30] * 7 if ensemble else [27, 30])
    assert all(sentence.endswith("lemon dog") for sentence in made)


def test_a_batch_gives_what_its_requests_give_alone(matcher: ClipMatcher) -> None:
    pictures = [scene(number, size).image for number, size in enumerate([(256, 256), (400, 200), (96, 96)])]
    targets = ("dog", "red apple", "wall")
    requests = [SearchRequest(picture, (target,)) for picture, target in zip(pictures, targets, strict=True)]
    together = matcher.locate(requests, ClipSettings())
    forgetful = ClipMatcher.load(ModelArgs())
    for picture, target, search in zip(pictures, targets, together, strict=True):
        (alone,) = find(forgetful, picture, target)
        np.testing.assert_allclose(search.maps[0].heat, alone.heat, atol=1e-5)
        assert search.maps[0].phrase == target
        assert search.maps[0].point_xy == alone.point_xy
        assert search.maps[0].confidence == pytest.approx(alone.confidence, abs=1e-5)


@pytest.mark.parametrize("settings", [{}, {"method": "surgery", "squares": (2, 4)}, {"contrast": False, "squares": ()}])
@pytest.mark.parametrize("size_wh", [(200, 200), (640, 240), (90, 300), (16, 16), (2000, 40)])
def test_any_shape_and_read_only_pictures(matcher: ClipMatcher, size_wh: tuple[int, int], settings: dict) -> None:
    image = np.random.default_rng(0).integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    image.setflags(write=False)
    (map_,) = find(matcher, image, "lemon", **settings)
    x, y = map_.point_xy
    assert 0 <= x < size_wh[0]
    assert 0 <= y < size_wh[1]
    assert map_.heat.dtype == np.float32
    assert 0 <= map_.heat.min() <= map_.heat.max() <= 1
    assert 0 <= map_.confidence <= 1
    assert map_.found == (map_.confidence >= 0.5)
    assert type(map_.found) is bool
    assert -1 <= matcher.score([ScoreRequest(image, "lemon")])[0] <= 1


def test_a_picture_that_cannot_be_looked_at_fails_alone(matcher: ClipMatcher) -> None:
    good = SearchRequest(scene(2).image, ("dog",))
    broken = SearchRequest(np.zeros((0, 5, 3), np.uint8), ("dog",))
    first, second, third = matcher.locate([good, broken, good], ClipSettings())
    assert isinstance(second, Exception)
    assert first.maps[0].point_xy == third.maps[0].point_xy
    assert matcher.locate([], ClipSettings()) == []
    assert find(matcher, good.image) == ()


def test_points_lie_on_what_is_named(matcher: ClipMatcher) -> None:
    names = ["lemon", "red balloon", "blue balloon", "dog", "green book", "cactus"]
    on_it = found = 0
    for number, name in enumerate(names):
        other = "red book" if name == "green book" else "green balloon"
        stickers = [BY_NAME[name], BY_NAME[other], BY_NAME["pizza"]]
        picture = scene(number, stickers=stickers, ground=world.GROUNDS[number % 3])
        (map_,) = find(matcher, picture.image, "the " + name)
        on_it += bool(picture.placed[0].mask[map_.point_xy[::-1]])
        found += map_.found
    assert on_it >= 5
    assert found >= 5


def test_what_is_not_there_is_not_found(matcher: ClipMatcher) -> None:
    names = ["penguin", "purple heart", "zebra", "green car", "umbrella", "strawberry"]
    stickers = [BY_NAME["lemon"], BY_NAME["blue heart"], BY_NAME["owl"]]
    maps = [find(matcher, scene(number, stickers=stickers).image, name) for number, name in enumerate(names)]
    assert sum(map_.found for (map_,) in maps) <= 1


def test_painting_a_thing_in_raises_its_score(matcher: ClipMatcher) -> None:
    rose = 0
    for number, name in enumerate(["lemon", "dog", "red balloon", "blue book", "pizza"]):
        before = scene(number, stickers=[BY_NAME["cactus"]], ground="graded").image
        after = scene(number, stickers=[BY_NAME[name]], ground="graded").image
        low, high = matcher.score([ScoreRequest(image, f"a {name}") for image in (before, after)])
        rose += high > low + 0.1
    assert rose >= 4


def test_the_threshold_decides_what_counts_as_found(matcher: ClipMatcher) -> None:
    image = scene(3).image
    assert find(matcher, image, "dog", min_confidence=0.0)[0].found
    assert not find(matcher, image, "dog", min_confidence=1.0)[0].found


def test_the_shipped_tokenizer_is_the_one_its_source_builds() -> None:
    built, shipped = tokenizer.build(), CLIPTokenizer.from_pretrained(FOLDER)
    assert built.get_vocab() == shipped.get_vocab()
    assert shipped.model_max_length == tokenizer.MAX_LENGTH
    assert all(len(built(word)["input_ids"]) == 3 for word in tokenizer.words())
    for text in ("a photo of the red balloon", "Zyx 42 é! 漢"):
        assert built(text)["input_ids"] == shipped(text)["input_ids"]
    assert built.decode(built("naïve zyxw")["input_ids"], skip_special_tokens=True) == "naïve zyxw"


# The deployment


def test_searches_and_scores_do_not_disturb_each_other() -> None:
    """They run in two threads and share the tokenizer, which must not keep anything of one call for the next."""
    matcher, picture = ClipMatcher.load(ModelArgs()), scene(5).image
    over = threading.Event()

    def search() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            matcher.locate([SearchRequest(picture, (f"dog {number}",))], ClipSettings())

    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(search)
        asked = [
            [ScoreRequest(picture, f"dog {number}"), ScoreRequest(picture, f"a red balloon and cat {number}")]
            for number in range(150)
        ]
        try:
            scores = [matcher.score(requests) for requests in asked]
        finally:
            over.set()
        searching.result(60)
    alone = ClipMatcher.load(ModelArgs())
    assert scores[-1] == pytest.approx(alone.score(asked[-1]), abs=1e-5)


async def test_views_that_are_scored_in_one_call_share_a_batch_and_are_refused_together(metrics: Any) -> None:
    server = ClipServer({"model": "pocket"}, metrics)
    views = (scene(5).image, scene(6).image[:100, :150], scene(7).image)
    scores = await server.score_views(ViewsRequest(views, "a dog", "prompt"))
    assert scores == pytest.approx([await server.score(ScoreRequest(view, "a dog")) for view in views], abs=1e-6)
    assert metrics.values(BATCH_SIZE, stage="clip", operation="score") == [3, 1, 1, 1]
    assert len(metrics.values(CACHE_HITS, stage="clip", cache="views")) == 3
    with pytest.raises(InvalidInput, match="`prompt` must have at most 30 tokens"):
        await server.score_views(ViewsRequest(views, LONGEST + " dog", "prompt"))


async def test_the_server_answers_together_and_obeys_new_settings() -> None:
    server = ClipServer({"model": "pocket"})
    picture = scene(5).image
    names = ("dog", "cat", "fish")
    searches = await asyncio.gather(*(server.locate(SearchRequest(picture, (name,))) for name in names))
    assert [search.maps[0].phrase for search in searches] == list(names)
    assert [span.name for span in searches[0].spans] == ["clip.locate"]
    assert -1 <= await server.score(ScoreRequest(picture, "a dog")) <= 1
    server.reconfigure({"min_confidence": 0.0, "max_batch_size": 2})
    assert (await server.locate(SearchRequest(picture, ("dog",)))).maps[0].found
    server.reconfigure({"min_confidence": 1.0, "method": "patch"})
    assert not (await server.locate(SearchRequest(picture, ("dog",)))).maps[0].found
    server.check_health()
    with pytest.raises(ValidationError, match="min_confidense"):
        server.reconfigure({"min_confidense": 0.3})
    with pytest.raises(ValidationError, match="modle"):
        ClipServer({"modle": "pocket"})
