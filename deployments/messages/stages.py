"""What the driver and the stages of an edit say to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deployments.messages.requests import Box, PaintOptions, Point


@dataclass(frozen=True, slots=True)
class Span:
    """Something that went on from `start_s` to `end_s`, in seconds of `time.time`.

    A stage's own name ("sam.encode") is told by the replica, from the arrival of the call to its answer.
    """

    name: str
    start_s: float
    end_s: float


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

    `options` say how; of them the number of steps must be there. The model paints squares of `model_px`, or of the size
    it was trained at; the picture is resized to that and back.
    """

    squares: tuple[Square, ...]
    prompt: str
    seeds: tuple[int, ...]
    options: PaintOptions
    model_px: int | None = None

    def with_options(self, **changes: Any) -> InpaintRequest:
        """Return the same request with some of the painter's options changed."""
        return replace(self, options=replace(self.options, **changes))


@dataclass(frozen=True, eq=False, slots=True)
class Painted:
    """The answer to an `InpaintRequest`: `images` has nxSxSx3 uint8 for each square, one picture for each seed.

    They are whole squares as the model made them; whoever pastes them takes the masked part. `guidance_scale`,
    `execution` (such as "traced") and `precision` (such as "float32") are those they were painted with. `flagged` says
    for each seed whether the checkpoint's safety checker objects to any of its squares (never, where it has none);
    whoever gets them must not show those.
    """

    images: tuple[np.ndarray, ...]
    guidance_scale: float
    flagged: tuple[bool, ...]
    execution: str
    precision: str
    spans: tuple[Span, ...] = ()
