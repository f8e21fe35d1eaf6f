"""The forms of the routes: the fields that only HTTP has, and how HTTP writes those that the requests declare.

The fields of a request are not repeated here: `form_of` makes a form of them. Only how a list is written is decided
here. A field that is sent either acts or is refused by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, create_model

from deployments.driver.fields import Declared, declared
from deployments.driver.rules import MOST_PARTIAL_IMAGES
from deployments.messages import BoxLike, EditRequest, Labels, LocateRequest, Points, ScoreRequest
from deployments.pixels.files import Format
from deployments.pixels.mask_files import MaskMode

MODEL = "retouch"

Quality = Literal["auto", "low", "medium", "standard", "high", "xhigh", "max"]
Identifier = Annotated[str, StringConstraints(max_length=256)] | None

IMAGE = {"type": "string", "format": "binary", "description": "One PNG, JPEG or WebP. `image[]` will do too."}
MASK = {
    "type": "string",
    "format": "binary",
    "description": "What to repaint, instead of a search: a PNG, JPEG or WebP of the picture's size; see `mask_mode`.",
}

MARKUP = {
    "type": "string",
    "format": "binary",
    "description": "Strokes over what is meant, instead of a search: a transparent PNG or WebP of the picture's size "
    "with nothing but them. A loop is read as the box around it, any other drawing as a point in its middle.",
}

# Fields of OpenAI's contract that nothing here can heed, each with what to do instead.
NOT_HEEDED = {
    "complexity": "Nothing plans the picture here: leave it out, and ask for more steps by `quality`.",
    "frame_count": "An edit is one still picture: leave it out.",
    "frame_duration_ms": "An edit is one still picture: leave it out.",
    "svg": "An edit is made of pixels: leave it out.",
    "style": "Leave it out, and say in the `prompt` how it is to look.",
}

# A form has lists as texts: plain ones, or JSON. `forms.py` makes texts of those that came item by item.
_INTEGER = "-?[0-9]{1,9}"
_COMMA = r"\s*,\s*"
_POINTS = rf"{_INTEGER}{_COMMA}{_INTEGER}(?:[\s;,]+{_INTEGER}{_COMMA}{_INTEGER})*[\s;]*"
_LABELS = rf"[01](?:{_COMMA}[01])*"
_BOX = rf"{_INTEGER}(?:{_COMMA}{_INTEGER}){{3}}"


def _listed(value: Any, pattern: str) -> Any:
    """Return the list that a text has. What is no text is left to the driver's rules, as are the items of JSON."""
    if not isinstance(value, str):
        return value
    if value.strip().startswith("["):
        try:
            return json.loads(value)
        except RecursionError:
            raise ValueError("nested too deeply") from None
    if not re.fullmatch(pattern, value.strip()):
        raise ValueError("not such a list")
    return tuple(map(int, re.findall(_INTEGER, value)))


def _points(value: Any) -> Any:
    """Return the points as pairs. Numbers in a row are pairs too, as they are where a form has them item by item."""
    items = _listed(value, _POINTS)
    is_row = isinstance(items, (list, tuple)) and not any(isinstance(item, list) for item in items)
    if not is_row or len(items) % 2:
        return items
    return tuple(zip(items[::2], items[1::2], strict=True))


def _labels(value: Any) -> Any:
    return _listed(value, _LABELS)


def _box(value: Any) -> Any:
    return _listed(value, _BOX)


@dataclass(frozen=True)
class WrittenList:
    """How a list is written: `read` makes a list of a form's text, and leaves one of JSON as it is.

    `in_form` describes the texts, and `items` the items of the JSON list.
    """

    read: Callable[[Any], Any]
    pattern: str
    example: str
    items: dict[str, Any]

    @property
    def in_form(self) -> dict[str, Any]:
        return {"type": "string", "pattern": rf"^(?:{self.pattern}|\[.*\])$", "examples": [self.example]}


_PIXEL = {"type": "integer"}
LISTS: dict[Any, WrittenList] = {
    Points: WrittenList(
        _points, _POINTS, "120,80; 200,90", {"type": "array", "items": _PIXEL, "minItems": 2, "maxItems": 2}
    ),
    Labels: WrittenList(_labels, _LABELS, "1,0", {"type": "integer", "enum": [0, 1]}),
    BoxLike: WrittenList(_box, _BOX, "40,30,220,160", _PIXEL),
}


def _required_one_of(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": list(conditions)}


class Fields(BaseModel):
    """What a route accepts. FILES has the names and schemas of its files; its texts are the fields of the model.

    A field that is sent blank counts as not sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    FILES: ClassVar[dict[str, dict[str, str]]] = {"image": IMAGE}
    NOT_HEEDED: ClassVar[dict[str, str]] = {}
    REQUEST: ClassVar[type]

    def values(self) -> dict[str, Any]:
        """Return the values of the fields that the request declares, by name."""
        return {name: getattr(self, name) for name in declared(self.REQUEST)}


class LocateFields(Fields):
    """The fields of a search."""

    model_config = ConfigDict(
        json_schema_extra=_required_one_of(*({"required": [name]} for name in ("target", "points", "box", "markup")))
    )
    FILES = {"image": IMAGE, "markup": MARKUP}
    REQUEST = LocateRequest


class ScoreFields(Fields):
    """The fields of a comparison with a text."""

    REQUEST = ScoreRequest


class EditFields(Fields):
    """What HTTP adds to an edit: the rest of OpenAI's contract for edits, and how a mask is read."""

    model_config = ConfigDict(
        json_schema_extra=_required_one_of(
            {"required": ["prompt"]}, {"required": ["mode"], "properties": {"mode": {"const": "remove"}}}
        )
    )
    FILES = {"image": IMAGE, "mask": MASK, "markup": MARKUP}
    NOT_HEEDED = NOT_HEEDED
    REQUEST = EditRequest

    mask_mode: MaskMode = Field(
        "auto",
        description="How the mask marks what to repaint: `alpha` where it is transparent, `luminance` where it is "
        "light, or in a file of two dark levels, such as 0 and 1, not 0. `auto` is alpha for a file that has an alpha "
        "channel, else luminance, and refuses levels or colours that number several things.",
    )
    model: str = Field(
        MODEL, description=f"`{MODEL}`, or one of the names that the service takes for it, such as those of GPT Image."
    )
    size: str = Field("auto", description="`auto`, or the picture's own size as WIDTHxHEIGHT.")
    quality: Quality = Field(
        "auto",
        description="Sets the number of steps, instead of `num_inference_steps`: low is half the service's default, "
        "high, xhigh and max are two, three and four times as many, up to the service's limit; medium, standard and "
        "auto are the default. The answer says how many were taken.",
    )
    response_format: Literal["b64_json"] = "b64_json"
    output_format: Format = "png"
    output_compression: int | None = Field(
        None, ge=0, le=100, description="Quality of a JPEG or WebP, 100 (the default) being the best."
    )
    background: Literal["auto", "opaque"] = "auto"
    input_fidelity: Literal["high"] = Field("high", description="Outside the region the picture stays as it was read.")
    moderation: Literal["auto"] = "auto"
    safety_identifier: Identifier = Field(
        None, description="An opaque tag of who asks, for the service's log. The answer repeats it."
    )
    user: Identifier = Field(None, description="The older name of `safety_identifier`, which goes before it.")
    stream: bool = Field(False, description="Answer with events, `text/event-stream`, the pictures last.")
    partial_images: int = Field(
        0,
        ge=0,
        le=MOST_PARTIAL_IMAGES,
        description="With `stream`: how many previews of the first seed's picture come on the way, at most. They are "
        "evenly spread over the steps, and a classical fill has none.",
    )
    progress: bool = Field(False, description="With `stream`: events say the stage and the steps taken, too.")

    @property
    def identifier(self) -> str | None:
        """Who asks, as the request says it."""
        return self.safety_identifier or self.user


_Form = TypeVar("_Form", bound=Fields)


def form_of(wire: type[_Form]) -> type[_Form]:
    """Return the form of a route: the fields that its request declares, and those that HTTP adds."""
    fields: dict[str, Any] = {name: _on_the_wire(field) for name, field in declared(wire.REQUEST).items()}
    return create_model(wire.__name__, __base__=wire, **fields)


def _on_the_wire(field: Declared) -> tuple[Any, Any]:
    """Return the type and the default of a field for pydantic, which makes values of texts but checks no bounds.

    Lists it only reads: what may be in them is for the driver's rules.
    """
    written = LISTS.get(field.kind)
    kind = field.kind if written is None else Annotated[Any, BeforeValidator(written.read)]
    return (kind | None if field.optional else kind), ... if field.is_required else field.default


EDIT_FORM, LOCATE_FORM, SCORE_FORM = form_of(EditFields), form_of(LocateFields), form_of(ScoreFields)
