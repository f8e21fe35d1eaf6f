"""SAM: built from its weights, equal to segment-anything's predictor, loaded with clear errors, served with a cache."""

import asyncio
import importlib.util
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file

from deployments.caching import digest
from deployments.config import POCKET_WEIGHTS, ModelArgs
from deployments.errors import InvalidInput
from deployments.messages import Embedding, SegmentRequest
from deployments.sam.architecture import Dimensions, assemble, build_sam, import_modeling, read_dimensions
from deployments.sam.cache import SharedCache
from deployments.sam.model import SamSegmenter, fit_longest_side, fitted_size
from deployments.sam.server import SamServer
from pocket import world

ROOT = Path(__file__).parents[2]
TINY = Dimensions(
    grid=8,
    patch=4,
    encoder_width=16,
    encoder_depth=3,
    encoder_heads=2,
    encoder_mlp=24,
    window=3,
    global_blocks=(1,),
    channels=32,
    mask_channels=8,
    mask_tokens=4,
    decoder_depth=2,
    decoder_mlp=24,
    decoder_narrowing=2,
    iou_depth=3,
    iou_width=20,
)
VIT_B = Dimensions(
    grid=64,
    patch=16,
    encoder_width=768,
    encoder_depth=12,
    encoder_heads=12,
    encoder_mlp=3072,
    window=14,
    global_blocks=(2, 5, 8, 11),
    channels=256,
    mask_channels=16,
    mask_tokens=4,
    decoder_depth=2,
    decoder_mlp=2048,
    decoder_narrowing=2,
    iou_depth=3,
    iou_width=256,
)
PUBLISHED = {
    "vit_b": VIT_B,
    "vit_l": replace(
        VIT_B, encoder_width=1024, encoder_depth=24, encoder_heads=16, encoder_mlp=4096, global_blocks=(5, 11, 17, 23)
    ),
    "vit_h": replace(
        VIT_B, encoder_width=1280, encoder_depth=32, encoder_heads=16, encoder_mlp=5120, global_blocks=(7, 15, 23, 31)
    ),
}
PROMPTS = {
    "one click": SegmentRequest(((70, 55),), (1,)),
    "clicks": SegmentRequest(((70, 55), (20, 9), (3, 31)), (1, 1, 0)),
    "box": SegmentRequest((), (), (12, 8, 83, 59)),
    "box and click": SegmentRequest(((40, 30),), (1,), (12, 8, 83, 59)),
}


@pytest.fixture(scope="module")
def pocket() -> SamSegmenter:
    return SamSegmenter.load(ModelArgs())


@pytest.fixture(scope="module")
def predictor_class() -> type:
    """segment-anything's SamPredictor. Of torchvision it uses two functions that hand on to PIL: so do these."""
    import_modeling()
    stand_ins: dict[str, ModuleType] = {}
    if importlib.util.find_spec("torchvision") is None:
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            stand_ins[name] = ModuleType(name)
        functional = stand_ins["torchvision.transforms.functional"]
        functional.to_pil_image = Image.fromarray
        functional.resize = lambda picture, size: picture.resize(size[::-1], Image.Resampling.BILINEAR)
    with mock.patch.dict(sys.modules, stand_ins):
        from segment_anything.predictor import SamPredictor
    return SamPredictor


def randomised(sizes: Dimensions, seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict of these sizes in which nothing is zero, as everything positional is at first."""
    generator = torch.Generator().manual_seed(seed)
    state = assemble(sizes).state_dict()
    return {key: value + 0.05 * torch.randn(value.shape, generator=generator) for key, value in state.items()}


def photo(height: int = 90, width: int = 120, seed: int = 0) -> np.ndarray:
    """A scene of the pocket world: HxWx3 uint8."""
    return world.compose(world.evaluation_rng(70, seed), (width, height)).image


# The builder


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"window": 0, "global_blocks": (0, 1, 2)},
        {"global_blocks": ()},
        {"window": 11},
        {"encoder_mlp": 49, "encoder_width": 22},
        {"decoder_narrowing": 1, "mask_tokens": 2, "iou_depth": 2, "decoder_depth": 1},
    ],
    ids=["tiny", "all global", "all windowed", "window beyond the grid", "odd mlp", "odd decoder"],
)
def test_all_sizes_are_read_from_the_shapes(changes: dict[str, object]) -> None:
    sizes = replace(TINY, **changes)
    state = randomised(sizes)
    assert read_dimensions(state) == sizes
    rebuilt = build_sam(state).state_dict()
    assert rebuilt.keys() == state.keys()
    assert all(torch.equal(rebuilt[key], state[key]) for key in state)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_models_have_their_sizes(name: str) -> None:
    import_modeling()
    from segment_anything.build_sam import sam_model_registry

    with torch.device("meta"):  # shapes without the gigabytes
        state = sam_model_registry[name]().state_dict()
        ours = assemble(read_dimensions(state)).state_dict()
    assert read_dimensions(state) == PUBLISHED[name]
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in state.items()}


def test_a_window_as_large_as_the_grid_is_the_same_as_none() -> None:
    sizes = replace(TINY, window=TINY.grid, global_blocks=())
    state = randomised(sizes)
    windowed = assemble(sizes)
    windowed.load_state_dict(state)
    pixels = torch.randn(1, 3, sizes.image_px, sizes.image_px)
    with torch.inference_mode():
        expected = windowed.eval().image_encoder(pixels)
        torch.testing.assert_close(build_sam(state).image_encoder(pixels), expected)


def test_constants_that_no_shape_tells_are_the_published_ones() -> None:
    import_modeling()
    from segment_anything.build_sam import _build_sam

    with torch.device("meta"):
        published = _build_sam(16, 2, 2, [1])
    ours = assemble(TINY)
    for name in ("pixel_mean", "pixel_std"):
        expected = {"pixel_mean": [123.675, 116.28, 103.53], "pixel_std": [58.395, 57.12, 57.375]}[name]
        assert getattr(ours, name).flatten().tolist() == pytest.approx(expected)
    assert ours.image_encoder.blocks[0].norm1.eps == published.image_encoder.blocks[0].norm1.eps
    decoders = ours.mask_decoder.transformer, published.mask_decoder.transformer
    assert decoders[0].num_heads == decoders[1].num_heads
    assert decoders[0].layers[0].self_attn.num_heads == decoders[1].layers[0].self_attn.num_heads


def without(key: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in randomised(TINY).items() if name != key}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "image_encoder.pos_embed"),
        ({"image_encoder.pos_embed": torch.zeros(4)}, "image_encoder.pos_embed.* dimensions"),
        ({"model": {"image_encoder.pos_embed": torch.zeros(1, 2, 2, 4)}}, "image_encoder.pos_embed"),
        (without("mask_decoder.mask_tokens.weight"), "mask_decoder.mask_tokens.weight"),
        (without("image_encoder.blocks.1.attn.rel_pos_h"), "blocks.1.attn.rel_pos_h"),
        (without("image_encoder.blocks.2.norm2.bias"), "blocks.2.norm2.bias"),
        ({**randomised(TINY), "mask_decoder.hf_token.weight": torch.zeros(1, 32)}, "mask_decoder.hf_token.weight"),
        ({**randomised(TINY), "image_encoder.blocks.2.attn.rel_pos_h": torch.zeros(9, 8)}, "several sizes"),
    ],
)
def test_what_is_no_sam_is_refused_by_name(state: dict[str, torch.Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_sam(state)


def run_python(code: str, extra_path: str = "") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [extra_path, str(ROOT)]))
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


def test_a_torchvision_that_does_not_fit_is_not_needed(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms')")
    code = """
        from deployments.sam.architecture import import_modeling
        first, second = import_modeling(), import_modeling()
        assert first is second and first.Sam
        import segment_anything.build_sam
        assert segment_anything.build_sam.Sam is first.Sam
    """
    done = run_python(code, str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_with_torchvision_the_package_is_whole(tmp_path: Path) -> None:
    for name, names in {
        "transforms/functional": "resize = to_pil_image",
        "ops/boxes": "batched_nms = box_area",
    }.items():
        module = tmp_path / "torchvision" / f"{name}.py"
        module.parent.mkdir(parents=True)
        (module.parent / "__init__.py").touch()
        module.write_text(f"{names} = None\n")
    (tmp_path / "torchvision" / "__init__.py").touch()
    code = """
        from deployments.sam.architecture import import_modeling
        modeling = import_modeling()
        from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
        from segment_anything.modeling import Sam
        assert modeling.Sam is Sam
    """
    done = run_python(code, str(tmp_path))
    assert done.returncode == 0, done.stderr


# The maths


def assert_equals_the_predictor(
    predictor_class: type, state: dict[str, torch.Tensor], image: np.ndarray, request: SegmentRequest
) -> None:
    segmenter = SamSegmenter(build_sam(state), torch.device("cpu"))
    embedding = segmenter.encode([image])[0]
    made = segmenter.decode(embedding, request)

    predictor = predictor_class(build_sam(state))
    predictor.set_image(image)
    clicks = bool(request.points_xy)
    masks, scores, _ = predictor.predict(
        point_coords=np.array(request.points_xy) if clicks else None,
        point_labels=np.array(request.labels) if clicks else None,
        box=np.array(request.box_xyxy) if request.box_xyxy else None,
        multimask_output=len(request.points_xy) == 1 and not request.box_xyxy,
    )
    order = np.argsort(-scores)
    assert embedding.source_size == image.shape[:2]
    assert embedding.model_size == tuple(predictor.input_size)
    np.testing.assert_array_equal(embedding.features, predictor.get_image_embedding()[0].numpy())
    np.testing.assert_array_equal(made.masks, masks[order])
    np.testing.assert_array_equal(made.scores, scores[order])
    assert (made.masks.dtype, made.scores.dtype) == (np.bool_, np.float32)


@pytest.mark.parametrize("request_", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("size", [(192, 192), (90, 120), (333, 101), (60, 517)], ids=str)
def test_masks_equal_the_predictors(
    predictor_class: type, pocket: SamSegmenter, size: tuple[int, int], request_: SegmentRequest
) -> None:
    state = torch.load(POCKET_WEIGHTS / "sam.pth", weights_only=True)
    assert_equals_the_predictor(predictor_class, state, photo(*size), request_)


def test_masks_equal_the_predictors_with_other_sizes(predictor_class: type) -> None:
    # Random weights give masks of no meaning, but of every shape: edges everywhere.
    for request in PROMPTS.values():
        assert_equals_the_predictor(predictor_class, randomised(TINY, 5), photo(97, 131), request)


def test_one_click_has_candidates_and_clear_prompts_one_mask(pocket: SamSegmenter) -> None:
    embedding = pocket.encode([photo()])[0]
    counts = {name: pocket.decode(embedding, request).masks.shape for name, request in PROMPTS.items()}
    expected = {name: (3 if name == "one click" else 1, 90, 120) for name in PROMPTS}
    assert counts == expected
    scores = pocket.decode(embedding, PROMPTS["one click"]).scores
    assert list(scores) == sorted(scores, reverse=True)


def test_a_batch_equals_its_pictures_one_by_one(pocket: SamSegmenter) -> None:
    images = [photo(192, 192, 1), photo(80, 150, 2), photo(301, 140, 3)]
    for together, image in zip(pocket.encode(images), images, strict=True):
        alone = pocket.encode([image])[0]
        assert (together.source_size, together.model_size) == (alone.source_size, alone.model_size)
        np.testing.assert_allclose(together.features, alone.features, atol=2e-5)
        assert together.features.base is None, "a slice keeps the whole batch in memory"


def test_read_only_arrays_are_read_and_left_alone(pocket: SamSegmenter) -> None:
    image = photo()
    before = image.copy()
    image.setflags(write=False)
    embedding = pocket.encode([image])[0]
    features = embedding.features.copy()
    embedding.features.setflags(write=False)
    pocket.decode(embedding, PROMPTS["box and click"])
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(embedding.features, features)


@pytest.mark.parametrize("size", [(1, 1), (16, 8192), (3, 2)], ids=str)
def test_slivers_are_pictures_too(pocket: SamSegmenter, size: tuple[int, int]) -> None:
    embedding = pocket.encode([np.full((*size, 3), 200, np.uint8)])[0]
    masks = pocket.decode(embedding, SegmentRequest(((0, 0),), (1,))).masks
    assert masks.shape == (3, *size)
    assert min(fitted_size(size, 192)) >= 1


def test_fitting_keeps_what_fits() -> None:
    image = photo(192, 100)
    np.testing.assert_array_equal(fit_longest_side(image, 192), image)
    assert fit_longest_side(image, 96).shape == (96, 50, 3)


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (SegmentRequest((), ()), "points"),
        (SegmentRequest(((1, 1),), ()), "labels"),
        (SegmentRequest(((1, 1),), (2,)), "labels"),
    ],
)
def test_prompts_without_sense_are_refused(pocket: SamSegmenter, request_: SegmentRequest, param: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        pocket.decode(pocket.encode([photo()])[0], request_)
    assert caught.value.param == param


def test_half_precision_finds_the_same(pocket: SamSegmenter) -> None:
    image = photo(192, 192, 4)
    half = SamSegmenter.load(ModelArgs(dtype="bfloat16")).encode([image])[0].features
    full = pocket.encode([image])[0].features
    assert half.dtype == np.float32
    assert not np.array_equal(half, full)
    assert np.abs(half - full).mean() < 0.05 * np.abs(full).mean()


# The pocket weights. The floors notice weights or maths that broke; how good they are, pocket/evaluate.py measures.


def iou(made: np.ndarray, wanted: np.ndarray) -> float:
    return (made & wanted).sum() / (made | wanted).sum()


def any_point(rng: np.random.Generator, mask: np.ndarray) -> tuple[int, int]:
    y, x = np.argwhere(mask)[rng.integers(mask.sum())]
    return int(x), int(y)


def test_one_click_cuts_out_the_sticker_it_is_on(pocket: SamSegmenter) -> None:
    ious = []
    for seed in range(24):
        rng = world.evaluation_rng(71, seed)
        photographs = world.HELD_OUT_PHOTOGRAPHS if seed % 2 else world.TRAINING_PHOTOGRAPHS
        scene = world.compose(rng, photographs=photographs)
        wanted = scene.placed[0].mask
        embedding = pocket.encode([scene.image])[0]
        ious.append(iou(pocket.decode(embedding, SegmentRequest((any_point(rng, wanted),), (1,))).masks[0], wanted))
    assert np.mean(ious) > 0.8, ious


def test_a_box_cuts_out_the_sticker_in_it(pocket: SamSegmenter) -> None:
    ious = []
    for seed in range(12):
        scene = world.compose(world.evaluation_rng(72, seed))
        embedding = pocket.encode([scene.image])[0]
        box = scene.placed[-1].box_xyxy
        ious.append(iou(pocket.decode(embedding, SegmentRequest((), (), box)).masks[0], scene.placed[-1].mask))
    assert np.mean(ious) > 0.8, ious


def test_scores_tell_good_masks_from_bad(pocket: SamSegmenter) -> None:
    guessed, true = [], []
    for seed in range(12):
        rng = world.evaluation_rng(73, seed)
        scene = world.compose(rng)
        wanted = scene.placed[-1].mask
        masks = pocket.decode(pocket.encode([scene.image])[0], SegmentRequest((any_point(rng, wanted),), (1,)))
        guessed += list(masks.scores)
        true += [iou(mask, wanted) for mask in masks.masks]
    assert np.abs(np.array(guessed) - np.array(true)).mean() < 0.15


def test_the_pocket_weights_are_plain_and_small() -> None:
    path = POCKET_WEIGHTS / "sam.pth"
    state = torch.load(path, weights_only=True)
    assert all(isinstance(value, torch.Tensor) and value.dtype == torch.float32 for value in state.values())
    assert path.stat().st_size < 4_000_000


# Loading


def test_a_state_dict_loads_the_same_from_both_formats(tmp_path: Path) -> None:
    state = randomised(TINY)
    torch.save(state, tmp_path / "sam.pth")
    save_file(state, tmp_path / "sam.safetensors")
    features = [
        SamSegmenter.load(ModelArgs(model=str(tmp_path / name))).encode([photo()])[0].features
        for name in ("sam.pth", "sam.safetensors")
    ]
    np.testing.assert_array_equal(*features)


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"image_encoder.pos_embed": Malicious()}, "bad.pth")
    with pytest.raises(ValueError, match=r"sam\.model: bad\.pth"):
        SamSegmenter.load(ModelArgs(model="bad.pth"))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            {"model": "sam_vit_b_01ec64.pth"},
            ["sam.model", "no file sam_vit_b_01ec64.pth", "segment-anything", "pocket"],
        ),
        ({"model": "facebook/sam-vit-base"}, ["sam.model", "no file", "segment-anything"]),
        ({"model": "folder"}, ["sam.model", "folder"]),
        ({"model": "text.pth"}, ["sam.model", "text.pth", "cannot be used", "plain tensors"]),
        ({"model": "empty.pth"}, ["sam.model", "empty.pth", "cannot be used"]),
        ({"model": "text.safetensors"}, ["sam.model", "text.safetensors", "cannot be used"]),
        ({"model": "other.pth"}, ["sam.model", "other.pth", "image_encoder.pos_embed"]),
        ({"model": "list.pth"}, ["sam.model", "list.pth", "no state dict"]),
        ({"revision": "main"}, ["sam.revision"]),
        ({"device": "toaster"}, ["sam.device", "toaster"]),
    ],
    ids=str,
)
def test_what_cannot_be_loaded_names_the_setting(
    args: dict[str, str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("weights? no")
    (tmp_path / "empty.pth").touch()
    torch.save({"weight": torch.zeros(1)}, "other.pth")
    torch.save([torch.zeros(1)], "list.pth")
    with pytest.raises(ValueError, match=r"^sam\.") as caught:
        SamSegmenter.load(ModelArgs(**args))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert str(tmp_path) not in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"sam\.device: 'cuda'"):
        SamSegmenter.load(ModelArgs(device="cuda"))


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


async def test_the_same_picture_is_encoded_once(encoded: list[int]) -> None:
    server = SamServer({})
    image = photo()
    embeddings = await asyncio.gather(*(server.encode(image.copy()) for _ in range(4)))
    embeddings.append(await server.encode(image))
    assert encoded == [1]
    assert all(embedding.features is embeddings[0].features for embedding in embeddings)
    server.check_health()


async def test_different_pictures_share_calls_up_to_the_batch_size(encoded: list[int], pocket: SamSegmenter) -> None:
    server = SamServer(ModelArgs())
    server.reconfigure({"max_batch_size": 3, "max_wait_s": 0.5})
    images = [photo(64, 64, seed) for seed in range(6)]
    embeddings = await asyncio.gather(*map(server.encode, images))
    assert encoded == [3, 3]
    for embedding, image in zip(embeddings, images, strict=True):
        np.testing.assert_allclose(embedding.features, pocket.encode([image])[0].features, atol=2e-5)


async def test_a_bad_prompt_fails_alone(pocket: SamSegmenter) -> None:
    server = SamServer({"model": "pocket"})
    embedding = await server.encode(photo())
    good, bad = PROMPTS["one click"], SegmentRequest((), ())
    answers = await asyncio.gather(
        *(server.segment(embedding, request) for request in (good, bad, good)), return_exceptions=True
    )
    assert isinstance(answers[1], InvalidInput)
    expected = pocket.decode(embedding, good)
    for answer in (answers[0], answers[2]):
        np.testing.assert_array_equal(answer.masks, expected.masks)
    server.check_health()


def test_settings_that_nobody_knows_are_refused() -> None:
    server = SamServer({})
    with pytest.raises(ValidationError, match="max_batch"):
        server.reconfigure({"max_batch": 3})
    with pytest.raises(ValidationError, match="checkpoint"):
        SamServer({"checkpoint": "sam.pth"})


# Full size


@pytest.mark.fullsize
def test_a_full_vit_b_through_its_file_equals_the_predictor(predictor_class: type, tmp_path: Path) -> None:
    import_modeling()
    from segment_anything.build_sam import build_sam_vit_b

    torch.manual_seed(0)
    published = build_sam_vit_b()
    torch.nn.init.normal_(published.image_encoder.pos_embed, std=0.02)
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(published.state_dict(), path)
    image = photo(480, 640)
    segmenter = SamSegmenter.load(ModelArgs(model=str(path), device="cpu"))
    embedding = segmenter.encode([image])[0]
    assert embedding.features.shape == (256, 64, 64)
    assert embedding.model_size == (768, 1024)
    predictor = predictor_class(published)
    predictor.set_image(image)
    np.testing.assert_allclose(embedding.features, predictor.get_image_embedding()[0].numpy(), atol=1e-4)
    masks, scores, _ = predictor.predict(np.array([[70, 55]]), np.array([1]))
    made = segmenter.decode(embedding, PROMPTS["one click"])
    np.testing.assert_allclose(made.scores, np.sort(scores)[::-1], atol=1e-4)
    assert (made.masks != masks[np.argsort(-scores)]).mean() < 1e-3


@pytest.mark.fullsize
@pytest.mark.parametrize("name", ["vit_l", "vit_h"])
def test_the_larger_published_models_load(name: str, tmp_path: Path) -> None:
    import_modeling()
    from segment_anything.build_sam import sam_model_registry

    state = sam_model_registry[name]().state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / f"{name}.safetensors")
    segmenter = SamSegmenter.load(ModelArgs(model=str(tmp_path / f"{name}.safetensors"), device="cpu"))
    embedding = segmenter.encode([photo(120, 160)])[0]
    assert segmenter.decode(embedding, PROMPTS["box"]).masks.shape == (1, 120, 160)
