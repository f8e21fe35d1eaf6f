"""CLIP: its dense features against slow arithmetic, its scores against transformers, its points against the world."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from deployments.clip import dense
from deployments.clip.model import ClipMatcher, best_cell, blend, plan, region_of, to_pixel
from deployments.clip.model import View as Window
from deployments.clip.server import ClipServer
from deployments.config import POCKET_WEIGHTS, ModelArgs
from deployments.messages import LocateRequest, ScoreRequest
from pocket import tokenizer, world
from pocket.vocabulary import BY_NAME

FOLDER = POCKET_WEIGHTS / "clip"


@pytest.fixture(scope="module")
def matcher() -> ClipMatcher:
    return ClipMatcher.load(ModelArgs())


@pytest.fixture(scope="module")
def library() -> CLIPModel:
    return CLIPModel.from_pretrained(FOLDER).eval()


@pytest.fixture(scope="module")
def tiny() -> CLIPModel:
    """A CLIP model with random weights: two blocks of three heads, a 4x4 grid."""
    torch.manual_seed(0)
    text = CLIPTextConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=99
    )
    vision = CLIPVisionConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=3, image_size=32, patch_size=8
    )
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    model = CLIPModel(config).eval()
    for parameter in model.parameters():  # the library's own start is so small that all features would be alike
        parameter.data.normal_(std=0.3)
    return model


def scene(number: int, size_wh: tuple[int, int] = (256, 256), **choices: object) -> world.Scene:
    return world.compose(world.evaluation_rng(7, number), size_wh, **choices)


# Dense features


@pytest.mark.parametrize("size_hw", [(32, 32), (32, 48), (112, 112)])
@torch.no_grad()
def test_neighbourhood_features_equal_the_formula_written_out(tiny: CLIPModel, size_hw: tuple[int, int]) -> None:
    pixels = torch.randn(2 if max(size_hw) < 100 else 1, 3, *size_hw, generator=torch.Generator().manual_seed(1))
    made, _ = dense.patch_features(tiny, pixels, "neighbourhood")
    rows, columns = size_hw[0] // 8, size_hw[1] // 8
    assert made.shape == (len(pixels), rows, columns, 16)
    torch.testing.assert_close(made, slow_neighbourhood(tiny, pixels, rows, columns), atol=1e-5, rtol=1e-4)


def slow_neighbourhood(model: CLIPModel, pixels: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """softmax(scale * k k' + window) v, head by head and token by token; no residual, no feed-forward layer."""
    vision = model.vision_model
    hidden = vision(pixels, output_hidden_states=True, interpolate_pos_encoding=True).hidden_states[-2]
    layer = vision.encoder.layers[-1]
    normed = layer.layer_norm1(hidden)
    keys, values = layer.self_attn.k_proj(normed), layer.self_attn.v_proj(normed)
    heads = model.config.vision_config.num_attention_heads
    width = keys.shape[-1] // heads
    sigma = 5.0 if min(rows, columns) >= 14 else 5.0 * min(rows, columns) / 14
    mixed = torch.zeros_like(values)
    for picture in range(len(pixels)):
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            key, value = keys[picture, :, part], values[picture, :, part]
            for i in range(1 + rows * columns):
                logits = [float(key[i] @ key[j]) / math.sqrt(width) for j in range(len(key))]
                for j in range(1, len(key)):
                    if i > 0:
                        down = (i - 1) // columns - (j - 1) // columns
                        across = (i - 1) % columns - (j - 1) % columns
                        logits[j] += math.exp(-(down**2 + across**2) / (2 * sigma**2))
                mixed[picture, i, part] = torch.tensor(logits).softmax(0) @ value
    projected = model.visual_projection(vision.post_layernorm(layer.self_attn.out_proj(mixed)))[:, 1:]
    return (projected / projected.norm(dim=-1, keepdim=True)).reshape(len(pixels), rows, columns, -1)


@torch.no_grad()
def test_patch_features_are_the_librarys_hidden_states_projected(tiny: CLIPModel) -> None:
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    made, whole = dense.patch_features(tiny, pixels, "patch")
    hidden = tiny.vision_model(pixels).last_hidden_state[:, 1:]
    wanted = tiny.visual_projection(tiny.vision_model.post_layernorm(hidden))
    torch.testing.assert_close(made.flatten(1, 2), torch.nn.functional.normalize(wanted, dim=-1))
    theirs = tiny.get_image_features(pixels).pooler_output
    torch.testing.assert_close(whole, torch.nn.functional.normalize(theirs, dim=-1))


@torch.no_grad()
def test_the_global_embedding_does_not_depend_on_the_method(tiny: CLIPModel) -> None:
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    wholes = [dense.patch_features(tiny, pixels, method)[1] for method in ("patch", "neighbourhood", "value", "query")]
    for whole in wholes[1:]:
        torch.testing.assert_close(whole, wholes[0], rtol=0, atol=0)


def test_margins_are_log_odds_of_the_target_against_all_ground_words() -> None:
    draw = torch.Generator().manual_seed(4)
    features, targets, contrast = (dense.unit(torch.randn(count, 8, generator=draw)) for count in (5, 2, 3))
    odds = (10 * features @ targets.T).exp() / (10 * features @ contrast.T).exp().sum(-1, keepdim=True)
    made = dense.margins(features, targets, contrast, 10.0).sigmoid()
    torch.testing.assert_close(made, odds / (1 + odds))


@pytest.mark.parametrize(
    ("target", "dropped"),
    [("the brick wall", {"wall"}), ("two Trees", {"tree"}), ("sand", {"sands"}), ("lemon", set())],
)
def test_a_target_is_not_held_against_itself(target: str, dropped: set[str]) -> None:
    assert set(dense.CONTRAST_WORDS) - set(dense.contrast_words(target)) == dropped


def test_sentences_use_the_right_article_whatever_the_phrase_came_with() -> None:
    assert dense.sentences("The apple.") == dense.sentences("apple")
    assert {"an apple", "the apple", "a photo of an apple", "a photo of the large apple"} < set(
        dense.sentences("apple")
    )
    assert "a photo of a red apple" in dense.sentences("a red apple")
    assert len(dense.sentences("the")) == len(dense.TEMPLATES)


def test_phrases_are_embedded_once_and_forgotten_when_too_many() -> None:
    asked: list[str] = []

    def embed(sentences: list[str]) -> torch.Tensor:
        asked.extend(sentences)
        return torch.tensor([[len(sentence), 1.0] for sentence in sentences])

    phrases = dense.Phrases(embed, lambda phrase: [phrase, phrase + "!"], max_cached=2)
    first = phrases(["a", "bb", "a"])
    assert asked == ["a", "a!", "bb", "bb!"]
    torch.testing.assert_close(first[0], first[2])
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(phrases(["bb"]), first[1:2])
    assert len(asked) == 4
    phrases(["ccc"])  # "a" was used longest ago
    phrases(["bb"])
    assert len(asked) == 6
    phrases(["a"])
    assert len(asked) == 8


def test_another_target_in_the_same_picture_costs_no_second_look(matcher: ClipMatcher, monkeypatch) -> None:
    looked = []
    patches_of = matcher._patches_of
    monkeypatch.setattr(matcher, "_patches_of", lambda *args: looked.append(1) or patches_of(*args))
    rng = np.random.default_rng(5)
    image, other = rng.integers(0, 256, (2, 90, 90, 3), dtype=np.uint8)
    (first,) = matcher.locate([LocateRequest(image, "a dog")], "neighbourhood", 0.5)
    again, moon = matcher.locate([LocateRequest(image, target) for target in ("a dog", "a moon")], "neighbourhood", 0.5)
    assert len(looked) == 1
    np.testing.assert_array_equal(first.heat, again.heat)
    assert (first.heat != moon.heat).any()
    matcher.locate([LocateRequest(image, "a dog")], "patch", 0.5)
    matcher.locate([LocateRequest(other, "a dog")], "neighbourhood", 0.5)
    assert len(looked) == 3


# Views and maps


@pytest.mark.parametrize(
    "size_wh", [(64, 64), (300, 300), (1920, 1080), (60, 400), (8192, 16), (16, 8192), (129, 128), (128, 128)]
)
def test_windows_cover_the_picture_and_are_not_too_many(size_wh: tuple[int, int]) -> None:
    (width, height), windows = plan(*size_wh, 128)
    assert min(width, height) >= 128
    assert len(windows) <= 40
    if not windows:
        assert min(size_wh) <= 128
        assert max(size_wh) <= 1.25 * min(size_wh)
        return
    assert min(window.left for window in windows) == min(window.top for window in windows) == 0
    assert max(window.right for window in windows) == max(window.bottom for window in windows) == 1
    for window in windows:
        assert (window.right - window.left) * width == pytest.approx(128)
        assert (window.bottom - window.top) * height == pytest.approx(128)
    covered = np.zeros((height, width), bool)
    for window in windows:
        left, top = round(window.left * width), round(window.top * height)
        covered[top : top + 128, left : left + 128] = True
    assert covered.all()


def test_blended_windows_put_a_spot_where_it_is() -> None:
    maps = torch.zeros(2, 4, 4)
    maps[1, 2, 1] = 1.0  # in the right one of two windows: centre at 0.5 + 0.5 * 1.5 / 4, 2.5 / 4
    heat = blend(maps, [Window(0, 0, 0.5, 1), Window(0.5, 0, 1, 1)], (16, 32))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert heat.shape == (16, 32)
    assert abs((column + 0.5) / 32 - (0.5 + 0.5 * 1.5 / 4)) < 1 / 32
    assert abs((row + 0.5) / 16 - 2.5 / 4) < 1 / 16
    torch.testing.assert_close(
        blend(torch.full((2, 4, 4), 0.7), [Window(0, 0, 1, 1)] * 2, (8, 8)), np.full((8, 8), 0.7, "f")
    )


def test_the_point_lies_on_a_curved_thing_not_in_its_hollow() -> None:
    heat = np.zeros((20, 20), np.float32)
    y, x = np.mgrid[0:20, 0:20]
    ring = (np.hypot(y - 10, x - 10) < 8) & (np.hypot(y - 10, x - 10) > 5) & (x < 11)
    heat[ring] = 0.9
    assert ring[best_cell(heat)]


def test_a_region_is_what_is_connected() -> None:
    mask = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0]], bool)
    assert region_of(mask, (0, 0)).tolist() == [[True, True, False, False], [False, True, False, False], [False] * 4]


def test_cells_map_to_pixels_inside_the_picture() -> None:
    assert to_pixel((0, 0), (4, 4), (8, 16)) == (2, 1)
    assert to_pixel((3, 3), (4, 4), (8, 16)) == (14, 7)
    assert to_pixel((31, 31), (32, 32), (16, 16)) == (15, 15)


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


def test_a_text_that_is_too_long_is_cut_where_the_model_stops_reading(matcher: ClipMatcher) -> None:
    image = scene(1).image
    long = " ".join(["lemon"] * 30)
    scores = matcher.score([ScoreRequest(image, text) for text in (long, long + " dog" * 50)])
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_a_batch_gives_what_its_requests_give_alone(matcher: ClipMatcher) -> None:
    pictures = [scene(number, size).image for number, size in enumerate([(256, 256), (400, 200), (96, 96)])]
    requests = [
        LocateRequest(picture, target) for picture, target in zip(pictures, ("dog", "red apple", "wall"), strict=True)
    ]
    together = matcher.locate(requests, "neighbourhood", 0.5)
    for request, location in zip(requests, together, strict=True):
        (alone,) = matcher.locate([request], "neighbourhood", 0.5)
        np.testing.assert_allclose(location.heat, alone.heat, atol=1e-5)
        assert location.target == request.target
        assert location.point_xy == alone.point_xy
        assert location.confidence == pytest.approx(alone.confidence, abs=1e-5)


@pytest.mark.parametrize("method", ["neighbourhood", "patch"])
@pytest.mark.parametrize("size_wh", [(200, 200), (640, 240), (90, 300), (16, 16), (2000, 40)])
def test_any_shape_and_read_only_pictures(matcher: ClipMatcher, size_wh: tuple[int, int], method: dense.Method) -> None:
    image = np.random.default_rng(0).integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    image.setflags(write=False)
    (location,) = matcher.locate([LocateRequest(image, "lemon")], method, 0.5)
    x, y = location.point_xy
    assert 0 <= x < size_wh[0]
    assert 0 <= y < size_wh[1]
    assert location.heat.dtype == np.float32
    assert 0 <= location.heat.min() <= location.confidence <= location.heat.max() <= 1
    assert location.found == (location.confidence >= 0.5)
    assert type(location.found) is bool
    assert -1 <= matcher.score([ScoreRequest(image, "lemon")])[0] <= 1


def test_a_picture_that_cannot_be_looked_at_fails_alone(matcher: ClipMatcher) -> None:
    good = LocateRequest(scene(2).image, "dog")
    broken = LocateRequest(np.zeros((0, 5, 3), np.uint8), "dog")
    first, second, third = matcher.locate([good, broken, good], "neighbourhood", 0.5)
    assert isinstance(second, Exception)
    assert first.point_xy == third.point_xy
    assert matcher.locate([], "neighbourhood", 0.5) == []


def test_points_lie_on_what_is_named(matcher: ClipMatcher) -> None:
    names = ["lemon", "red balloon", "blue balloon", "dog", "green book", "cactus"]
    on_it = found = 0
    for number, name in enumerate(names):
        other = "red book" if name == "green book" else "green balloon"
        stickers = [BY_NAME[name], BY_NAME[other], BY_NAME["pizza"]]
        picture = scene(number, stickers=stickers, ground=world.GROUNDS[number % 3])
        (location,) = matcher.locate([LocateRequest(picture.image, "the " + name)], "neighbourhood", 0.5)
        x, y = location.point_xy
        on_it += bool(picture.placed[0].mask[y, x])
        found += location.found
    assert on_it >= 5
    assert found >= 5


def test_what_is_not_there_is_not_found(matcher: ClipMatcher) -> None:
    names = ["penguin", "purple heart", "zebra", "green car", "umbrella", "strawberry"]
    stickers = [BY_NAME["lemon"], BY_NAME["blue heart"], BY_NAME["owl"]]
    requests = [LocateRequest(scene(number, stickers=stickers).image, name) for number, name in enumerate(names)]
    assert sum(location.found for location in matcher.locate(requests, "neighbourhood", 0.5)) <= 1


def test_painting_a_thing_in_raises_its_score(matcher: ClipMatcher) -> None:
    rose = 0
    for number, name in enumerate(["lemon", "dog", "red balloon", "blue book", "pizza"]):
        before = scene(number, stickers=[BY_NAME["cactus"]], ground="graded").image
        after = scene(number, stickers=[BY_NAME[name]], ground="graded").image
        low, high = matcher.score([ScoreRequest(image, f"a {name}") for image in (before, after)])
        rose += high > low + 0.1
    assert rose >= 4


def test_the_threshold_decides_what_counts_as_found(matcher: ClipMatcher) -> None:
    request = LocateRequest(scene(3).image, "dog")
    assert matcher.locate([request], "neighbourhood", 0.0)[0].found
    assert not matcher.locate([request], "neighbourhood", 1.0)[0].found


def test_the_shipped_tokenizer_is_the_one_its_source_builds() -> None:
    built, shipped = tokenizer.build(), CLIPTokenizer.from_pretrained(FOLDER)
    assert built.get_vocab() == shipped.get_vocab()
    assert shipped.model_max_length == tokenizer.MAX_LENGTH
    assert all(len(built(word)["input_ids"]) == 3 for word in tokenizer.words())
    for text in ("a photo of the red balloon", "Zyx 42 é! 漢"):
        assert built(text)["input_ids"] == shipped(text)["input_ids"]
    assert built.decode(built("naïve zyxw")["input_ids"], skip_special_tokens=True) == "naïve zyxw"


# Loading


def test_a_missing_model_is_refused_by_the_name_of_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"clip\.model: .*pocket.*local directory"):
        ClipMatcher.load(ModelArgs(model=str(tmp_path / "nowhere")))


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match=r"clip\.model: .*'bert'"):
        ClipMatcher.load(ModelArgs(model=str(tmp_path)))


def test_pickled_weights_are_never_read(tmp_path: Path, tiny: CLIPModel) -> None:
    tiny.config.save_pretrained(tmp_path)
    torch.save(tiny.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"clip\.model: .*safetensors"):
        ClipMatcher.load(ModelArgs(model=str(tmp_path)))


def test_weights_that_lack_a_tower_are_refused(tmp_path: Path, tiny: CLIPModel) -> None:
    tiny.save_pretrained(
        tmp_path, state_dict={name: value for name, value in tiny.state_dict().items() if "text_model" not in name}
    )
    for file in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (tmp_path / file).write_bytes((FOLDER / file).read_bytes())
    with pytest.raises(ValueError, match=r"clip\.model: .*missing"):
        ClipMatcher.load(ModelArgs(model=str(tmp_path)))


def test_a_directory_is_loaded_like_the_pocket_model(tmp_path: Path, matcher: ClipMatcher) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    other = ClipMatcher.load(ModelArgs(model=str(tmp_path), device="cpu"))
    request = ScoreRequest(scene(4).image, "a dog")
    assert other.score([request]) == pytest.approx(matcher.score([request]))


# The deployment


async def test_the_server_answers_together_and_obeys_new_settings() -> None:
    server = ClipServer({"model": "pocket"})
    picture = scene(5).image
    locations = await asyncio.gather(*(server.locate(LocateRequest(picture, name)) for name in ("dog", "cat", "fish")))
    assert [location.target for location in locations] == ["dog", "cat", "fish"]
    assert -1 <= await server.score(ScoreRequest(picture, "a dog")) <= 1
    server.reconfigure({"min_confidence": 0.0, "max_batch_size": 2})
    assert (await server.locate(LocateRequest(picture, "dog"))).found
    server.reconfigure({"min_confidence": 1.0, "method": "patch"})
    assert not (await server.locate(LocateRequest(picture, "dog"))).found
    server.check_health()
    with pytest.raises(ValidationError, match="min_confidense"):
        server.reconfigure({"min_confidense": 0.3})
    with pytest.raises(ValidationError, match="modle"):
        ClipServer({"modle": "pocket"})
