"""The values that cross processes: frozen, numpy and plain Python only.

Pictures are HxWx3 uint8 RGB unless said otherwise. Points are (x, y) and boxes (left, top, right,
bottom), in pixels of the picture they come with, origin at its top left corner. Arrays that arrive from
another process are read-only: copy before writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Point = tuple[int, int]
Box = tuple[int, int, int, int]
# What callers may write for them: lists, tuples and arrays are alike; one point may be a bare pair, its label a number.
Points = Sequence[Sequence[int]] | Sequence[int] | np.ndarray
Labels = Sequence[int] | int | np.ndarray
BoxLike = Sequence[int] | np.ndarray
Mode = Literal["replace", "remove"]
MaskShape = Literal["silhouette", "hull", "box"]
Fill = Literal["noise", "original", "blur"]
Source = Literal["peak", "peaks", "box", "heat", "points", "around", "mask"]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that went on from `start_s` to `end_s`, in seconds of `time.time`.

    A stage's own name ("sam.encode") is told by the replica, from the arrival of the call to its answer.
    """

    name: str
    start_s: float
    end_s: float


Stage = Literal["locate", "segment", "inpaint", "fill", "score"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What an edit is doing: `stage`, and the UNet steps of all its pictures, `done` of `total` (0 of 0 elsewhere)."""

    stage: Stage
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a stage would answer a request now; `setting` names the one that keeps it from starting, if known."""

    ready: bool
    setting: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class PackedMask:
    """A bool mask of `shape` (height, width), eight pixels to a byte."""

    bits: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: np.ndarray) -> PackedMask:
        return cls(np.packbits(mask), (mask.shape[0], mask.shape[1]))

    def unpack(self) -> np.ndarray:
        """HxW bool, the caller's own."""
        height, width = self.shape
        return np.unpackbits(self.bits, count=height * width).view(bool).reshape(self.shape)


@dataclass(frozen=True, eq=False, slots=True)
class EditRequest:
    """One edit: find `target` in `image`, repaint it as `prompt`.

    What to repaint: `target` None means that the prompt itself says what to find; nothing that `avoid` names is taken
    for it. Points (`labels` 1 on it, 0 not; none given: all 1) or a box replace the search by CLIP, a `mask` (HxW bool,
    True = repaint) everything up to the painting; a `target` beside them has to name what lies there. Lists, tuples and
    arrays of points, labels and a box are alike; one point may be a bare pair, its label a bare number. `all` repaints
    every one of the things that the target names, False only one; None goes by its words ("each lemon", "the dogs").
    `candidate` takes another of the candidates that `locate` lists. `mask_shape` and `dilation` (a share of the
    region's longest side) say what the painter is offered: the mask as it is, its convex hull, or its box.

    How: `mode` "remove" fills the region from its surroundings by a classical method, without a model, and takes
    no prompt. Numbers left None take the service's defaults; a missing `seed` is drawn and reported. With `n` > 1,
    image k uses `seed + k`. `strength`, `fill` and `scheduler`: see `InpaintRequest`. While the best picture's
    region scores below `min_score`, others are painted from further seeds, as often as the service allows.
    """

    image: np.ndarray
    prompt: str = ""
    target: str | None = None
    avoid: str = ""
    all: bool | None = None
    mode: Mode = "replace"
    points: Points = ()
    labels: Labels = ()
    box: BoxLike | None = None
    mask: np.ndarray | None = None
    candidate: int | None = None
    mask_shape: MaskShape | None = None
    dilation: float | None = None
    negative_prompt: str = ""
    n: int = 1
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    strength: float = 1.0
    fill: Fill | None = None
    scheduler: str | None = None
    min_score: float | None = None


@dataclass(frozen=True, eq=False, slots=True)
class LocateRequest:
    """Where in `image` is what `target` names, or what the points or the box mean? See `EditRequest`."""

    image: np.ndarray
    target: str | None = None
    avoid: str = ""
    all: bool | None = None
    points: Points = ()
    labels: Labels = ()
    box: BoxLike | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """Something in the picture that may be meant.

    `point_xy` is where it was found, `box_xyxy` and `area` (a share of the picture) its mask's. `score` ranks it among
    those from the same view (a thing seen from nearby has a view of its own),
    `sam_score` is SAM's own guess of the mask's IoU (0 for a mask that SAM did not make), `features` are what the
    score was made from. `source` says which prompt to SAM it answers, or that it is the heat map itself ("heat"), a
    region around points or the box as it is ("around"), or the caller's own ("mask").
    """

    point_xy: Point
    box_xyxy: Box
    area: float
    score: float
    sam_score: float
    source: Source
    mask: PackedMask
    features: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Location:
    """Where `target` is; the answer to a `LocateRequest`.

    `phrase` is what CLIP was asked for. `point_xy` is the best place; `confidence` in 0..1 how surely something there
    matches, `margin` the same in logits over everything else a picture may show; `found` whether that is enough to
    act on. `heat` is an hxw float32 grid in 0..1 over the whole picture, hot where the text matches. Where points or a
    box said what is meant, `confidence` is how sure SAM is of its mask; a mask of the caller's has confidence 1. Both
    have margin 0 and no heat.

    `candidates` are the things that may be meant, best first, and `chosen` the index of the one an edit repaints; none
    where nothing was found. Where all things of a name are meant, `instances` are the indices of each of them, whose
    masks do not overlap, and `chosen` is the first; else it is empty. `low_confidence` tells that no mask fitted: the
    mask is the heat map, or a small region around the points, or the box.
    """

    target: str
    phrase: str
    point_xy: Point
    confidence: float
    margin: float
    found: bool
    heat: np.ndarray | None
    candidates: tuple[Candidate, ...] = ()
    chosen: int = 0
    instances: tuple[int, ...] = ()
    low_confidence: bool = False
    timings_s: dict[str, float] = field(default_factory=dict)

    @property
    def repainted(self) -> tuple[int, ...]:
        """The indices of the candidates that an edit repaints: all instances, or the chosen one. Empty if not found."""
        return self.instances or ((self.chosen,) if self.found and self.candidates else ())


@dataclass(frozen=True, eq=False, slots=True)
class SearchRequest:
    """Where in `image` is each of `phrases`, and nothing of `avoid`? They share one look at the picture.

    `param` is the caller's field that the phrases come from, for refusals.
    """

    image: np.ndarray
    phrases: tuple[str, ...]
    avoid: tuple[str, ...] = ()
    param: str = "target"


@dataclass(frozen=True, eq=False, slots=True)
class HeatMap:
    """CLIP's answer for one phrase; the fields are those of `Location`."""

    phrase: str
    point_xy: Point
    confidence: float
    margin: float
    found: bool
    heat: np.ndarray


@dataclass(frozen=True, eq=False, slots=True)
class Search:
    """The answer to a `SearchRequest`: a heat map for each phrase, in their order."""

    maps: tuple[HeatMap, ...]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class ScoreRequest:
    """How well does `text` describe `image`? `param` is the caller's field that the text comes from, for refusals."""

    image: np.ndarray
    text: str
    param: str = "text"


@dataclass(frozen=True, eq=False, slots=True)
class Embedding:
    """SAM's features of one picture: `features` CxGxG float32.

    `source_size` is the picture's (height, width); `model_size` the (height, width) it was resized to
    before it was padded to the encoder's square.
    """

    features: np.ndarray
    source_size: tuple[int, int]
    model_size: tuple[int, int]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Prompt:
    """One question to SAM: points (label 1 is on it, 0 is not), at most one box, and a rough mask.

    `rough` is an hxw float32 grid of logits over the whole picture, positive where the thing may be. Without
    `several` SAM gives its one mask for unambiguous prompts, with it three of different extent, as it should where
    a lone point may mean a part, the thing or the whole.
    """

    points_xy: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box_xyxy: Box | None = None
    rough: np.ndarray | None = None
    several: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class SegmentRequest:
    """What to cut out of one picture: each prompt is answered for itself."""

    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Masks:
    """SAM's K answers, prompt by prompt and, where a prompt has several, SAM's best guess first.

    `masks` are of the picture's own size; `small` Kxhxw bool the same as the decoder made them (longest side 256 with
    the published models), small enough to compare. `scores` K float32 is SAM's own guess of their IoU, `prompts`
    the index of the prompt that each answers. `spans` has the encoding of their picture too.
    """

    masks: tuple[PackedMask, ...]
    small: np.ndarray
    scores: np.ndarray
    prompts: tuple[int, ...]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Square:
    """A square piece of a picture: `image` SxSx3 uint8, and `mask` SxS bool, what is to be repainted in it."""

    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, eq=False, slots=True)
class InpaintRequest:
    """Repaint the mask of each of `squares`, which may differ in size, as `prompt`, once for each of `seeds`.

    The paintings are made together and answered together. The noise of square j for seed s is drawn from s itself for
    the first square, and from (s + 2654435769 * j) modulo 2**32 for the others: next to each other the squares would
    otherwise show the same picture. That multiplier, 2**32 over the golden ratio, keeps them more than a million apart
    for up to a thousand squares, so none is the seed of another picture of `n`.

    `strength` below 1 starts from the picture under that much noise and takes that share of the steps. `fill` says
    what that picture shows in the mask: "original" what is there, "blur" its surroundings smeared over it, "noise"
    nothing but noise; None is "original" below a strength of 1 and "noise" at 1, as in diffusers.
    `scheduler` None is the deployment's, `guidance_scale` None the model's own. The model paints squares of
    `model_px`, or of the size it was trained at; the picture is resized to that and back.
    """

    squares: tuple[Square, ...]
    prompt: str
    negative_prompt: str
    seeds: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float | None = None
    strength: float = 1.0
    fill: Fill | None = None
    scheduler: str | None = None
    model_px: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Painted:
    """The answer to an `InpaintRequest`: `images` has nxSxSx3 uint8 for each square, one picture for each seed.

    They are whole squares as the model made them; whoever pastes them takes the masked part. `guidance_scale` is the
    one they were painted with. `flagged` says for each seed whether the checkpoint's safety checker objects to any of
    its squares (never, where it has none); whoever gets them must not show those.
    """

    images: tuple[np.ndarray, ...]
    guidance_scale: float
    flagged: tuple[bool, ...]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """CLIP's cosine of picture and prompt, in -1..1: for the whole picture and for what was repainted.

    What was repainted is one square around a thing; of several squares it is their mean.
    """

    before: float
    after: float
    region_before: float
    region_after: float

    @property
    def delta(self) -> float:
        return self.after - self.before


@dataclass(frozen=True, eq=False, slots=True)
class Edit:
    """One finished picture, the seed it was painted with and how well it matches the prompt.

    A removal has no seed, and a score only where a text says what was removed: that text's. `seam` is the mean
    difference 0..255 between painting and picture in bands just outside what was repainted, where both show the same.
    """

    image: np.ndarray
    seed: int | None
    score: Score | None
    seam: float


@dataclass(frozen=True, eq=False, slots=True)
class EditResult:
    """The answer to an `EditRequest`: `edits` best first.

    `mask` is HxW bool, True where pixels were allowed to change; `changed_outside_px` counts those
    that did elsewhere (always 0, and checked). `improved` tells whether the best picture matches the prompt better
    there than the unedited one did. `filtered_seeds` are those whose pictures the safety checker holds back.
    `timings_s` has the seconds each stage took; `trace` when what went on, as the driver ("locate") and as the
    replicas ("clip.locate") saw it.
    """

    edits: tuple[Edit, ...]
    location: Location
    mask: np.ndarray
    mode: Mode
    num_inference_steps: int
    guidance_scale: float
    changed_outside_px: int
    improved: bool
    filtered_seeds: tuple[int, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    trace: tuple[Span, ...] = ()
