"""Several prompts to SAM at once: answered as if each were alone, in their order; and those that are refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from deployments.errors import InvalidInput
from deployments.messages import Masks, Prompt, SegmentRequest
from deployments.sam.architecture import Dimensions, build_sam
from deployments.sam.model import SamSegmenter
from pocket import world

Photo = Callable[..., np.ndarray]
COARSE = world.evaluation_rng(77, 0).normal(0, 4, (9, 16)).astype(np.float32)
FINE = world.evaluation_rng(77, 1).normal(0, 4, (70, 50)).astype(np.float32)
# Five forms, mixed; within one, rough masks may differ in size.
MIXED = (
    Prompt(((20, 30),), (1,), several=True),
    Prompt(box_xyxy=(5, 5, 60, 70)),
    Prompt(((90, 60), (10, 10)), (1, 0)),
    Prompt(((100, 80),), (1,), several=True),
    Prompt(((90, 60),), (1,), (60, 40, 110, 85), COARSE),
    Prompt(box_xyxy=(60, 40, 110, 85)),
    Prompt(((20, 30),), (1,)),
    Prompt(((60, 45),), (1,), (5, 5, 60, 70), FINE),
    Prompt(((60, 45),), (0,), several=True),
    Prompt(((30, 50), (50, 10)), (1, 1)),
)


def answers_to(made: Masks, prompt: int) -> list[int]:
    return [index for index, asked in enumerate(made.prompts) if asked == prompt]


@pytest.fixture(scope="module")
def tiny_sam(tiny_sizes: Dimensions, random_state: Callable) -> SamSegmenter:
    return SamSegmenter(build_sam(random_state(tiny_sizes, 7)), torch.device("cpu"))


@pytest.mark.parametrize("order", [range(10), (7, 2, 9, 0, 4, 6, 8, 1, 5, 3)], ids=["as they stand", "mixed up"])
def test_prompts_together_are_answered_as_if_alone(
    tiny_sam: SamSegmenter, pocket_sam: SamSegmenter, photo: Photo, order: tuple[int, ...]
) -> None:
    prompts = tuple(MIXED[index] for index in order)
    for segmenter in (tiny_sam, pocket_sam):
        embedding = segmenter.encode([photo()])[0]
        together = segmenter.decode(embedding, SegmentRequest(prompts))
        assert len(together.masks) == len(together.small) == len(together.scores) == len(together.prompts) == 16
        assert list(together.prompts) == sorted(together.prompts)
        for index, prompt in enumerate(prompts):
            alone = segmenter.decode(embedding, SegmentRequest((prompt,)))
            ours = answers_to(together, index)
            np.testing.assert_allclose(together.scores[ours], alone.scores, atol=1e-5)
            assert (together.small[ours] != alone.small).mean() < 1e-3
            for mask, expected in zip(ours, alone.masks, strict=True):
                assert (together.masks[mask].unpack() != expected.unpack()).mean() < 1e-3


def test_the_answers_of_these_prompts_differ(tiny_sam: SamSegmenter, photo: Photo) -> None:
    # Else the test above could not tell one from another.
    made = tiny_sam.decode(tiny_sam.encode([photo()])[0], SegmentRequest(MIXED))
    pairs = [(a, b) for a in range(len(made.small)) for b in range(a)]
    assert min((made.small[a] != made.small[b]).mean() for a, b in pairs) > 5e-3


def test_prompts_of_one_form_share_one_call(pocket_sam: SamSegmenter, photo: Photo) -> None:
    rows: list[int] = []
    decoder = pocket_sam._sam.mask_decoder
    hook = decoder.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["sparse_prompt_embeddings"])), with_kwargs=True
    )
    try:
        pocket_sam.decode(pocket_sam.encode([photo()])[0], SegmentRequest(MIXED))
    finally:
        hook.remove()
    assert sorted(rows) == [1, 2, 2, 2, 3]


def test_a_call_equals_the_predictors_own_batch(predictor_class: type, pocket_sam: SamSegmenter, photo: Photo) -> None:
    image = photo(97, 131)
    points = [(20, 30), (100, 80), (60, 45), (130, 96)]
    prompts = tuple(Prompt((point,), (1,), several=True) for point in points)
    made = pocket_sam.decode(pocket_sam.encode([image])[0], SegmentRequest(prompts))
    predictor = predictor_class(pocket_sam._sam)
    predictor.set_image(image)
    fitted = predictor.transform.apply_coords(np.array(points)[:, None], image.shape[:2])
    masks, scores, _ = predictor.predict_torch(torch.tensor(fitted, dtype=torch.float), torch.ones(4, 1))
    order = scores.argsort(1, descending=True)
    np.testing.assert_array_equal(made.scores, scores.gather(1, order).flatten().numpy())
    expected = torch.stack([masks[row, best] for row, best in enumerate(order)]).flatten(0, 1)
    np.testing.assert_array_equal(np.stack([mask.unpack() for mask in made.masks]), expected.numpy())


def test_a_rough_mask_tells_which_of_two_things_is_meant(pocket_sam: SamSegmenter) -> None:
    ious = []
    for seed in range(24):
        scene = world.compose(world.evaluation_rng(78, seed))
        if len(scene.placed) < 2:
            continue
        boxes = np.array([placed.box_xyxy for placed in scene.placed[:2]])
        around_both = (*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist())
        wanted = scene.placed[0].mask
        rough = np.where(wanted, 6, -6).astype(np.float32)
        prompts = Prompt(box_xyxy=around_both), Prompt(box_xyxy=around_both, rough=rough)
        made = pocket_sam.decode(pocket_sam.encode([scene.image])[0], SegmentRequest(prompts))
        masks = [mask.unpack() for mask in made.masks]
        ious.append([(mask & wanted).sum() / (mask | wanted).sum() for mask in masks])
    without, with_it = np.mean(ious, axis=0)
    assert with_it > without + 0.1, (with_it, without)


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (Prompt(), "points"),
        (Prompt(rough=COARSE), "points"),
        (Prompt(labels=(1,), box_xyxy=(1, 1, 5, 5)), "labels"),
        (Prompt(((1, 1),), ()), "labels"),
        (Prompt(((1, 1),), (1, 0)), "labels"),
        (Prompt(((1, 1),), (2,)), "labels"),
        (Prompt(((1, 1), (2, 2)), (1, -1)), "labels"),
        (Prompt(((120, 1),), (1,)), "points"),
        (Prompt(((1, 90),), (1,)), "points"),
        (Prompt(((5, 5), (-1, 1)), (1, 1)), "points"),
        (Prompt(((1, -1),), (1,)), "points"),
        (Prompt(((float("nan"), 1),), (1,)), "points"),
        (Prompt(((1,),), (1,)), "points"),
        (Prompt(((1, 1, 1),), (1,)), "points"),
        (Prompt(box_xyxy=(5, 5, 5, 9)), "box"),
        (Prompt(box_xyxy=(5, 5, 9, 5)), "box"),
        (Prompt(box_xyxy=(9, 5, 5, 9)), "box"),
        (Prompt(box_xyxy=(5, 9, 9, 5)), "box"),
        (Prompt(box_xyxy=(-1, 5, 9, 9)), "box"),
        (Prompt(box_xyxy=(5, -1, 9, 9)), "box"),
        (Prompt(box_xyxy=(5, 5, 121, 9)), "box"),
        (Prompt(box_xyxy=(5, 5, 9, 91)), "box"),
        (Prompt(box_xyxy=(5, 5, 9)), "box"),
        (Prompt(((1, 1),), (1,), rough=np.zeros((1, 4, 4), np.float32)), "rough"),
        (Prompt(((1, 1),), (1,), rough=np.zeros((4, 4))), "rough"),
        (Prompt(((1, 1),), (1,), rough=np.zeros((0, 4), np.float32)), "rough"),
        (Prompt(((1, 1),), (1,), rough=np.full((4, 4), np.nan, np.float32)), "rough"),
        (Prompt(((1, 1),), (1,), rough=np.full((4, 4), -np.inf, np.float32)), "rough"),
    ],
)
def test_prompts_without_sense_are_refused(pocket_sam: SamSegmenter, photo: Photo, prompt: Prompt, param: str) -> None:
    embedding = pocket_sam.encode([photo(90, 120)])[0]
    fine = Prompt(((119, 89), (0, 0)), (1, 0), (0, 0, 120, 90))
    with pytest.raises(InvalidInput) as caught:
        pocket_sam.decode(embedding, SegmentRequest((fine, prompt)))
    assert caught.value.param == param
    assert len(pocket_sam.decode(embedding, SegmentRequest((fine,))).masks) == 1


def test_no_prompt_is_refused(pocket_sam: SamSegmenter, photo: Photo) -> None:
    with pytest.raises(InvalidInput) as caught:
        pocket_sam.decode(pocket_sam.encode([photo()])[0], SegmentRequest(()))
    assert caught.value.param == "points"
