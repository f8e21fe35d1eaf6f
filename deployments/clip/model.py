"""CLIP: where is it, and how well does a text describe a picture? Free of Ray.

A CLIP model sees a small square. To find small things in a large picture, and things at the edge of a long one, a
picture becomes several views: all of it, stretched to the square, and windows of it in its own shape that overlap
by half. Their maps are blended into one. (The models' own preprocessing crops the centre, so that what stands at an
edge can never be found; scores use it all the same, since they must be what everybody's scores are.)

Texts longer than the model reads (77 tokens, 32 for the pocket model) are cut off there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch.nn import functional
from transformers import AutoConfig, AutoTokenizer, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerBase

from deployments.caching import Lru, digest
from deployments.clip import dense
from deployments.config import POCKET, POCKET_WEIGHTS, ModelArgs
from deployments.messages import LocateRequest, Location, Point, ScoreRequest

VIEWS_PER_PASS = 32  # through the vision tower; more would only need more memory
MAX_WINDOWS = 40  # 21 are needed for 16:9; pictures longer than 3.5:1 are looked at in one row
MAX_SQUARES = 20  # that row is at most so long, which takes 39 windows; longer pictures are stretched to it
LONG_ASPECT = 1.25  # from here on the stretched view distorts what it shows too much to be trusted alone
WHOLE_WEIGHT = 0.25  # of the stretched view among windows: it knows the context, they know the details
HOT_SHARE = 0.7  # of the peak: what is at least this hot and touches the peak belongs to it
CENTRE_PULL = 0.3  # how much a hot cell at the rim of its region has to be hotter than one in its middle
CELLS_PER_PATCH = 2
REMEMBERED = 16  # pictures, so that another target in the same one costs no second look; 2 MiB each with ViT-B/32

Key = tuple[str, str]  # digest of the pixels, method


@dataclass(frozen=True)
class View:
    """A piece of a picture, in shares of its width and height, and how much its map counts."""

    left: float
    top: float
    right: float
    bottom: float
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Looks:
    """All views of one picture: `pixels` Vx3xPxP as the model takes them; `cells` (rows, columns) of its heat map."""

    pixels: torch.Tensor
    views: tuple[View, ...]
    cells: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Seen:
    """What the model saw in one picture: `features` VxghxgwxD float32 unit vectors of its views' patches."""

    features: torch.Tensor
    views: tuple[View, ...]
    cells: tuple[int, int]


class ClipMatcher:
    """A `transformers.CLIPModel` with its tokenizer and preprocessor. Safe to use from several threads."""

    def __init__(self, model: CLIPModel, tokenizer: PreTrainedTokenizerBase, processor: CLIPImageProcessorPil) -> None:
        self._model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._processor = processor
        self._side = model.config.vision_config.image_size
        self._patch = model.config.vision_config.patch_size
        self._scale = float(model.logit_scale.exp())
        self._mean = torch.tensor(processor.image_mean).view(3, 1, 1)
        self._deviation = torch.tensor(processor.image_std).view(3, 1, 1)
        self._phrases = dense.Phrases(self._embed, dense.sentences)
        self._texts = dense.Phrases(self._embed, lambda text: [text])
        self._remembered: Lru[Key, Seen] = Lru(REMEMBERED)

    @classmethod
    def load(cls, args: ModelArgs) -> ClipMatcher:
        """The model that the setting `clip` names; ValueError says what is wrong with it."""
        source = str(POCKET_WEIGHTS / "clip") if args.model == POCKET else args.model
        revision = {"revision": args.revision} if args.revision else {}
        try:
            _refuse_other_kinds(source, revision)
            model, report = CLIPModel.from_pretrained(
                source, use_safetensors=True, dtype=getattr(torch, args.dtype), output_loading_info=True, **revision
            )
            tokenizer = AutoTokenizer.from_pretrained(source, **revision)
            processor = CLIPImageProcessorPil.from_pretrained(source, **revision)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ValueError(
                f"clip.model: no CLIP model can be loaded from {args.model!r}. Give {POCKET!r}, the id of a CLIP "
                "model on the hub that this machine can reach or has in its cache, or a local directory with "
                f"config.json, model.safetensors, tokenizer and preprocessor_config.json. The reason: {error}"
            ) from error
        if report["missing_keys"]:
            raise ValueError(
                f"clip.model: the weights in {args.model!r} are not complete; "
                f"{len(report['missing_keys'])} are missing, such as {sorted(report['missing_keys'])[0]!r}."
            )
        return cls(model.to(_device(args.device)), tokenizer, processor)

    @torch.inference_mode()
    def locate(
        self, requests: Sequence[LocateRequest], method: dense.Method, min_confidence: float
    ) -> list[Location | Exception]:
        """Where in each picture its target is; a picture that cannot be looked at gives its own exception."""
        keys = [(digest(request.image), method) for request in requests]
        seen = self._see({key: request.image for key, request in zip(keys, requests, strict=True)}, method)
        targets = self._phrases([request.target for request in requests]) if requests else ()
        answers: list[Location | Exception] = []
        for request, key, target in zip(requests, keys, targets, strict=True):
            known = seen[key]
            if isinstance(known, Exception):
                answers.append(known)
                continue
            contrast = self._phrases(dense.contrast_words(request.target))
            logits = dense.margins(known.features, target[None], contrast, self._scale)
            heat = blend(logits.sigmoid()[..., 0].cpu(), known.views, known.cells)
            answers.append(_answer(request, heat, min_confidence))
        return answers

    @torch.inference_mode()
    def score(self, requests: Sequence[ScoreRequest]) -> list[float]:
        """The cosine of each picture and its text, exactly as `transformers.CLIPModel` computes it."""
        pictures = [Image.fromarray(request.image) for request in requests]
        pixels = self._processor(images=pictures, return_tensors="pt")["pixel_values"]
        seen = [
            self._model.get_image_features(pixel_values=self._to_model(chunk)).pooler_output
            for chunk in pixels.split(VIEWS_PER_PASS)
        ]
        images = dense.unit(torch.cat(seen))
        texts = self._texts([request.text for request in requests])
        return (images * texts).sum(-1).tolist()

    def _see(self, images: Mapping[Key, np.ndarray], method: dense.Method) -> Mapping[Key, Seen | Exception]:
        """What the model sees in each picture; those it does not remember go through the vision tower together."""
        seen: dict[Key, Seen | Exception] = {}
        looks: dict[Key, Looks] = {}
        for key, image in images.items():
            known = self._remembered.find(key)
            if known is not None:
                seen[key] = known
                continue
            try:
                looks[key] = self._look(image)
            except Exception as error:
                seen[key] = error
        patches = self._patches([look.pixels for look in looks.values()], method)
        for (key, look), features in zip(looks.items(), patches, strict=True):
            # A copy of its own: a slice would keep the whole batch in memory as long as it is remembered.
            seen[key] = fresh = Seen(features.clone(), look.views, look.cells)
            self._remembered.keep(key, fresh)
        return seen

    def _look(self, image: np.ndarray) -> Looks:
        """Cuts a picture HxWx3 uint8 into views."""
        height, width = image.shape[:2]
        picture = Image.fromarray(image)
        size_wh, windows = plan(width, height, self._side)
        # Windows are cut from one smaller copy: a large picture is read once, not once for each window.
        working = picture.resize(size_wh, Image.Resampling.BICUBIC) if windows else picture
        boxes = [(view.left * size_wh[0], view.top * size_wh[1]) for view in windows]
        crops = [working.crop((round(x), round(y), round(x) + self._side, round(y) + self._side)) for x, y in boxes]
        crops.append(working.resize((self._side, self._side), Image.Resampling.BICUBIC))
        whole = View(0.0, 0.0, 1.0, 1.0, WHOLE_WEIGHT if windows else 1.0)
        cells = tuple(max(2, round(side / self._patch * CELLS_PER_PATCH)) for side in (size_wh[1], size_wh[0]))
        # np.array copies: what arrives from another process is read-only.
        stacked = torch.from_numpy(np.stack([np.array(crop) for crop in crops])).permute(0, 3, 1, 2)
        return Looks((stacked / 255 - self._mean) / self._deviation, (*windows, whole), cells)

    def _patches(self, pixels: Sequence[torch.Tensor], method: dense.Method) -> Iterator[torch.Tensor]:
        """VxghxgwxD float32 unit vectors for each Vx3xPxP, all through the vision tower together."""
        if not pixels:
            return iter(())
        made = [self._patches_of(chunk, method) for chunk in torch.cat(list(pixels)).split(VIEWS_PER_PASS)]
        return iter(torch.cat(made).split([len(views) for views in pixels]))

    def _patches_of(self, pixels: torch.Tensor, method: dense.Method) -> torch.Tensor:
        tokens, grid = dense.before_last_block(self._model, self._to_model(pixels))
        return dense.project_patches(self._model, tokens, grid, method)

    def _embed(self, sentences: Sequence[str]) -> torch.Tensor:
        ids = self._tokenizer(
            list(sentences),
            padding=True,
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self._model.device)
        return self._model.get_text_features(**ids).pooler_output

    def _to_model(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.to(self._model.device, self._model.dtype)


def _refuse_other_kinds(source: str, revision: dict[str, str]) -> None:
    """ValueError unless `source` describes itself as a CLIP model with both towers."""
    kind = AutoConfig.from_pretrained(source, **revision).model_type
    if kind != "clip":
        raise ValueError(f"it is a model of the kind {kind!r}, not 'clip'")


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def plan(width: int, height: int, side: int) -> tuple[tuple[int, int], list[View]]:
    """How to look at a picture with a model that sees `side` x `side`.

    Returns the (width, height) to which the picture is resized and the windows to cut from that. A picture
    larger than the model's square is resized so that its shorter side is two squares: a thing that is small in
    the picture is then large in a window. One that is not larger but long is resized so that it is one square.
    Without windows the size only says how fine the heat map is.
    """
    short, long = min(width, height), max(width, height)
    if short <= side and long / short <= LONG_ASPECT:
        return (side, side), []
    squares = 2 if short > side else 1
    if _count(squares * long / short) * _count(squares) > MAX_WINDOWS:
        squares = 1
    scale = squares * side / short
    across, down = (min(MAX_SQUARES * side, max(side, round(length * scale))) for length in (width, height))
    windows = [
        View(x / across, y / down, (x + side) / across, (y + side) / down)
        for y in _starts(down, side)
        for x in _starts(across, side)
    ]
    return (across, down), windows


def _count(squares: float) -> int:
    """Windows of one square that cover a length of so many squares with at least half overlap."""
    return math.ceil(2 * (squares - 1)) + 1


def _starts(length: int, side: int) -> list[int]:
    return [round(start) for start in np.linspace(0, length - side, _count(length / side))]


def blend(maps: torch.Tensor, views: Sequence[View], cells: tuple[int, int]) -> np.ndarray:
    """Maps of views (Vxghxgw) to one heat grid over the whole picture: `cells` float32.

    A view knows its middle best, so it counts there most: its weight falls towards its rim as a raised cosine. Twice a
    light blur follows, since a lone hot cell is more often an accident than a thing.
    """
    heat = torch.zeros(cells)
    weights = torch.zeros(cells)
    y = (torch.arange(cells[0]) + 0.5) / cells[0]
    x = (torch.arange(cells[1]) + 0.5) / cells[1]
    for view, map_ in zip(views, maps.float(), strict=True):
        rows = (y > view.top) & (y < view.bottom)
        columns = (x > view.left) & (x < view.right)
        inside_y = (y[rows] - view.top) / (view.bottom - view.top) * 2 - 1
        inside_x = (x[columns] - view.left) / (view.right - view.left) * 2 - 1
        places = torch.stack(torch.meshgrid(inside_x, inside_y, indexing="xy"), -1)
        values = functional.grid_sample(map_[None, None], places[None], padding_mode="border", align_corners=False)
        weight = view.weight * (_raised_cosine(inside_y)[:, None] * _raised_cosine(inside_x)[None])
        area = rows[:, None] & columns[None]
        heat[area] += (values[0, 0] * weight).flatten()
        weights[area] += weight.flatten()
    return _blur(heat / weights).clamp(0, 1).numpy()


def _raised_cosine(position: torch.Tensor) -> torch.Tensor:
    """1 in the middle of -1..1, hardly anything at its ends, but never nothing: at an edge there is no other view."""
    return 0.02 + 0.98 * (0.5 + 0.5 * torch.cos(math.pi * position))


def _blur(heat: torch.Tensor) -> torch.Tensor:
    kernel = torch.tensor([0.25, 0.5, 0.25])
    padded = functional.pad(heat[None, None], (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, (kernel[:, None] * kernel[None])[None, None])[0, 0]


def _answer(request: LocateRequest, heat: np.ndarray, min_confidence: float) -> Location:
    row, column = best_cell(heat)
    confidence = float(heat[row, column])
    point = to_pixel((row, column), heat.shape, request.image.shape[:2])
    return Location(request.target, point, confidence, confidence >= min_confidence, heat)


def best_cell(heat: np.ndarray) -> tuple[int, int]:
    """Row and column of the best place to point at: hot, and towards the middle of the hot region of the peak.

    The peak itself often lies at the rim, where the map saturates; the centroid may lie beside a curved thing.
    """
    peak = divmod(int(heat.argmax()), heat.shape[1])
    region = region_of(heat >= HOT_SHARE * heat[peak], peak)
    rows, columns = np.nonzero(region)
    hot = heat[rows, columns]
    squared = (rows - np.average(rows, weights=hot)) ** 2 + (columns - np.average(columns, weights=hot)) ** 2
    worth = hot - CENTRE_PULL * heat[peak] * squared / max(1.0, float(squared.max()))
    best = int(worth.argmax())
    return int(rows[best]), int(columns[best])


def region_of(mask: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """The cells of `mask` (hxw bool) that are connected with `seed` by their edges."""
    region = np.zeros_like(mask)
    region[seed] = True
    while True:
        grown = region.copy()
        grown[1:] |= region[:-1]
        grown[:-1] |= region[1:]
        grown[:, 1:] |= region[:, :-1]
        grown[:, :-1] |= region[:, 1:]
        grown &= mask
        if (grown == region).all():
            return region
        region = grown


def to_pixel(cell: tuple[int, int], cells: tuple[int, int], size_hw: tuple[int, int]) -> Point:
    """The pixel (x, y) in the middle of a cell (row, column)."""
    y, x = (
        min(length - 1, int((index + 0.5) / count * length))
        for index, count, length in zip(cell, cells, size_hw, strict=True)
    )
    return x, y
