"""The requests to the driver. Each field of a request is declared here and nowhere else.

A declaration is the field's type, its default and an `About`. The form of the HTTP face and its documentation are made
from it, and the driver's rules check it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import numpy as np

Point = tuple[int, int]
Box = tuple[int, int, int, int]
# What callers may write for them. Lists, tuples and arrays are alike; one point may be a bare pair, its label a number.
Points = Sequence[Sequence[int]] | Sequence[int] | np.ndarray
Labels = Sequence[int] | int | np.ndarray
BoxLike = Sequence[int] | np.ndarray
Mode = Literal["replace", "remove"]
FillMethod = Literal["classical", "painter"]
MaskShape = Literal["silhouette", "hull", "box"]
Fill = Literal["noise", "original", "blur"]
Scheduler = Literal["ddim", "pndm", "euler", "euler_ancestral", "dpmpp_2m", "unipc", "lcm"]

MIN_STRENGTH = 0.01
MOST_CANDIDATES = 32


@dataclass(frozen=True, slots=True)
class About:
    """What a field of a request does, in sentences, and which values it may have.

    `least` and `most` bound a number, the characters of a text or the items of a list; `unit` is the value's unit. A
    `most` that the operator sets is the name of an attribute of `limits.Limits`.
    """

    sentence: str
    unit: str = ""
    least: float | None = None
    most: float | str | None = None


_TEXT, _POINTS = "max_prompt_chars", "max_points"
_Target = Annotated[
    str | None,
    About(
        "What to find. An edit without it finds what the prompt names. Beside points, a box or a mask it has to name "
        "what lies there.",
        least=1,
        most=_TEXT,
    ),
]
_Avoid = Annotated[
    str,
    About(
        "What must not be taken for the target, however much it looks like it: names, separated by commas.", most=_TEXT
    ),
]
_All = Annotated[
    bool | None,
    About(
        "Whether every one of the things that the target names is meant (true), or only one (false). Without it the "
        "words decide: `each lemon`, `both balloons` and `the dogs` mean all of them."
    ),
]
_Points = Annotated[
    Points,
    About(
        "Points that say what is meant, instead of a search by words.",
        "pixels of the upright picture, as x,y",
        1,
        _POINTS,
    ),
]
_Labels = Annotated[
    Labels,
    About("A label for each of `points`: 1 is on it, 0 is not. Without labels all are on it.", least=1, most=_POINTS),
]
_Box = Annotated[
    BoxLike | None,
    About(
        "left,top,right,bottom around what is meant, instead of a search by words; right and bottom are exclusive.",
        "pixels of the upright picture",
        4,
        4,
    ),
]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PaintOptions:
    """How the inpaint model paints: what it needs beside the picture, the text and the seeds.

    These options go as one value from the request through the driver to the engine. An option of None is left to the
    service: the number of steps to the driver's settings, the scheduler to the deployment's settings, the guidance
    scale to the model itself. A strength of None is 1.

    With a `strength` below 1 the model starts from the picture under that much noise and takes that share of the steps.
    `fill` says what that picture shows in the mask: "original" what is there, "blur" its surroundings smeared over it,
    "noise" nothing but noise. None is "original" below a strength of 1 and "noise" at 1, as in diffusers.
    """

    negative_prompt: Annotated[
        str, About("What the painter should avoid. Acts only where `guidance_scale` is above 1.", most=_TEXT)
    ] = ""
    num_inference_steps: Annotated[
        int | None, About("How many steps the painter takes.", least=1, most="max_inference_steps")
    ] = None
    guidance_scale: Annotated[
        float | None,
        About(
            "How strictly the painter follows the prompt. Without it the model's own value.",
            least=0,
            most="max_guidance_scale",
        ),
    ] = None
    strength: Annotated[
        float | None,
        About(
            "Share of the steps that are taken. Below 1 the painter starts from the picture under that much noise, so "
            "that less of it changes. Without it 1.",
            least=MIN_STRENGTH,
            most=1,
        ),
    ] = None
    fill: Annotated[
        Fill | None,
        About(
            "What the painter starts from: `original` what is there, `blur` its surroundings smeared over it, `noise` "
            "nothing. Without it original below a strength of 1, else noise."
        ),
    ] = None
    scheduler: Annotated[Scheduler | None, About("Which scheduler takes the steps. Without it the service's own.")] = (
        None
    )


@dataclass(frozen=True, eq=False, slots=True)
class EditRequest(PaintOptions):
    """One edit: find `target` in `image` (HxWx3 uint8), repaint it as `prompt`.

    What is repainted: a `target` of None means that the prompt itself says what to find. Nothing that `avoid` names is
    taken for it. Points (label 1 is on it, 0 is not; without `labels` all are on it) or a `box` replace the search by
    CLIP. A `mask` (HxW bool, True = repaint) replaces everything up to the painting. A `target` beside them has to name
    what lies there. Points, labels and a box may be lists, tuples or arrays; one point may be a bare pair, and its
    label a bare number. `all` True repaints every one of the things that the target names, False only one; None goes by
    its words ("each lemon", "the dogs"). `candidate` takes another of the candidates that `locate` lists. `mask_shape`
    says what the painter is offered: the mask as it is, its convex hull, or its box; `dilation`, a share of the
    region's longest side, says how far that is grown.

    How it is repainted: `mode` "remove" without a prompt, or a prompt like "remove the dog", fills the region as if
    nothing had stood there. `fill_method` says how a removal does that: "classical" closes the region from its
    surroundings without a model, and takes no `n`, no `seed` and none of the `PaintOptions`; with "painter" the inpaint
    model paints the ground, and they act; None is the service's setting. A missing `seed` is drawn and reported. With
    `n` > 1, picture k has the seed `seed + k`. While the best picture's region scores below `min_score`, others are
    painted from further seeds, as often as the service allows. A removal takes no `min_score`: the less a picture
    matches what was removed, the better it is.
    """

    image: np.ndarray
    prompt: Annotated[str, About("What to paint. Required unless `mode` is remove.", most=_TEXT)] = ""
    target: _Target = None
    avoid: _Avoid = ""
    all: _All = None
    mode: Annotated[
        Mode,
        About(
            "`remove` fills the region as if nothing had stood there, so it takes no prompt; `fill_method` says how it "
            "is filled."
        ),
    ] = "replace"
    fill_method: Annotated[
        FillMethod | None,
        About(
            "How a removal fills the region: `classical` from its surroundings, without a model and without the "
            "painter's fields; `painter` lets the painter continue the ground, and its fields act. Only for a removal. "
            "Without it the service's own setting."
        ),
    ] = None
    points: _Points = ()
    labels: _Labels = ()
    box: _Box = None
    mask: np.ndarray | None = None
    candidate: Annotated[
        int | None,
        About("Another of the candidates that /v1/locate lists; the best is 0.", least=0, most=MOST_CANDIDATES - 1),
    ] = None
    mask_shape: Annotated[
        MaskShape | None,
        About(
            "What is repainted: what was found as it is, its convex hull, or its box. A `mask` is repainted as it is, "
            "unless this says otherwise."
        ),
    ] = None
    dilation: Annotated[
        float | None, About("How far the region is grown.", "a share of its longest side", least=0, most=1)
    ] = None
    n: Annotated[int, About("How many pictures; they come ranked, best first.", least=1, most="max_images")] = 1
    seed: Annotated[
        int | None,
        About(
            "Repeats a result. Picture k of n uses seed + k. Without it the service draws one.",
            least=0,
            most="max_seed",
        ),
    ] = None
    min_score: Annotated[
        float | None,
        About(
            "While the best region scores below this, others are painted, as often as the service allows. Not for a "
            "removal, whose score is the better the less it is.",
            "the cosine of CLIP",
            least=-1,
            most=1,
        ),
    ] = None

    @property
    def options(self) -> PaintOptions:
        """The painter's options alone."""
        return PaintOptions(**{option.name: getattr(self, option.name) for option in fields(PaintOptions)})


@dataclass(frozen=True, eq=False, slots=True)
class LocateRequest:
    """Ask where in `image` (HxWx3 uint8) the thing is that `target` names, or that points or a box mean.

    The fields are those of `EditRequest`.
    """

    image: np.ndarray
    target: _Target = None
    avoid: _Avoid = ""
    all: _All = None
    points: _Points = ()
    labels: _Labels = ()
    box: _Box = None


@dataclass(frozen=True, eq=False, slots=True)
class ScoreRequest:
    """Ask how well `text` describes `image` (HxWx3 uint8). `param` is the caller's field that the text comes from."""

    image: np.ndarray
    text: Annotated[str, About("What the picture might show.", least=1, most=_TEXT)]
    param: str = "text"
