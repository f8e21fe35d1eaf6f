"""SAM's maths: embeddings and masks equal segment-anything's own predictor, and how good the pocket weights are."""

import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from deployments.config import POCKET_WEIGHTS
from deployments.messages import Embedding, Masks, PackedMask, Prompt, SegmentRequest
from deployments.sam.architecture import Dimensions, build_sam
from deployments.sam.model import SamSegmenter, fit_longest_side, fitted_size
from pocket import world

Photo = Callable[..., np.ndarray]
SIZES = [(192, 192), (90, 120), (333, 101), (66, 517)]  # low-resolution masks of 96x96, 72x96, 96x29, 12.5x96
ROUGH = world.evaluation_rng(75, 0).normal(0, 6, (12, 20)).astype(np.float32)
FINE = world.evaluation_rng(75, 1).normal(0, 6, (300, 260)).astype(np.float32)
CLICK, CLICKS, BOX = ((70, 55),), ((70, 55), (20, 9), (3, 31)), (12, 8, 83, 59)
PROMPTS = {
    "one click": Prompt(CLICK, (1,), several=True),
    "one click, one answer": Prompt(CLICK, (1,)),
    "clicks": Prompt(CLICKS, (1, 1, 0)),
    "clicks, several answers": Prompt(CLICKS, (1, 1, 0), several=True),
    "box": Prompt(box_xyxy=BOX),
    "box and click": Prompt(((40, 30),), (1,), BOX),
    "rough and box": Prompt(box_xyxy=BOX, rough=ROUGH),
    "rough and click": Prompt(CLICK, (1,), rough=FINE, several=True),
    "rough, box and clicks": Prompt(CLICKS, (0, 1, 1), BOX, ROUGH),
}


def ask(segmenter: SamSegmenter, embedding: Embedding, *prompts: Prompt) -> Masks:
    return segmenter.decode(embedding, SegmentRequest(prompts))


def unpacked(masks: Masks) -> np.ndarray:
    return np.stack([mask.unpack() for mask in masks.masks])


def low_size(predictor: object) -> tuple[int, int]:
    """(rows, columns) of a low-resolution mask that show the picture, the last perhaps in part."""
    encoder = predictor.model.prompt_encoder
    scale = encoder.mask_input_size[0] / encoder.input_image_size[0]
    return tuple(int(np.ceil(size * scale)) for size in predictor.input_size)


def mask_input(predictor: object, rough: np.ndarray) -> np.ndarray:
    """1xMxM, made by another library: Pillow's bilinear filter, the lowest logit around it."""
    rows, columns = low_size(predictor)
    padded = np.full((1, *predictor.model.prompt_encoder.mask_input_size), min(0, rough.min()), np.float32)
    padded[0, :rows, :columns] = Image.fromarray(rough).resize((columns, rows), Image.Resampling.BILINEAR)
    return padded


def predict(predictor: object, prompt: Prompt) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the predictor answers to one prompt: masks, scores and low-resolution logits, best first."""
    answer = predictor.predict(
        point_coords=np.array(prompt.points_xy) if prompt.points_xy else None,
        point_labels=np.array(prompt.labels) if prompt.points_xy else None,
        box=None if prompt.box_xyxy is None else np.array(prompt.box_xyxy),
        mask_input=None if prompt.rough is None else mask_input(predictor, prompt.rough),
        multimask_output=prompt.several,
    )
    order = np.argsort(-answer[1])
    return tuple(part[order] for part in answer)


def assert_equals_the_predictor(
    predictor_class: type, state: dict[str, torch.Tensor], image: np.ndarray, prompt: Prompt
) -> None:
    segmenter = SamSegmenter(build_sam(state), torch.device("cpu"))
    embedding = segmenter.encode([image])[0]
    made = ask(segmenter, embedding, prompt)
    predictor = predictor_class(build_sam(state))
    predictor.set_image(image)
    masks, scores, low_res = predict(predictor, prompt)
    assert embedding.source_size == image.shape[:2]
    assert embedding.model_size == tuple(predictor.input_size)
    np.testing.assert_array_equal(embedding.features, predictor.get_image_embedding()[0].numpy())
    rows, columns = low_size(predictor)
    small = low_res[:, :rows, :columns] > 0
    if prompt.rough is None:
        np.testing.assert_array_equal(unpacked(made), masks)
        np.testing.assert_array_equal(made.small, small)
        np.testing.assert_array_equal(made.scores, scores)
    else:  # two libraries round a resized map differently
        assert (unpacked(made) != masks).mean() < 1e-3
        assert (made.small != small).mean() < 1e-3
        np.testing.assert_allclose(made.scores, scores, atol=1e-4)
    assert made.prompts == (0,) * len(masks)
    assert (made.small.dtype, made.scores.dtype) == (np.bool_, np.float32)


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_masks_equal_the_predictors(predictor_class: type, photo: Photo, size: tuple[int, int], prompt: Prompt) -> None:
    state = torch.load(POCKET_WEIGHTS / "sam.pth", weights_only=True)
    assert_equals_the_predictor(predictor_class, state, photo(*size), prompt)


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_masks_equal_the_predictors_with_other_sizes(
    predictor_class: type, tiny_sizes: Dimensions, random_state: Callable, photo: Photo, prompt: Prompt
) -> None:
    # Random weights give masks of no meaning, but of every shape: edges everywhere.
    assert_equals_the_predictor(predictor_class, random_state(tiny_sizes, 5), photo(97, 131), prompt)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_its_own_logits_can_be_fed_back(
    predictor_class: type, pocket_sam: SamSegmenter, photo: Photo, size: tuple[int, int]
) -> None:
    # Logits of the decoder's own size are taken as they are: equal to the bit.
    predictor = predictor_class(build_sam(torch.load(POCKET_WEIGHTS / "sam.pth", weights_only=True)))
    image = photo(*size)
    predictor.set_image(image)
    _, _, low_res = predict(predictor, PROMPTS["one click"])
    embedding = pocket_sam.encode([image])[0]
    rows, columns = low_size(predictor)
    prompt = Prompt(CLICK, (1,), BOX, low_res[0, :rows, :columns].copy())
    masks, scores, _ = predict(predictor, prompt)
    made = ask(pocket_sam, embedding, prompt)
    np.testing.assert_array_equal(unpacked(made), masks)
    np.testing.assert_array_equal(made.scores, scores)


def test_a_prompt_has_one_answer_or_several_best_first(pocket_sam: SamSegmenter, photo: Photo) -> None:
    embedding = pocket_sam.encode([photo()])[0]
    for prompt in PROMPTS.values():
        made = ask(pocket_sam, embedding, prompt)
        assert [mask.shape for mask in made.masks] == [(90, 120)] * (3 if prompt.several else 1)
        assert list(made.scores) == sorted(made.scores, reverse=True)


def test_small_masks_show_the_whole_picture_and_nothing_else(pocket_sam: SamSegmenter) -> None:
    for number, size_wh in enumerate([(256, 256), (400, 200), (150, 420), (333, 251)]):
        scene = world.compose(world.evaluation_rng(74, number), size_wh)
        placed = scene.placed[-1]
        made = ask(pocket_sam, pocket_sam.encode([scene.image])[0], Prompt(box_xyxy=placed.box_xyxy))
        height, width = made.small.shape[1:]
        assert max(height, width) == 96
        assert height / width == pytest.approx(size_wh[1] / size_wh[0], rel=0.03)
        shrunk = Image.fromarray(made.masks[0].unpack().astype(np.float32)).resize((width, height))
        assert iou(made.small[0], np.asarray(shrunk) > 0.5) > 0.8


def test_a_batch_equals_its_pictures_one_by_one(pocket_sam: SamSegmenter, photo: Photo) -> None:
    images = [photo(192, 192, 1), photo(80, 150, 2), photo(301, 140, 3)]
    for together, image in zip(pocket_sam.encode(images), images, strict=True):
        alone = pocket_sam.encode([image])[0]
        assert (together.source_size, together.model_size) == (alone.source_size, alone.model_size)
        np.testing.assert_allclose(together.features, alone.features, atol=2e-5)
        assert together.features.base is None, "a slice keeps the whole batch in memory"


def test_read_only_arrays_are_read_and_left_alone(pocket_sam: SamSegmenter, photo: Photo) -> None:
    image, rough = photo(), ROUGH.copy()
    image.setflags(write=False)
    embedding = pocket_sam.encode([image])[0]
    features = embedding.features.copy()
    for array in (embedding.features, rough):
        array.setflags(write=False)
    ask(pocket_sam, embedding, Prompt(CLICK, (1,), BOX, rough))
    np.testing.assert_array_equal(image, photo())
    np.testing.assert_array_equal(rough, ROUGH)
    np.testing.assert_array_equal(embedding.features, features)


@pytest.mark.parametrize("size", [(1, 1), (16, 8192), (3, 2)], ids=str)
def test_slivers_are_pictures_too(pocket_sam: SamSegmenter, size: tuple[int, int]) -> None:
    embedding = pocket_sam.encode([np.full((*size, 3), 200, np.uint8)])[0]
    made = ask(pocket_sam, embedding, Prompt(((0, 0),), (1,), rough=ROUGH, several=True))
    assert [mask.unpack().shape for mask in made.masks] == [size] * 3
    assert min(made.small.shape) >= 1
    assert min(fitted_size(size, 192)) >= 1


def test_fitting_keeps_what_fits(photo: Photo) -> None:
    image = photo(192, 100)
    np.testing.assert_array_equal(fit_longest_side(image, 192), image)
    assert fit_longest_side(image, 96).shape == (96, 50, 3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (8, 5), (13, 11), (101, 333)], ids=str)
def test_packed_masks_come_out_as_they_went_in(shape: tuple[int, int]) -> None:
    mask = world.evaluation_rng(76, *shape).random(shape) < 0.3
    packed = PackedMask.of(mask)
    assert packed.bits.nbytes == -(-mask.size // 8)
    np.testing.assert_array_equal(packed.unpack(), mask)
    packed.unpack()[:] = True
    np.testing.assert_array_equal(packed.unpack(), mask)


def test_logits_of_a_large_pictures_size_are_there_one_at_a_time(
    pocket_sam: SamSegmenter, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[torch.Tensor]] = []
    held: list[int] = []
    postprocess = pocket_sam._sam.postprocess_masks

    def counting(*args: object) -> torch.Tensor:
        held.append(sum(1 for one in made if one() is not None))
        full = postprocess(*args)
        assert full.shape == (1, 1, 300, 500)
        made.append(weakref.ref(full))
        return full

    monkeypatch.setattr(pocket_sam._sam, "postprocess_masks", counting)
    masks = ask(pocket_sam, pocket_sam.encode([photo(300, 500)])[0], *PROMPTS.values())
    assert held == [0] * len(masks.masks) == [0] * 15


# The pocket weights. The floors notice weights or maths that broke; how good they are, pocket/evaluate.py measures.


def iou(made: np.ndarray, wanted: np.ndarray) -> float:
    return (made & wanted).sum() / (made | wanted).sum()


def any_point(rng: np.random.Generator, mask: np.ndarray) -> tuple[int, int]:
    y, x = np.argwhere(mask)[rng.integers(mask.sum())]
    return int(x), int(y)


def clicked(
    segmenter: SamSegmenter, stream: int, count: int, index: int, both_grounds: bool = False
) -> Iterator[tuple[Masks, np.ndarray]]:
    """Answers to one click on a sticker, and the sticker's own mask."""
    for seed in range(count):
        rng = world.evaluation_rng(stream, seed)
        held_out = both_grounds and seed % 2
        scene = world.compose(rng, photographs=world.HELD_OUT_PHOTOGRAPHS if held_out else world.TRAINING_PHOTOGRAPHS)
        wanted = scene.placed[index].mask
        prompt = Prompt((any_point(rng, wanted),), (1,), several=True)
        yield ask(segmenter, segmenter.encode([scene.image])[0], prompt), wanted


def test_one_click_cuts_out_the_sticker_it_is_on(pocket_sam: SamSegmenter) -> None:
    ious = [iou(made.masks[0].unpack(), wanted) for made, wanted in clicked(pocket_sam, 71, 24, 0, both_grounds=True)]
    assert np.mean(ious) > 0.8, ious


def test_a_box_cuts_out_the_sticker_in_it(pocket_sam: SamSegmenter) -> None:
    ious = []
    for seed in range(12):
        scene = world.compose(world.evaluation_rng(72, seed))
        placed = scene.placed[-1]
        made = ask(pocket_sam, pocket_sam.encode([scene.image])[0], Prompt(box_xyxy=placed.box_xyxy))
        ious.append(iou(made.masks[0].unpack(), placed.mask))
    assert np.mean(ious) > 0.8, ious


def test_scores_tell_good_masks_from_bad(pocket_sam: SamSegmenter) -> None:
    guessed, true = [], []
    for made, wanted in clicked(pocket_sam, 73, 12, -1):
        guessed += list(made.scores)
        true += [iou(mask, wanted) for mask in unpacked(made)]
    assert np.abs(np.array(guessed) - np.array(true)).mean() < 0.15
