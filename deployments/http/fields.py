"""The text fields of each route: what they may be, and what is said when they are something else.

The pydantic models hold the types and the fixed bounds; `schema_of` adds the bounds that the service's limits
set. That one schema is what /docs shows and what refusals are worded from. A field either acts or is refused with
its name.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from deployments.checks import MIN_STRENGTH
from deployments.config import Limits, SchedulerName
from deployments.errors import InvalidInput, UnknownField
from deployments.http.forms import Form
from deployments.images import Format

MODEL = "retouch"
MAX_SEED = 2**63 - 1

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Quality = Literal["auto", "low", "medium", "high", "standard"]


def _not_yet(value: bool) -> bool:
    if value:
        raise ValueError("only false is accepted")
    return value


class Fields(BaseModel):
    """What a route accepts beside the picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EditFields(Fields):
    """The fields of an edit: the OpenAI edits contract, and ours beside them."""

    prompt: Text = Field(description="What to paint.")
    target: Text | None = Field(None, description="What to find and repaint. Without it the prompt says that too.")
    negative_prompt: str = Field("", description="What the painter should avoid.")
    n: int = Field(1, ge=1, description="How many pictures; they come ranked, best first.")
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="Repeats a result. Picture k of n uses seed + k. Drawn when missing."
    )
    num_inference_steps: int | None = Field(None, ge=1, description="Steps of the painter. Goes instead of `quality`.")
    guidance_scale: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="How strictly the painter follows the prompt."
    )
    strength: float = Field(
        1.0,
        ge=MIN_STRENGTH,
        le=1,
        allow_inf_nan=False,
        description="Share of the steps that are taken. Below 1 the painter starts from the picture under that much "
        "noise, so that less of it changes.",
    )
    scheduler: SchedulerName | None = Field(
        None, description="Which scheduler takes the steps. Without it the service's own."
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
    input_fidelity: Literal["high"] = Field("high", description="What lies outside the region is kept to the byte.")
    moderation: Literal["auto"] = "auto"
    user: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        None, description="An opaque tag for the service's log; has no effect on the answer."
    )
    stream: Annotated[bool, AfterValidator(_not_yet)] = Field(False, json_schema_extra={"const": False})
    partial_images: int = Field(0, ge=0, le=0, json_schema_extra={"const": 0})


class LocateFields(Fields):
    """What to look for."""

    target: Text = Field(description="What to find.")


class ScoreFields(Fields):
    """What to compare the picture with."""

    text: Text = Field(description="What the picture might show.")


_Parsed = TypeVar("_Parsed", bound=Fields)
_WHY = {
    "response_format": "pictures come in the answer itself, not as links",
    "background": "the painter knows no transparency",
    "input_fidelity": "what lies outside the region is always kept to the byte",
    "moderation": "nothing is moderated here",
    "stream": "answers are not streamed yet",
    "partial_images": "answers are not streamed yet",
}


def parse(model: type[_Parsed], form: Form, limits: Limits) -> _Parsed:
    """The texts of `form` as `model`, or the first refusal."""
    properties = schema_of(model, limits)["properties"]
    for name in form.other_files:
        if name in properties:
            raise InvalidInput(f"`{name}` must be text, not a file.", name)
    for name in (*form.other_files, *form.texts):
        if name not in properties:
            raise _unknown(name, list(properties))
    try:
        fields = model.model_validate(form.texts)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        name = str(error["loc"][0])
        raise _refusal(name, properties[name], missing=error["type"] == "missing") from None
    for name, value in fields:
        if value is not None and _is_over(value, properties[name]):
            raise _refusal(name, properties[name])
    return fields


def check_edit(fields: EditFields) -> None:
    """Refuses fields that are right by themselves and wrong together."""
    if fields.seed is not None and fields.seed + fields.n - 1 > MAX_SEED:
        raise InvalidInput(f"`seed` must be at most {MAX_SEED} for the last of `n` pictures too.", "seed")
    if fields.num_inference_steps is not None and fields.quality != "auto":
        raise InvalidInput("`quality` sets the number of steps: send it or `num_inference_steps`.", "quality")
    if fields.output_format == "png" and fields.output_compression not in (None, 100):
        raise InvalidInput(
            "`output_compression` must be 100 for a png, which loses nothing: choose jpeg or webp.",
            "output_compression",
        )


@lru_cache(maxsize=16)  # takes milliseconds, and each request asks
def schema_of(model: type[Fields], limits: Limits) -> dict[str, Any]:
    """The JSON schema of `model` with the bounds that `limits` set; not to be written to.

    Form fields are left out, never null, so neither is null in the schema.
    """
    schema = model.model_json_schema()
    ceilings = _ceilings(limits)
    for name, field in schema["properties"].items():
        if "anyOf" in field:
            field.update(next(option for option in field.pop("anyOf") if option["type"] != "null"))
            field.pop("default", None)
        field.update(ceilings.get(name, {}))
    return schema


def _ceilings(limits: Limits) -> dict[str, dict[str, float]]:
    text: dict[str, float] = {"maxLength": limits.max_prompt_chars}
    return {
        "prompt": text,
        "target": text,
        "negative_prompt": text,
        "text": text,
        "n": {"maximum": limits.max_images},
        "num_inference_steps": {"maximum": limits.max_inference_steps},
        "guidance_scale": {"maximum": limits.max_guidance_scale},
    }


def _is_over(value: Any, field: dict[str, Any]) -> bool:
    if isinstance(value, str):
        return bool(len(value) > field.get("maxLength", len(value)))
    return bool(value > field.get("maximum", value))


def _unknown(name: str, known: list[str]) -> InvalidInput:
    if name == "mask":
        return InvalidInput("`mask` is not accepted: say in `target` what to repaint.", "mask")
    shown = name[:64]
    close = difflib.get_close_matches(shown, known, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return UnknownField(f"There is no field `{shown}`.{hint}", shown)


def _refusal(name: str, field: dict[str, Any], missing: bool = False) -> InvalidInput:
    why = f": {_WHY[name]}" if name in _WHY else ""
    verb = "is required and must be" if missing else "must be"
    return InvalidInput(f"`{name}` {verb} {_wanted(field)}{why}.", name)


def _wanted(field: dict[str, Any]) -> str:
    """A field's schema in words: "an integer from 1 to 8"."""
    if "const" in field:
        return repr(field["const"]).lower()
    if "enum" in field:
        return "one of " + ", ".join(field["enum"])
    if field["type"] == "string":
        return f"text of {field.get('minLength', 0)} to {field['maxLength']} characters"
    kind = "an integer" if field["type"] == "integer" else "a number"
    return f"{kind} from {_number(field['minimum'])} to {_number(field['maximum'])}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
