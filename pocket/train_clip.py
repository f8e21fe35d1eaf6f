"""Trains the pocket CLIP: a `transformers.CLIPModel` that finds and names the stickers of the pocket world.

Real CLIP models learn from captions of whole pictures and happen to be good at single patches. This one is
small, so it is taught the deployed formulas themselves: the probability map of `deployments.clip.dense`, read
out with each way of running the last block, must cover the named sticker and nothing else; the global
embedding must prefer what is there to what is not. Names of things that no scene shows must be found nowhere.

    python -m pocket.train_clip
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch.nn import functional
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextConfig, CLIPVisionConfig
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from deployments.clip import dense
from pocket import hard, tokenizer, training, world
from pocket.phrases import ABSENT, ALSO, COLOURED_NOUNS, NAMES, SENTENCES, UNMADE
from pocket.vocabulary import STICKERS, Sticker

STREAM = 3
MODEL_PX = 128
PATCH_PX = 16
GRID = MODEL_PX // PATCH_PX
EMBEDDING = 128
SCENES = 10
VIEWS = 2  # of each scene: all of it and a window
MAX_LOGIT_SCALE = 4.6
HARDEST = 32
HARD = 0.5  # share of scenes
# hidden, crowd, tiny, huge, doubles, look-alikes, edge, long, absent
KIND_OF_HARD = (0.25, 0.15, 0.2, 0.1, 0.02, 0.1, 0.08, 0.08, 0.02)
SCHEDULE = training.Schedule(steps=2400, learning_rate=1.5e-3, warmup=150, weight_decay=0.02, ema=0.998)


@dataclass(frozen=True, eq=False)
class TrainingView:
    """A piece of a scene as the model sees it.

    `image` is 128x128x3 uint8; `shares` maps the name of each sticker to an 8x8 float32 grid: how much of each patch
    it covers; `visible` how much of the sticker is inside, 0..1.
    """

    image: np.ndarray
    shares: dict[str, np.ndarray]
    visible: dict[str, float]


def draw_scene(rng: np.random.Generator) -> world.Scene:
    """A training scene: one that is hard on purpose, or one on stranger grounds than the world's own."""
    if rng.random() < HARD:
        kind = hard.KINDS[int(rng.choice(len(hard.KINDS), p=KIND_OF_HARD))]
        return hard.challenge(rng, kind, world.TRAINING_PHOTOGRAPHS).scene
    return _on_strange_ground(rng)


def _on_strange_ground(rng: np.random.Generator) -> world.Scene:
    """So that unknown photographs surprise less."""
    short = int(rng.integers(128, 289))
    long = short if rng.random() < 0.65 else int(short * rng.uniform(1.0, 1.7))
    size_wh = (short, long) if rng.random() < 0.5 else (long, short)
    longest_side = world.LONGEST_SIDE if rng.random() < 0.7 else (0.12, 0.6)
    ground = world.GROUNDS[int(rng.choice(3, p=(0.25, 0.2, 0.55)))]
    image = world.draw_ground(rng, size_wh, ground, world.TRAINING_PHOTOGRAPHS)
    if rng.random() < 0.5:
        image = estrange(rng, image)
    bare = image.copy()
    placed: list[world.Placed] = []
    for sticker in choose(rng):
        ink = world.draw_sticker(rng, sticker, short, longest_side)
        box = world.free_place(rng, size_wh, ink.shape[1], ink.shape[0], [other.box_xyxy for other in placed])
        if box is not None:
            mask = np.zeros(image.shape[:2], bool)
            mask[box[1] : box[3], box[0] : box[2]] = ink[..., 3] > 127
            placed.append(world.Placed(sticker=sticker, ink=ink, box_xyxy=box, mask=mask))
            world.paste(image, ink, box)
    return world.Scene(image=image, bare=bare, placed=tuple(placed), ground=ground)


def choose(rng: np.random.Generator) -> list[Sticker]:
    """One to four stickers; often one noun in two colours."""
    count = int(rng.integers(1, 5))
    chosen = [STICKERS[index] for index in rng.choice(len(STICKERS), size=count, replace=False)]
    if rng.random() < 0.4:
        noun = COLOURED_NOUNS[int(rng.integers(len(COLOURED_NOUNS)))]
        same = [sticker for sticker in STICKERS if sticker.noun == noun]
        pair = [same[index] for index in rng.choice(len(same), size=2, replace=False)]
        chosen = [*pair, *(sticker for sticker in chosen if sticker.noun != noun)][: max(2, count)]
        rng.shuffle(chosen)
    return chosen


def estrange(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """The same ground with other colours, or with shapes on it that are no stickers."""
    if rng.random() < 0.6:
        mix = np.eye(3)[rng.permutation(3)] * rng.uniform(0.6, 1.1) + rng.uniform(-0.2, 0.2, (3, 3))
        image = np.clip(image @ mix.T + rng.uniform(-25, 25, 3), 0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        canvas = Image.fromarray(image)
        pen = ImageDraw.Draw(canvas)
        for _ in range(int(rng.integers(1, 7))):
            _draw_shape(rng, pen, canvas.size)
        if rng.random() < 0.4:
            canvas = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 4))))
        image = np.array(canvas)
    return image


def _draw_shape(rng: np.random.Generator, pen: ImageDraw.ImageDraw, size_wh: tuple[int, int]) -> None:
    """An ellipse, box, polygon or line of any colour, anywhere."""
    side = min(size_wh)
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    x, y = rng.uniform(0, size_wh[0]), rng.uniform(0, size_wh[1])
    width, height = rng.uniform(0.05, 0.5, 2) * side
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    outline = tuple(int(value) for value in rng.integers(0, 256, 3)) if rng.random() < 0.3 else None
    kind = int(rng.integers(4))
    if kind == 0:
        pen.ellipse(box, colour, outline, 3)
    elif kind == 1:
        pen.rectangle(box, colour, outline, 3)
    elif kind == 2:
        corners = rng.uniform((box[0], box[1]), (box[2], box[3]), (int(rng.integers(3, 7)), 2))
        pen.polygon([tuple(corner) for corner in corners], colour, outline)
    else:
        pen.line((*box[:2], *box[2:]), colour, int(rng.integers(1, 10)))


def look(rng: np.random.Generator, scene: world.Scene, whole: bool) -> TrainingView:
    """All of the scene, stretched to the model's square, or a window of it: around a sticker or anywhere."""
    height, width = scene.image.shape[:2]
    if whole:
        box = (0.0, 0.0, float(width), float(height))
    elif rng.random() < 0.7 and scene.placed:
        left, top, right, bottom = scene.placed[int(rng.integers(len(scene.placed)))].box_xyxy
        side = min(max(right - left, bottom - top) * rng.uniform(1.05, 4.5), width, height)
        shift_x, shift_y = rng.uniform(-0.5, 0.5, 2) * side * 0.6
        box = _inside((left + right) / 2 + shift_x, (top + bottom) / 2 + shift_y, side, width, height)
    else:
        side = min(width, height) * rng.uniform(0.25, 0.8)
        box = _inside(rng.uniform(0, width), rng.uniform(0, height), side, width, height)
    image = Image.fromarray(scene.image).resize((MODEL_PX, MODEL_PX), Image.Resampling.BICUBIC, box=box)
    shares: dict[str, np.ndarray] = {}
    visible: dict[str, float] = {}
    area_px = (box[2] - box[0]) * (box[3] - box[1])
    for placed in scene.placed:
        mask = Image.fromarray(placed.mask.astype(np.float32))
        share = np.asarray(mask.resize((GRID, GRID), Image.Resampling.BOX, box=box))
        name = placed.sticker.name  # which doubles share
        shares[name] = shares.get(name, 0) + share
        seen = float(share.mean() * area_px / max(1, placed.mask.sum()))
        visible[name] = max(visible.get(name, 0.0), seen)
    return TrainingView(np.asarray(degrade(rng, image)), shares, visible)


def _inside(x: float, y: float, side: float, width: int, height: int) -> tuple[float, float, float, float]:
    left = min(max(0.0, x - side / 2), width - side)
    top = min(max(0.0, y - side / 2), height - side)
    return (left, top, left + side, top + side)


def degrade(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """What cameras and files do to a picture, lightly."""
    if rng.random() < 0.15:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2))))
    if rng.random() < 0.5:
        gain, shift = rng.uniform(0.85, 1.12), rng.uniform(-15, 15)
        image = image.point([int(min(255, max(0, value * gain + shift))) for value in range(256)] * 3)
    if rng.random() < 0.2:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(35, 95)))
        image = Image.open(file).convert("RGB")
    return image


def to_pixels(images: Sequence[np.ndarray], device: str) -> torch.Tensor:
    """B images HxWx3 uint8 to Bx3xHxW float32 with CLIP's mean and deviation."""
    stacked = torch.from_numpy(np.stack(images)).to(device).float() / 255
    mean = torch.tensor(OPENAI_CLIP_MEAN, device=device)
    deviation = torch.tensor(OPENAI_CLIP_STD, device=device)
    return ((stacked - mean) / deviation).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True, eq=False)
class Questions:
    """The phrases one step asks for, and what each means: `means` maps a phrase to names of stickers."""

    phrases: tuple[str, ...]
    means: tuple[frozenset[str], ...]


def ask(rng: np.random.Generator) -> Questions:
    """Every full name, nouns without colour, other words for them, and things that are never there."""
    nouns = [(noun, frozenset(sticker.name for sticker in STICKERS if sticker.noun == noun)) for noun in COLOURED_NOUNS]
    others = [(phrase, frozenset(ALSO[phrase])) for phrase in rng.choice(list(ALSO), 5, replace=False)]
    nothing = [*rng.choice(ABSENT, 8, replace=False), *rng.choice(UNMADE, 4, replace=False), *gibberish(rng, 2)]
    asked = [
        *((name, frozenset([name])) for name in NAMES),
        *nouns,
        *others,
        *((word, frozenset()) for word in nothing),
    ]
    return Questions(tuple(str(phrase) for phrase, _ in asked), tuple(means for _, means in asked))


def gibberish(rng: np.random.Generator, count: int) -> list[str]:
    """Words of random letters: whatever is not known must be found nowhere."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return ["".join(rng.choice(letters, int(rng.integers(3, 9)))) for _ in range(count)]


def in_sentence(rng: np.random.Generator, phrase: str) -> str:
    template = SENTENCES[int(rng.integers(len(SENTENCES)))]
    article = "an {}" if phrase[0] in "aeiou" else "a {}"
    return template.replace("a {}", article).format(phrase)


def caption(rng: np.random.Generator, view: TrainingView) -> str:
    """All stickers that can be seen well, in any order: "a lemon and a red balloon"."""
    names = [name for name, share in view.visible.items() if share > 0.5]
    rng.shuffle(names)
    if not names:
        return "an empty background"
    listed = " and ".join(("an " if name[0] in "aeiou" else "a ") + name for name in names)
    return listed if rng.random() < 0.6 else f"a photo of {listed}"


def labels(views: Sequence[TrainingView], questions: Questions) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares BxNxK of each patch that what was asked for covers, and how much BxK of it is in view."""
    shares = torch.zeros(len(views), GRID * GRID, len(questions.phrases))
    visible = torch.zeros(len(views), len(questions.phrases))
    for row, view in enumerate(views):
        for column, means in enumerate(questions.means):
            for name in means & view.shares.keys():
                shares[row, :, column] += torch.from_numpy(view.shares[name].flatten())
                visible[row, column] = max(float(visible[row, column]), view.visible[name])
    return shares, visible


def dense_loss(
    logits: torch.Tensor, shares: torch.Tensor, scores: torch.Tensor, ground: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """How wrong the map is. `logits` and `shares` BxNxK; `scores` BxNx50 of full names; `ground` BxN, both scaled.

    Patches half covered or less are neither right nor wrong, and neither are those next to the thing. The hardest
    wrong ones count extra: a single one misleads.
    """
    is_it = shares > 0.5
    near = functional.max_pool2d(shares.transpose(1, 2).unflatten(-1, (GRID, GRID)), 3, 1, 1)
    is_not = near.flatten(2).transpose(1, 2) == 0
    missed = functional.softplus(-logits)
    false = functional.softplus(logits) * is_not
    per_thing = (missed * is_it).sum(1) / is_it.sum(1).clamp(min=1)
    positive = per_thing.sum() / is_it.any(1).sum().clamp(min=1)
    hardest = false.flatten(1).topk(HARDEST, dim=1).values.mean()
    naming = torch.cat([scores, ground[..., None]], -1).log_softmax(-1)
    own = is_it[..., : len(NAMES)]
    covered = shares[..., : len(NAMES)].sum(-1)
    named = -(naming[..., :-1] * own).sum() / own.sum().clamp(min=1)
    empty = covered == 0
    unnamed = -(naming[..., -1] * empty).sum() / empty.sum().clamp(min=1)
    with torch.no_grad():
        hit = is_it.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)[is_it.any(1)].float().mean()
        peaks = logits.amax(1)
        seen = (peaks[is_it.any(1)] > 0).float().mean()
        quiet = (peaks[is_not.all(1)] < 0).float().mean()
    figures = {"point": hit.item(), "seen": seen.item(), "quiet": quiet.item()}
    return positive + false.sum() / is_not.sum() + 0.5 * hardest + 0.5 * (named + unnamed), figures


def global_loss(logits: torch.Tensor, scores: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Whole pictures: what is there beats the ground and every name of what is not. All BxK; `logits` are margins."""
    there = visible > 0.5
    absent = visible == 0
    weight = there | absent
    binary = functional.binary_cross_entropy_with_logits(logits, there.float(), reduction="none")
    balanced = (binary * there).sum() / there.sum().clamp(min=1) + (binary * absent).sum() / absent.sum().clamp(min=1)
    others = torch.logsumexp(scores.masked_fill(~absent, -torch.inf), 1, keepdim=True)
    ranking = functional.softplus(others - scores)
    return balanced + (ranking * there).sum() / there.sum().clamp(min=1) + 0 * weight.sum()


def caption_loss(scores: torch.Tensor, captions: Sequence[str]) -> torch.Tensor:
    """Each picture finds its caption in the batch and each caption its picture: scores BxB.

    Where several say the same thing, any of them will do.
    """
    things = [frozenset(text.removeprefix("a photo of ").split(" and ")) for text in captions]
    same = torch.tensor([[one == other for other in things] for one in things], device=scores.device)
    right = scores.masked_fill(~same, -torch.inf)
    found = torch.logsumexp(scores, 1) - torch.logsumexp(right, 1)
    described = torch.logsumexp(scores, 0) - torch.logsumexp(right, 0)
    return (found + described).mean() / 2


def build() -> CLIPModel:
    torch.manual_seed(0)
    ids = tokenizer.build()
    text = CLIPTextConfig(
        vocab_size=len(ids),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_act="gelu",
        max_position_embeddings=tokenizer.MAX_LENGTH,
        projection_dim=EMBEDDING,
        bos_token_id=ids.bos_token_id,
        eos_token_id=ids.eos_token_id,
        pad_token_id=ids.pad_token_id,
    )
    vision = CLIPVisionConfig(
        hidden_size=160,
        intermediate_size=640,
        num_hidden_layers=5,
        num_attention_heads=5,
        hidden_act="gelu",
        image_size=MODEL_PX,
        patch_size=PATCH_PX,
        projection_dim=EMBEDDING,
    )
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=EMBEDDING))


class ClipLesson:
    """One step's loss: `lesson(step)` draws scenes and questions and asks the model."""

    def __init__(self, model: CLIPModel, device: str) -> None:
        self.model = model
        self.device = device
        self.tokenizer = tokenizer.build()

    def __call__(self, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        views = [view for index in range(SCENES) for view in self._views(step, index)]
        rng = world.training_rng(STREAM, step, SCENES)
        questions = ask(rng)
        captions = [caption(rng, view) for view in views]
        texts = [*dense.CONTRAST_WORDS, *questions.phrases]
        embedded = self.embed([*(in_sentence(rng, text) for text in texts), *captions])
        contrast, names, told = embedded.split((len(dense.CONTRAST_WORDS), len(questions.phrases), len(captions)))
        shares, visible = (tensor.to(self.device) for tensor in labels(views, questions))
        scale = self.model.logit_scale.clamp(max=MAX_LOGIT_SCALE).exp()
        pixels = to_pixels([view.image for view in views], self.device)
        encoded = dense.encode(self.model, pixels)
        whole = encoded.whole()
        methods: list[dense.Method] = ["patch", "naclip"]
        if step % 4 == 0:
            methods.append("maskclip" if step % 8 else "clearclip")
        total = torch.zeros((), device=self.device)
        figures: dict[str, float] = {}
        for method in methods:
            patches = encoded.patches(method).flatten(1, 2)
            ground = torch.logsumexp(scale * patches @ contrast.T, -1)
            scores = scale * patches @ names.T
            value, seen = dense_loss(scores - ground[..., None], shares, scores[..., : len(NAMES)], ground)
            total = total + (1.0 if method == "naclip" else 0.5) * value
            if method == "naclip":
                figures = {"dense": value.item(), **seen}
        logits = dense.margins(whole, names, contrast, scale)
        broad = global_loss(logits, scale * whole @ names.T, visible)
        worded = caption_loss(scale * whole @ told.T, captions)
        figures |= {"global": broad.item(), "caption": worded.item(), "scale": scale.item()}
        return total + 0.5 * broad + 0.3 * worded, figures

    def _views(self, step: int, index: int) -> list[TrainingView]:
        rng = world.training_rng(STREAM, step, index)
        scene = draw_scene(rng)
        return [look(rng, scene, whole=number == 0) for number in range(VIEWS)]

    def embed(self, sentences: Sequence[str]) -> torch.Tensor:
        """nxD unit vectors of n sentences."""
        ids = self.tokenizer(list(sentences), padding=True, truncation=True, return_tensors="pt").to(self.device)
        return dense.unit(self.model.get_text_features(**ids).pooler_output)


def main() -> None:
    options = training.arguments(__doc__.splitlines()[0], SCHEDULE.steps)
    model = (CLIPModel.from_pretrained(options.start / "clip") if options.start else build()).to(options.device)
    print(f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    schedule = training.schedule(SCHEDULE, options)
    trainer = training.Trainer("clip", model, schedule, options.work)
    trainer.fit(ClipLesson(model, options.device), lambda average: save(average, options.out / "clip"))


@torch.no_grad()
def save(model: CLIPModel, folder: Path) -> None:
    """Writes the model, its tokenizer and its preprocessor, as the published CLIP models have them."""
    model.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
    model.save_pretrained(folder)
    tokenizer.save(folder)
    square = {"height": MODEL_PX, "width": MODEL_PX}
    CLIPImageProcessorPil(size=square, crop_size=square, do_center_crop=False).save_pretrained(folder)


if __name__ == "__main__":
    main()
