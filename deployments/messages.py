"""The values that cross processes: frozen, numpy and plain Python only.

Pictures are HxWx3 uint8 RGB unless said otherwise. Points are (x, y) and boxes (left, top, right,
bottom), in pixels of the picture they come with, origin at its top left corner. Arrays that arrive from
another process are read-only: copy before writing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Point = tuple[int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that went on from `start_s` to `end_s`, in seconds of `time.time`.

    A stage's own name ("sam.encode") is told by the replica, from the arrival of the call to its answer.
    """

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, eq=False, slots=True)
class EditRequest:
    """One edit: find `target` in `image`, repaint it as `prompt`.

    `target` None means that the prompt itself says what to find. Numbers left None take the service's
    defaults; a missing `seed` is drawn and reported. With `n` > 1, image k uses `seed + k`. `strength` and
    `scheduler`: see `InpaintRequest`.
    """

    image: np.ndarray
    prompt: str
    target: str | None = None
    negative_prompt: str = ""
    n: int = 1
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    strength: float = 1.0
    scheduler: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class LocateRequest:
    """Where in `image` is what `target` names?"""

    image: np.ndarray
    target: str


@dataclass(frozen=True, eq=False, slots=True)
class Location:
    """The answer to a `LocateRequest`.

    `point_xy` is the best place; `confidence` in 0..1 how surely something there matches `target`;
    `found` whether that is enough to act on. `heat` is an hxw float32 grid in 0..1 over the whole
    picture, hot where the text matches.
    """

    target: str
    point_xy: Point
    confidence: float
    found: bool
    heat: np.ndarray
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class ScoreRequest:
    """How well does `text` describe `image`?"""

    image: np.ndarray
    text: str


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
class SegmentRequest:
    """Points and at most one box that say what to cut out; label 1 is on it, 0 is not."""

    points_xy: tuple[Point, ...]
    labels: tuple[int, ...]
    box_xyxy: Box | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Masks:
    """SAM's candidates: `masks` KxHxW bool, `scores` K float32 (its own guess of their IoU).

    `spans` has the encoding of their picture too.
    """

    masks: np.ndarray
    scores: np.ndarray
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class InpaintRequest:
    """Repaint `mask` (HxW bool) of the square `image` as `prompt`, once for each of `seeds`.

    `strength` below 1 starts from the picture under that much noise and takes that share of the steps.
    `scheduler` None is the deployment's. The model paints squares of `model_px`, or of the size it was trained
    at; the picture is resized to that and back.
    """

    image: np.ndarray
    mask: np.ndarray
    prompt: str
    negative_prompt: str
    seeds: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float
    strength: float = 1.0
    scheduler: str | None = None
    model_px: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Painted:
    """The answer to an `InpaintRequest`: `images` nxHxWx3 uint8, one for each seed, of the request's own size.

    They are whole pictures as the model made them; whoever pastes them takes the masked part.
    """

    images: np.ndarray
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """CLIP's cosine of picture and prompt, in -1..1: for the whole picture and for the repainted region."""

    before: float
    after: float
    region_before: float
    region_after: float

    @property
    def delta(self) -> float:
        return self.after - self.before


@dataclass(frozen=True, eq=False, slots=True)
class Edit:
    """One finished picture, the seed it was painted with and how well it matches the prompt."""

    image: np.ndarray
    seed: int
    score: Score


@dataclass(frozen=True, eq=False, slots=True)
class EditResult:
    """The answer to an `EditRequest`: `edits` best first.

    `mask` is HxW bool, True where pixels were allowed to change; `changed_outside_px` counts those
    that did elsewhere (always 0, and checked). `timings_s` has the seconds each stage took; `trace` when what
    went on, as the driver ("locate") and as the replicas ("clip.locate") saw it.
    """

    edits: tuple[Edit, ...]
    location: Location
    mask: np.ndarray
    num_inference_steps: int
    guidance_scale: float
    changed_outside_px: int
    timings_s: dict[str, float] = field(default_factory=dict)
    trace: tuple[Span, ...] = ()
