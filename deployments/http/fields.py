"""The fields of each route: what they may be.

The pydantic models hold the types and the fixed bounds; `parsing.schema_of` adds the bounds that the service's limits
set. That one schema is what /docs shows and what refusals are worded from. A field either acts or is refused with
its name.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from deployments.config import SchedulerName
from deployments.driver.jobs import MIN_STRENGTH, MOST_CANDIDATES
from deployments.messages import Box, Fill, MaskShape, Mode, Point
from deployments.pixels.files import Format
from deployments.pixels.mask_files import MaskMode

MODEL = "retouch"

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
MaybeText = Annotated[str, StringConstraints(strip_whitespace=True)]
Quality = Literal["auto", "low", "medium", "high", "standard"]

IMAGE = {"type": "string", "format": "binary", "description": "One PNG, JPEG or WebP. `image[]` will do too."}
MASK = {
    "type": "string",
    "format": "binary",
    "description": "What to repaint, instead of a search: a PNG, JPEG or WebP of the picture's size; see `mask_mode`.",
}

# Lists are written as texts; `forms.py` makes texts of those that came item by item.
_INTEGER = "-?[0-9]{1,9}"
_COMMA = r"\s*,\s*"
_POINTS = rf"{_INTEGER}{_COMMA}{_INTEGER}(?:[\s;,]+{_INTEGER}{_COMMA}{_INTEGER})*[\s;]*"
_LABELS = rf"[01](?:{_COMMA}[01])*"
_BOX = rf"{_INTEGER}(?:{_COMMA}{_INTEGER}){{3}}"


def _integers(text: Any, pattern: str) -> tuple[int, ...]:
    if not isinstance(text, str) or not re.fullmatch(pattern, text.strip()):
        raise ValueError("not such a list")
    return tuple(map(int, re.findall(_INTEGER, text)))


def _points(text: Any) -> tuple[Point, ...]:
    numbers = _integers(text, _POINTS)
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _labels(text: Any) -> tuple[int, ...]:
    return _integers(text, _LABELS)


def _box(text: Any) -> tuple[int, ...]:
    return _integers(text, _BOX)


def _list_schema(pattern: str, items: str, example: str, least: int = 1, most: int | None = None) -> WithJsonSchema:
    """Of a list in a text. `format` says what its items are, and `minItems` and `maxItems` how many there may be."""
    counts = {"minItems": least} | ({} if most is None else {"maxItems": most})
    return WithJsonSchema(
        {"type": "string", "pattern": f"^{pattern}$", "format": items, "examples": [example], **counts}
    )


Points = Annotated[tuple[Point, ...], BeforeValidator(_points), _list_schema(_POINTS, "x,y pairs", "120,80; 200,90")]
Labels = Annotated[tuple[int, ...], BeforeValidator(_labels), _list_schema(_LABELS, "labels 1 or 0", "1,0")]
TextBox = Annotated[Box, BeforeValidator(_box), _list_schema(_BOX, "integers", "40,30,220,160", 4, 4)]


def _not_yet(value: bool) -> bool:
    if value:
        raise ValueError("only false is accepted")
    return value


def _required_one_of(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": list(conditions)}


class Fields(BaseModel):
    """What a route accepts: the names and schemas of its files, and as fields of the model its texts.

    A field that is sent blank counts as not sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    FILES: ClassVar[dict[str, dict[str, str]]] = {"image": IMAGE}


class SearchFields(Fields):
    """What is meant: something to find by words, or by pointing at it."""

    target: Text | None = Field(
        None,
        description="What to find. An edit without it finds what the prompt names. Beside points, a box or a mask it "
        "has to name what lies there.",
    )
    avoid: MaybeText = Field("", description="What is not meant, however much it looks like the target.")
    all: bool | None = Field(
        None,
        description="Whether every one of the things that the target names is meant (true), or only one (false). "
        "Without it the words say: `each lemon`, `both balloons` and `the dogs` mean all of them.",
    )
    points: Points | None = Field(
        None, description="Pixels of the upright picture, as x,y. They say what is meant, instead of a search by words."
    )
    labels: Labels | None = Field(
        None, description="For each of `points`: 1 is on it, 0 is not. Without them all are on it."
    )
    box: TextBox | None = Field(
        None, description="left,top,right,bottom around what is meant, right and bottom exclusive; as with `points`."
    )


class LocateFields(SearchFields):
    """The fields of a search."""

    model_config = ConfigDict(
        json_schema_extra=_required_one_of({"required": ["target"]}, {"required": ["points"]}, {"required": ["box"]})
    )


class EditFields(SearchFields):
    """The fields of an edit: the OpenAI edits contract, and ours beside them."""

    model_config = ConfigDict(
        json_schema_extra=_required_one_of(
            {"required": ["prompt"]}, {"required": ["mode"], "properties": {"mode": {"const": "remove"}}}
        )
    )
    FILES = {"image": IMAGE, "mask": MASK}

    mask_mode: MaskMode = Field(
        "auto",
        description="How the mask marks what to repaint: `alpha` where it is transparent, `luminance` where it is "
        "light, or in a file of two dark levels, such as 0 and 1, not 0. `auto` is alpha for a file that has an alpha "
        "channel, else luminance, and refuses levels or colours that number several things.",
    )
    candidate: int | None = Field(
        None,
        ge=0,
        le=MOST_CANDIDATES - 1,
        description="Another of the candidates that /v1/locate lists; the best is 0.",
    )
    mode: Mode = Field(
        "replace",
        description="`remove` fills the region from its surroundings by a classical method. It paints nothing, so it "
        "takes no prompt and none of the painter's fields.",
    )
    prompt: MaybeText = Field("", description="What to paint. Required unless `mode` is remove.")
    negative_prompt: str = Field(
        "", description="What the painter should avoid. Acts only where `guidance_scale` is above 1."
    )
    mask_shape: MaskShape | None = Field(
        None,
        description="What is repainted: what was found as it is, its convex hull, or its box. A `mask` is meant as it "
        "is, unless this says otherwise.",
    )
    dilation: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="How far it is grown, as a share of its longest side."
    )
    n: int = Field(1, ge=1, description="How many pictures; they come ranked, best first.")
    seed: int | None = Field(
        None, ge=0, description="Repeats a result. Picture k of n uses seed + k. Drawn when missing."
    )
    num_inference_steps: int | None = Field(None, ge=1, description="Steps of the painter. Goes instead of `quality`.")
    guidance_scale: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="How strictly the painter follows the prompt. Without it the model's own value.",
    )
    strength: float = Field(
        1.0,
        ge=MIN_STRENGTH,
        le=1,
        allow_inf_nan=False,
        description="Share of the steps that are taken. Below 1 the painter starts from the picture under that much "
        "noise, so that less of it changes.",
    )
    fill: Fill | None = Field(
        None,
        description="What the painter starts from: `original` what is there, `blur` its surroundings smeared over it, "
        "`noise` nothing. Without it original below a strength of 1, else noise.",
    )
    scheduler: SchedulerName | None = Field(
        None, description="Which scheduler takes the steps. Without it the service's own."
    )
    min_score: float | None = Field(
        None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="Others are painted, as often as the service allows, while the best region scores below this.",
    )
    model: str = Field(MODEL, description=f"`{MODEL}`, or leave it out.")
    size: str = Field("auto", description="`auto`, or the picture's own size as WIDTHxHEIGHT.")
    quality: Quality = Field(
        "auto",
        description="Sets the number of steps: low is half the service's default, high is twice as many; "
        "medium, standard and auto are the default. The answer tells the steps taken.",
    )
    response_format: Literal["b64_json"] = "b64_json"
    output_format: Format = "png"
    output_compression: int | None = Field(
        None, ge=0, le=100, description="Quality of a JPEG or WebP, 100 (the default) being the best."
    )
    background: Literal["auto", "opaque"] = "auto"
    input_fidelity: Literal["high"] = Field("high", description="Outside the region the picture stays as it was read.")
    moderation: Literal["auto"] = "auto"
    user: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        None, description="An opaque tag for the service's log; has no effect on the answer."
    )
    stream: Annotated[bool, AfterValidator(_not_yet)] = Field(False, json_schema_extra={"const": False})
    partial_images: int = Field(0, ge=0, le=0, json_schema_extra={"const": 0})


class ScoreFields(Fields):
    """What to compare the picture with."""

    text: Text = Field(description="What the picture might show.")
