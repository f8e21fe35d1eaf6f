"""The forms of the routes: the fields that only HTTP has, and how HTTP writes those that the requests declare.

The fields of a request are not repeated here: `form_of` makes a form of them. Only how a list is written as a text is
decided here. A field that is sent either acts or is refused by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, create_model

from deployments.driver.fields import Declared, declared
from deployments.driver.rules import MOST_PARTIAL_IMAGES
from deployments.messages import Box, BoxLike, EditRequest, Labels, LocateRequest, Point, Points, ScoreRequest
from deployments.pixels.files import Format
from deployments.pixels.mask_files import MaskMode

MODEL = "retouch"

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


@dataclass(frozen=True)
class TextList:
    """How a list is written as a text: `read` makes the list of a text, and `schema` describes such texts."""

    kind: Any
    read: Callable[[Any], Any]
    pattern: str
    example: str

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$", "examples": [self.example]}


TEXT_LISTS: dict[Any, TextList] = {
    Points: TextList(tuple[Point, ...], _points, _POINTS, "120,80; 200,90"),
    Labels: TextList(tuple[int, ...], _labels, _LABELS, "1,0"),
    BoxLike: TextList(Box, _box, _BOX, "40,30,220,160"),
}


def _required_one_of(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": list(conditions)}


class Fields(BaseModel):
    """What a route accepts. FILES has the names and schemas of its files; its texts are the fields of the model.

    A field that is sent blank counts as not sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    FILES: ClassVar[dict[str, dict[str, str]]] = {"image": IMAGE}
    REQUEST: ClassVar[type]

    def values(self) -> dict[str, Any]:
        """Return the values of the fields that the request declares, by name."""
        return {name: getattr(self, name) for name in declared(self.REQUEST)}


class LocateFields(Fields):
    """The fields of a search."""

    model_config = ConfigDict(
        json_schema_extra=_required_one_of({"required": ["target"]}, {"required": ["points"]}, {"required": ["box"]})
    )
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
    FILES = {"image": IMAGE, "mask": MASK}
    REQUEST = EditRequest

    mask_mode: MaskMode = Field(
        "auto",
        description="How the mask marks what to repaint: `alpha` where it is transparent, `luminance` where it is "
        "light, or in a file of two dark levels, such as 0 and 1, not 0. `auto` is alpha for a file that has an alpha "
        "channel, else luminance, and refuses levels or colours that number several things.",
    )
    model: str = Field(MODEL, description=f"`{MODEL}`, or leave it out.")
    size: str = Field("auto", description="`auto`, or the picture's own size as WIDTHxHEIGHT.")
    quality: Quality = Field(
        "auto",
        description="Sets the number of steps, instead of `num_inference_steps`: low is half the service's default, "
        "high is twice as many; medium, standard and auto are the default. The answer says how many were taken.",
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
    stream: bool = Field(False, description="Answer with events, `text/event-stream`, the pictures last.")
    partial_images: int = Field(
        0,
        ge=0,
        le=MOST_PARTIAL_IMAGES,
        description="With `stream`: how many previews of the first seed's picture come on the way, at most. They are "
        "evenly spread over the steps, and a classical fill has none.",
    )
    progress: bool = Field(False, description="With `stream`: events say the stage and the steps taken, too.")


_Form = TypeVar("_Form", bound=Fields)


def form_of(wire: type[_Form]) -> type[_Form]:
    """Return the form of a route: the fields that its request declares, and those that HTTP adds."""
    fields: dict[str, Any] = {name: _on_the_wire(field) for name, field in declared(wire.REQUEST).items()}
    return create_model(wire.__name__, __base__=wire, **fields)


def _on_the_wire(field: Declared) -> tuple[Any, Any]:
    """Return the type and the default of a field for pydantic, which makes values of texts but checks no bounds."""
    written = TEXT_LISTS.get(field.kind)
    kind = field.kind if written is None else Annotated[written.kind, BeforeValidator(written.read)]
    return (kind | None if field.optional else kind), ... if field.is_required else field.default


EDIT_FORM, LOCATE_FORM, SCORE_FORM = form_of(EditFields), form_of(LocateFields), form_of(ScoreFields)
