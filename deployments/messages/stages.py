"""What the driver and the stages of an edit say to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deployments.messages.requests import Box, PaintOptions, Point


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work that went on from `start_s` to `end_s`, in seconds of `time.time`.

    A span of a stage ("sam.encode") comes from the replica, and goes from the arrival of the call to its answer.
    """

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, eq=False, slots=True)
class PackedMask:
    """A bool mask of `shape` (height, width); `bits`, N uint8, has eight pixels to a byte, as `np.packbits` does."""

    bits: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: np.ndarray) -> PackedMask:
        """Pack `mask`, HxW bool."""
        return cls(np.packbits(mask), (mask.shape[0], mask.shape[1]))

    def unpack(self) -> np.ndarray:
        """Return the mask, HxW bool, as a new array that the caller may change."""
        height, width = self.shape
        return np.unpackbits(self.bits, count=height * width).view(bool).reshape(self.shape)


@dataclass(frozen=True, eq=False, slots=True)
class SearchRequest:
    """Ask where in `image` (HxWx3 uint8) each of `phrases` is, and not what `avoid` names. All share one look at it.

    `param` is the caller's field that the phrases come from, for refusals.
    """

    image: np.ndarray
    phrases: tuple[str, ...]
    avoid: tuple[str, ...] = ()
    param: str = "target"


@dataclass(frozen=True, eq=False, slots=True)
class HeatMap:
    """CLIP's answer for one phrase. The fields are those of `Location`; `heat` is hxw float32 in 0..1."""

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
class ViewsRequest:
    """How well does `text` describe each of `views` (HxWx3 uint8 each)? One call for all of them.

    `param` is the caller's field that the text comes from, for refusals.
    """

    views: tuple[np.ndarray, ...]
    text: str
    param: str


@dataclass(frozen=True, eq=False, slots=True)
class Embedding:
    """SAM's features of one picture: `features` is CxGxG float32.

    `source_size` is the picture's (height, width); `model_size` the (height, width) it was resized to
    before it was padded to the encoder's square. `weights` names SAM's, which alone can read it.
    """

    features: np.ndarray
    source_size: tuple[int, int]
    model_size: tuple[int, int]
    weights: str = ""
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Prompt:
    """One question to SAM: points (label 1 is on it, 0 is not), at most one box, and a rough mask.

    Points and the box are in pixels of the picture. `rough` is an hxw float32 grid of logits over the whole picture,
    positive where the thing may be. Without `several` SAM gives its one mask for unambiguous prompts. With it SAM gives
    three masks of different extent, since a lone point may mean a part of a thing, the thing, or all of a group.
    """

    points_xy: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box_xyxy: Box | None = None
    rough: np.ndarray | None = None
    several: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class SegmentRequest:
    """The prompts for one picture. SAM answers each of them by itself."""

    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Masks:
    """SAM's K answers, prompt by prompt and, where a prompt has several, SAM's best guess first.

    `masks` have the picture's own size; `small`, Kxhxw bool, are the same masks as the decoder made them (their longest
    side is 256 with the published models), small enough to compare. `scores`, K float32, are SAM's own guesses of their
    IoU, and `prompts` the index of the prompt that each answers. `spans` has the encoding of their picture too.
    """

    masks: tuple[PackedMask, ...]
    small: np.ndarray
    scores: np.ndarray
    prompts: tuple[int, ...]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Square:
    """A square piece of a picture: `image` is SxSx3 uint8, and `mask` SxS bool is what is to be repainted in it."""

    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, eq=False, slots=True)
class InpaintRequest:
    """Ask to repaint the mask of each of `squares`, which may differ in size, as `prompt`, once for each of `seeds`.

    A `prompt` of None asks for the bare ground, as a removal does: the model has its own words for that, see
    `inpaint/defaults.py`.

    The paintings are made together and answered together. The noise of square j for seed s is drawn from s itself for
    the first square, and from (s + 2654435769 * j) modulo 2**32 for the others: next to each other the squares would
    otherwise show the same picture. That multiplier, 2**32 over the golden ratio, keeps them more than a million apart
    for up to a thousand squares, so none is the seed of another picture of `n`.

    `options` say how they are painted, and must have the number of steps. The model paints squares of `model_px` pixels
    a side, or of the size it was trained at; each square is resized to that and back.
    """

    squares: tuple[Square, ...]
    prompt: str | None
    seeds: tuple[int, ...]
    options: PaintOptions
    model_px: int | None = None

    def with_options(self, **changes: Any) -> InpaintRequest:
        """Return the same request with some of the painter's options changed."""
        return replace(self, options=replace(self.options, **changes))


@dataclass(frozen=True, eq=False, slots=True)
class Preview:
    """How a square of an `InpaintRequest` would look for its first seed if it were finished after step `step`.

    `square` is the index of the square, and `image` SxSx3 uint8. All squares have previews after the same steps.
    """

    square: int
    step: int
    image: np.ndarray


@dataclass(frozen=True, eq=False, slots=True)
class Painted:
    """The answer to an `InpaintRequest`: `images` has nxSxSx3 uint8 for each square, one picture for each seed.

    They are whole squares as the model made them; only the masked part of each is to be pasted. `guidance_scale`,
    `execution` (such as "traced") and `precision` (such as "float32") are those they were painted with. `flagged` says
    for each seed whether the checkpoint's safety checker objects to any of its squares (never, where it has none). The
    pictures of such a seed must not be shown. `row_steps` is the work: the rows of the UNet that were computed for all
    paintings, over all steps. `text_tokens` counts the tokens that the model read, without the marks of start and end.
    """

    images: tuple[np.ndarray, ...]
    guidance_scale: float
    flagged: tuple[bool, ...]
    execution: str
    precision: str
    row_steps: int = 0
    text_tokens: int = 0
    spans: tuple[Span, ...] = ()
