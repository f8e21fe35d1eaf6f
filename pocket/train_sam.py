"""Trains the pocket SAM: from a click, a few clicks or a box to the sticker they mean.

The modules are segment-anything's own, small: 192 px pictures, 8 px patches. The losses are those of the
paper (arXiv 2304.02643, appendix A): focal and dice on the mask, squared error on the IoU it is guessed
to have; one click trains the best of the three candidates, several prompts train the single-mask token;
some prompts get a second round that sees the first mask and a click where it was wrong.

    python -m pocket.train_sam
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from deployments.config import ModelArgs
from deployments.messages import Prompt, SegmentRequest
from deployments.pixels.masks import bounding_box
from deployments.sam.architecture import Dimensions, assemble
from deployments.sam.model import SamSegmenter, fit_longest_side
from pocket import hard, training, world

if TYPE_CHECKING:
    from pathlib import Path

    from segment_anything.modeling import Sam

STREAM = 3
BATCH = 6
PROMPTS = 3  # on each picture
CLICK, CLICKS, BOX, BOX_AND_CLICK = range(4)
KIND_SHARES = (0.55, 0.15, 0.15, 0.15)
GROUND_SHARES = (0.2, 0.25, 0.55)  # plain, graded, photographic: the last is by far the hardest
HARD = 0.6  # share of pictures
# hidden, crowd, tiny, huge, doubles, look-alikes, edge, long, absent
KIND_OF_HARD = (0.4, 0.12, 0.06, 0.12, 0.08, 0.04, 0.08, 0.07, 0.03)
NEARBY = 0.35  # share of pictures
RECOLOURED = 0.5  # share of pictures, so that six photographs stand for more
SECOND_ROUND = 0.1  # share of pictures
OTHER_MASKS = 0.1  # weight of those that are not the answer to a click, so that none is senseless
DIMENSIONS = Dimensions(
    grid=24,
    patch=8,
    encoder_width=80,
    encoder_depth=4,
    encoder_heads=2,
    encoder_mlp=160,
    window=8,
    global_blocks=(3,),
    channels=64,
    mask_channels=16,
    mask_tokens=4,
    decoder_depth=2,
    decoder_mlp=128,
    decoder_narrowing=1,  # 8 heads of 8: of 4, they can hardly tell where a click is
    iou_depth=3,
    iou_width=64,
)
SCHEDULE = training.Schedule(steps=3000, learning_rate=1.5e-3, ema=0.998)
SIDE = DIMENSIONS.image_px


@dataclass(frozen=True, eq=False)
class Example:
    """`image` hxwx3 uint8 with longest side 192; `silhouettes` Kxhxw bool, what is visible of each sticker."""

    image: np.ndarray
    silhouettes: np.ndarray


@dataclass(frozen=True, eq=False)
class Prompts:
    """P prompts of one kind, in pixels of the 192 px frame.

    `points_xy` PxNx2 float32 and `labels` PxN, or None; `boxes_xyxy` Px4 float32, or None.
    """

    points_xy: Tensor | None
    labels: Tensor | None
    boxes_xyxy: Tensor | None

    @property
    def one_click(self) -> bool:
        return self.boxes_xyxy is None and self.labels is not None and self.labels.shape[1] == 1


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the decoder says to P prompts: `logits` Px4x96x96 and `ious` Px4, single-mask token first."""

    logits: Tensor
    ious: Tensor


def draw_example(rng: np.random.Generator) -> Example:
    """A scene as the encoder sees it: the usual ones, and those that are hard on purpose, whole or from nearby."""
    scene = draw_scene(rng)
    view = _nearby(rng, scene) if rng.random() < NEARBY else (slice(None), slice(None))
    image = fit_longest_side(scene.image[view], SIDE)
    if rng.random() < RECOLOURED:
        image = _recolour(rng, image)
    height, width = image.shape[:2]
    silhouettes = [_resize_mask(placed.mask[view], (width, height)) for placed in scene.placed]
    return Example(image, np.stack([mask for mask in silhouettes if mask.sum() > 30] or silhouettes))


def draw_scene(rng: np.random.Generator) -> world.Scene:
    if rng.random() < HARD:
        kind = hard.KINDS[int(rng.choice(len(hard.KINDS), p=KIND_OF_HARD))]
        return hard.challenge(rng, kind, world.TRAINING_PHOTOGRAPHS).scene
    size_wh = (256, 256) if rng.random() < 0.6 else (int(rng.integers(192, 449)), int(rng.integers(192, 449)))
    ground = world.GROUNDS[int(rng.choice(len(GROUND_SHARES), p=GROUND_SHARES))]
    return world.compose(rng, size_wh, ground=ground)


def _nearby(rng: np.random.Generator, scene: world.Scene) -> tuple[slice, slice]:
    """A square around one of the things, as it is looked at again when it is small."""
    height, width = scene.image.shape[:2]
    left, top, right, bottom = scene.placed[int(rng.integers(len(scene.placed)))].box_xyxy
    side = min(round(max(right - left, bottom - top) * rng.uniform(1.3, 3.5)), width, height)
    x = round((left + right) / 2 + rng.uniform(-0.2, 0.2) * side - side / 2)
    y = round((top + bottom) / 2 + rng.uniform(-0.2, 0.2) * side - side / 2)
    x, y = min(max(0, x), width - side), min(max(0, y), height - side)
    return slice(y, y + side), slice(x, x + side)


def _recolour(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Under another light: each channel brighter or darker, with more or less contrast."""
    gain, shift = rng.uniform(0.75, 1.25, 3), rng.uniform(-20, 20, 3)
    return np.clip((image - 128.0) * gain + 128 + shift, 0, 255).astype(np.uint8)


def _resize_mask(mask: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    grey = Image.fromarray(mask.astype(np.uint8) * 255).resize(size_wh, Image.Resampling.BILINEAR)
    return np.asarray(grey) > 127


def draw_prompts(rng: np.random.Generator, example: Example) -> tuple[Prompts, Tensor]:
    """P prompts of one kind and the silhouettes they mean: Px192x192 float32, 0 or 1."""
    chosen = rng.integers(len(example.silhouettes), size=PROMPTS)
    kind = int(rng.choice(len(KIND_SHARES), p=KIND_SHARES))
    clicks = {CLICK: 1, CLICKS: int(rng.integers(2, 4)), BOX: 0, BOX_AND_CLICK: 1}[kind]
    negative = clicks > 1 and rng.random() < 0.4
    points, labels, boxes = [], [], []
    for index in chosen:
        mask = example.silhouettes[index]
        on_it = [draw_point(rng, mask) for _ in range(clicks - negative)]
        beside = [_draw_point_beside(rng, example.silhouettes, int(index))] if negative else []
        points.append(on_it + beside)
        labels.append([1] * len(on_it) + [0] * len(beside))
        boxes.append(_draw_box(rng, mask))
    prompts = Prompts(
        torch.tensor(points, dtype=torch.float32) if clicks else None,
        torch.tensor(labels) if clicks else None,
        torch.tensor(boxes, dtype=torch.float32) if kind in (BOX, BOX_AND_CLICK) else None,
    )
    truth = np.zeros((PROMPTS, SIDE, SIDE), np.float32)
    truth[:, : example.image.shape[0], : example.image.shape[1]] = example.silhouettes[chosen]
    return prompts, torch.from_numpy(truth)


def draw_point(rng: np.random.Generator, mask: np.ndarray) -> tuple[int, int]:
    """Any (x, y) where `mask` is true; any at all when it never is."""
    places = np.flatnonzero(mask)
    place = int(places[rng.integers(len(places))]) if len(places) else int(rng.integers(mask.size))
    return place % mask.shape[1], place // mask.shape[1]


def _draw_point_beside(rng: np.random.Generator, silhouettes: np.ndarray, index: int) -> tuple[int, int]:
    """On another sticker, if there is one, or on the ground."""
    others = silhouettes.any(0) & ~silhouettes[index]
    if rng.random() < 0.5 and others.any():
        return draw_point(rng, others)
    return draw_point(rng, ~silhouettes[index])


def _draw_box(rng: np.random.Generator, mask: np.ndarray) -> tuple[float, float, float, float]:
    """Around `mask`, loosely: each side up to a fifth too far out, or a little too far in."""
    if not mask.any():
        return 0.0, 0.0, float(mask.shape[1]), float(mask.shape[0])
    left, top, right, bottom = bounding_box(mask)
    width, height = right - left, bottom - top
    out = rng.uniform(-0.04, 0.2, 4)
    return (
        max(0.0, left - out[0] * width),
        max(0.0, top - out[1] * height),
        min(float(mask.shape[1]), right + out[2] * width),
        min(float(mask.shape[0]), bottom + out[3] * height),
    )


def encode(sam: Sam, images: list[np.ndarray]) -> Tensor:
    """B fitted pictures (hxwx3 uint8, any h and w up to 192) to BxCx24x24."""
    pixels = [torch.from_numpy(image).to(sam.device).permute(2, 0, 1).float() for image in images]
    return sam.image_encoder(torch.stack([sam.preprocess(picture) for picture in pixels]))


def decode(sam: Sam, embedding: Tensor, prompts: Prompts, low_res: Tensor | None = None) -> Decoded:
    """All four masks for each prompt on the one picture of `embedding` (1xCx24x24); `low_res` Px1x96x96."""
    points = None if prompts.points_xy is None else (prompts.points_xy, prompts.labels)
    sparse, dense = sam.prompt_encoder(points, prompts.boxes_xyxy, low_res)
    logits, ious = sam.mask_decoder.predict_masks(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense)
    return Decoded(logits, ious)


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """20 focal + 1 dice of each of N masks: Nxhxw logits, Nxhxw truth in 0..1, N losses."""
    likely = logits.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    wrong = likely * (1 - truth) + (1 - likely) * truth
    side = 0.25 * truth + 0.75 * (1 - truth)
    focal = (side * entropy * wrong.square()).mean((-2, -1))
    dice = 1 - (2 * (likely * truth).sum((-2, -1)) + 1) / ((likely + truth).sum((-2, -1)) + 1)
    return 20 * focal + dice


def true_ious(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU of each PxKxhxw mask (logits above 0) with its Pxhxw truth (above a half): PxK."""
    made, wanted = logits.detach() > 0, (truth > 0.5)[:, None]
    return (made & wanted).sum((-2, -1)) / (made | wanted).sum((-2, -1)).clamp(min=1)


def prompt_loss(decoded: Decoded, truth: Tensor, one_click: bool) -> tuple[Tensor, Tensor]:
    """The loss of P prompts, and the P true IoUs of the masks that SAM would answer with."""
    small = functional.avg_pool2d(truth[:, None], 2)[:, 0]
    ious = true_ious(decoded.logits, small)
    guess = (decoded.ious - ious).square()
    if not one_click:
        return fine_loss(decoded.logits[:, 0], truth).mean() + guess[:, 0].mean(), ious[:, 0]
    count = decoded.logits.shape[1]
    losses = mask_loss(decoded.logits.flatten(0, 1), small.repeat_interleave(count, 0)).view(-1, count)
    best = 1 + losses[:, 1:].detach().argmin(1)
    rows = torch.arange(len(best), device=best.device)
    answer = ious[rows, 1 + decoded.ious[:, 1:].detach().argmax(1)]
    value = fine_loss(decoded.logits[rows, best], truth).mean() + OTHER_MASKS * losses.sum(1).mean()
    return value + guess.mean(), answer


def fine_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """`mask_loss` of low-resolution logits (Px96x96) where it counts: at 192 px (truth Px192x192)."""
    fine = functional.interpolate(logits[:, None], truth.shape[-2:], mode="bilinear", align_corners=False)
    return mask_loss(fine[:, 0], truth)


def second_round(rng: np.random.Generator, prompts: Prompts, decoded: Decoded, truth: Tensor) -> tuple[Prompts, Tensor]:
    """The same prompts with one click more, where the answer was wrong, and the answer's logits (Px1x96x96)."""
    if prompts.one_click:
        rows = torch.arange(len(truth), device=truth.device)
        answer = decoded.logits[rows, 1 + decoded.ious[:, 1:].argmax(1)].detach()
    else:
        answer = decoded.logits[:, 0].detach()
    made = functional.interpolate(answer[:, None], truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0
    wanted = truth > 0.5
    clicks = [draw_point(rng, wrong) for wrong in (made != wanted).cpu().numpy()]
    labels = [[int(mask[y, x])] for mask, (x, y) in zip(wanted.cpu(), clicks, strict=True)]
    points = torch.tensor(clicks, dtype=torch.float32, device=truth.device)[:, None]
    marks = torch.tensor(labels, device=truth.device)
    if prompts.points_xy is not None and prompts.labels is not None:
        points, marks = torch.cat([prompts.points_xy, points], 1), torch.cat([prompts.labels, marks], 1)
    return Prompts(points, marks, prompts.boxes_xyxy), answer[:, None]


def batch_loss(sam: Sam, step: int) -> tuple[Tensor, dict[str, list[float]]]:
    """The loss of batch number `step`, and the IoUs of the answers: to a single click, to boxes or several clicks."""
    rngs = [world.training_rng(STREAM, step, index) for index in range(BATCH)]
    examples = [draw_example(rng) for rng in rngs]
    embeddings = encode(sam, [example.image for example in examples])
    losses: list[Tensor] = []
    answers: dict[str, list[float]] = {"click": [], "more": []}
    for index, (rng, example) in enumerate(zip(rngs, examples, strict=True)):
        prompts, truth = draw_prompts(rng, example)
        embedding = embeddings[index : index + 1]
        decoded = decode(sam, embedding, prompts)
        loss, ious = prompt_loss(decoded, truth, prompts.one_click)
        losses.append(loss)
        answers["click" if prompts.one_click else "more"] += ious.tolist()
        if rng.random() < SECOND_ROUND:
            more, low_res = second_round(rng, prompts, decoded, truth)
            losses.append(prompt_loss(decode(sam, embedding, more, low_res), truth, one_click=False)[0])
    return torch.stack(losses).mean(), answers


def build() -> Sam:
    torch.manual_seed(0)
    sam = assemble(DIMENSIONS)
    # segment-anything starts positions at zero, which takes long to leave.
    torch.nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)
    return sam


def save(sam: Sam, path: Path) -> None:
    """A plain state dict, as the published checkpoints are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(dict(sam.state_dict()), partial)
    partial.replace(path)


def evaluate(segmenter: SamSegmenter, scenes: int = 300) -> dict[str, list[float]]:
    """IoUs, by ground, of the best-scored mask for one random point on a random sticker, as the service answers.

    Scenes of the evaluation stream, 256 px; half of the photographic ones stand on the photograph kept for that.
    """
    ious: dict[str, list[float]] = {}
    for number in range(scenes):
        rng = world.evaluation_rng(STREAM, number)
        held_out = number % 2 == 1
        photographs = world.HELD_OUT_PHOTOGRAPHS if held_out else world.TRAINING_PHOTOGRAPHS
        scene = world.compose(rng, photographs=photographs)
        wanted = scene.placed[int(rng.integers(len(scene.placed)))].mask
        prompt = Prompt((draw_point(rng, wanted),), (1,), several=True)
        made = segmenter.decode(segmenter.encode([scene.image])[0], SegmentRequest((prompt,))).masks[0].unpack()
        name = f"{scene.ground}, held out" if held_out and scene.ground == "photographic" else scene.ground
        ious.setdefault(name, []).append(float((made & wanted).sum() / (made | wanted).sum()))
    return ious


def report(ious: dict[str, list[float]]) -> None:
    for name, values in {**ious, "all": list(chain.from_iterable(ious.values()))}.items():
        low = np.quantile(values, 0.05)
        print(f"{name}: {len(values)} scenes, mean IoU {np.mean(values):.3f}, lowest twentieth below {low:.3f}")


def main() -> None:
    options = training.arguments(__doc__.splitlines()[0], SCHEDULE.steps)
    sam = build()
    if options.start:
        sam.load_state_dict(torch.load(options.start / "sam.pth", weights_only=True))
    sam.to(options.device)
    schedule = training.schedule(SCHEDULE, options)
    trainer = training.Trainer("sam", sam, schedule, options.work)
    recent: dict[str, deque[float]] = {}

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        value, answers = batch_loss(sam, step)
        for name, ious in answers.items():
            recent.setdefault(name, deque(maxlen=500)).extend(ious)
        return value, {name: float(np.mean(ious)) for name, ious in recent.items() if ious}

    weights = options.out / "sam.pth"
    trainer.fit(loss, lambda average: save(average, weights))
    report(evaluate(SamSegmenter.load(ModelArgs(model=str(weights), device=options.device))))


if __name__ == "__main__":
    main()
