"""What the driver answers: results, and the progress of an edit that goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from deployments.messages.requests import Box, FillMethod, Mode, Point
from deployments.messages.stages import PackedMask, Span

Source = Literal["peak", "peaks", "box", "heat", "points", "around", "mask"]


Stage = Literal["locate", "segment", "inpaint", "fill", "score"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What an edit is doing: `stage`, and the UNet steps of all its pictures, `done` of `total` (0 of 0 elsewhere)."""

    stage: Stage
    done: int = 0
    total: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class PartialImage:
    """A preview of an edit that goes on: `image` (HxWx3 uint8) is how it would look if it were finished now.

    It is that of the first seed. Outside the mask every pixel is the picture's. `index` counts the previews from 0.
    """

    image: np.ndarray
    index: int


News = Progress | PartialImage  # what an edit says before its result


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a stage would answer a request now; `setting` names the one that keeps it from starting, if known."""

    ready: bool
    setting: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """Something in the picture that may be meant.

    `point_xy` is where it was found; `box_xyxy` and `area` (a share of the picture) are those of its mask. `score`
    ranks it among the candidates from the same view (a thing seen from nearby has a view of its own), and was made from
    `features`. `sam_score` is SAM's own guess of the mask's IoU (0 for a mask that SAM did not make). `source` says
    which prompt SAM answered with the mask, or that the mask is the heat map itself ("heat"), a region around points or
    the box as it is ("around"), or the caller's own ("mask").
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

    `phrase` is what CLIP was asked for. `point_xy` is the best place. `confidence`, in 0..1, says how surely something
    there matches, `margin` says the same in logits over everything else that a picture may show, and `found` whether
    that is enough to act on. `heat` is an hxw float32 grid in 0..1 over the whole picture, hot where the text matches.
    Where points or a box said what is meant, `confidence` is how sure SAM is of its mask; a mask of the caller's has
    confidence 1. Both have margin 0 and no heat.

    `candidates` are the things that may be meant, best first, and `chosen` is the index of the one that an edit
    repaints. There are none where nothing was found. Where all things of a name are meant, `instances` are the indices
    of all of them, whose masks do not overlap, and `chosen` is the first; otherwise `instances` is empty.
    `low_confidence` says that no mask fitted: the mask is the heat map, or a small region around the points, or the
    box.
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
        """The indices of the candidates that an edit repaints: all instances, or the chosen one; none if not found."""
        return self.instances or ((self.chosen,) if self.found and self.candidates else ())


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
    """One finished picture (HxWx3 uint8), the seed it was painted with and how well it matches the prompt.

    A classical fill has no seed. A removal has a score only where a text names what was removed: that text's score, so
    less is better. `seam` is the mean difference, 0..255, between painting and picture in bands just outside what was
    repainted, where both should show the same. `execution` and `precision` say how the model computed it, None for a
    classical fill: the same seed paints the same picture where both are the same.
    """

    image: np.ndarray
    seed: int | None
    score: Score | None
    seam: float
    execution: str | None = None
    precision: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class EditResult:
    """The answer to an `EditRequest`: `edits` are the pictures, best first.

    `mask` is HxW bool, True where pixels were allowed to change. `changed_outside_px` counts the pixels that changed
    elsewhere (it is always 0, and checked). `fill_method` says how a removal was filled, and is None where the prompt
    was painted. `improved` says whether the best picture matches the prompt better in the mask than the unedited one
    did, or after a removal, whether it matches what was removed less. `filtered_seeds` are the seeds whose pictures the
    safety checker holds back. `row_steps` counts the rows of the UNet that were computed over all steps, and
    `text_tokens` the tokens that the inpaint model read, both over all rounds; a classical fill has neither.
    `timings_s` has the seconds that each stage took, and `trace` the times of all work, as the driver ("locate") and as
    the replicas ("clip.locate") saw it.
    """

    edits: tuple[Edit, ...]
    location: Location
    mask: np.ndarray
    mode: Mode
    fill_method: FillMethod | None
    num_inference_steps: int
    guidance_scale: float
    changed_outside_px: int
    improved: bool
    filtered_seeds: tuple[int, ...] = ()
    row_steps: int = 0
    text_tokens: int = 0
    timings_s: dict[str, float] = field(default_factory=dict)
    trace: tuple[Span, ...] = ()
