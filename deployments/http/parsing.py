"""From the parts of a form to the fields of a route. A refusal is worded from their schema."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from deployments.config import Limits
from deployments.driver.jobs import SEED_LIMIT
from deployments.errors import InvalidInput, UnknownField
from deployments.http.fields import Fields
from deployments.http.forms import FILE_NAMES, Form

_Parsed = TypeVar("_Parsed", bound=Fields)
_WHY = {
    "response_format": "pictures come in the answer itself, not as links",
    "background": "the painter knows no transparency",
    "input_fidelity": "outside the region the picture always stays as it was read",
    "moderation": "the safety checker knows no degrees",
    "stream": "answers are not streamed yet",
    "partial_images": "answers are not streamed yet",
}


def parse(model: type[_Parsed], form: Form, limits: Limits) -> _Parsed:
    """The texts of `form` as `model`, or the first refusal. A blank one counts as not sent."""
    properties = schema_of(model, limits)["properties"]
    _check_names(model, form, properties)
    try:
        fields = model.model_validate({name: text for name, text in form.texts.items() if text.strip()})
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        name = str(error["loc"][0])
        raise _refusal(name, properties[name], missing=error["type"] == "missing") from None
    for name, value in fields:
        if value is not None and _is_over(value, properties[name]):
            raise _refusal(name, properties[name])
    return fields


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
    points: dict[str, float] = {"maxItems": limits.max_points}
    return {
        "prompt": text,
        "target": text,
        "avoid": text,
        "negative_prompt": text,
        "text": text,
        "points": points,
        "labels": points,
        "n": {"maximum": limits.max_images},
        "seed": {"maximum": SEED_LIMIT - limits.max_images},
        "num_inference_steps": {"maximum": limits.max_inference_steps},
        "guidance_scale": {"maximum": limits.max_guidance_scale},
    }


def _check_names(model: type[Fields], form: Form, texts: dict[str, Any]) -> None:
    """Refuses parts that the route does not know, texts that should be files and files that should be texts."""
    for name in form.texts:
        file = FILE_NAMES.get(name)
        if file in model.FILES and form.texts[name].strip():
            raise InvalidInput(f"`{name[:64]}` must be a file, not text.", file)
    for name in (*form.files, *form.other_files, *form.texts):
        if name in texts:
            continue
        if FILE_NAMES.get(name) not in model.FILES:
            raise _unknown(name, [*model.FILES, *texts])
    for name in form.other_files:
        raise InvalidInput(f"`{name}` must be text, not a file.", name)


def _is_over(value: Any, field: dict[str, Any]) -> bool:
    if isinstance(value, str):
        return bool(len(value) > field.get("maxLength", len(value)))
    if isinstance(value, tuple):
        return bool(len(value) > field.get("maxItems", len(value)))
    return bool(value > field.get("maximum", value))


def _unknown(name: str, known: list[str]) -> InvalidInput:
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
    if "minItems" in field:
        least, most = field["minItems"], field["maxItems"]
        count = str(most) if least == most else f"{least} to {most}"
        return f"{count} {field['format']}, such as `{field['examples'][0]}`"
    if field["type"] == "boolean":
        return "true or false"
    if field["type"] == "string":
        return f"text of {field.get('minLength', 0)} to {field['maxLength']} characters"
    kind = "an integer" if field["type"] == "integer" else "a number"
    return f"{kind} from {_number(field['minimum'])} to {_number(field['maximum'])}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
