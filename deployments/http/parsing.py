"""Make the fields of a route of what a body holds. A refusal is worded by their schema, as the driver words it."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from deployments.driver.fields import declared, schemas
from deployments.driver.values import refusal
from deployments.errors import InvalidInput, UnknownField
from deployments.http.fields import LISTS, Fields
from deployments.http.forms import Form
from deployments.limits import Limits

_Parsed = TypeVar("_Parsed", bound=Fields)
_WHY = {
    "output_format": "an edit is one still picture of pixels",
    "response_format": "pictures come in the answer itself, not as links",
    "background": "the painter knows no transparency",
    "input_fidelity": "outside the region the picture always stays as it was read",
    "moderation": "the safety checker knows no degrees",
}


def parse(model: type[_Parsed], form: Form, limits: Limits) -> _Parsed:
    """Return the values of `form` as `model`, or raise the first refusal. A blank text counts as not sent.

    The fields that the request declares then have the right types. The driver's rules check their bounds.
    """
    properties = schema_of(model, limits)["properties"]
    _check_names(model, form, properties)
    sent = {name: value for name, value in form.values.items() if not isinstance(value, str) or value.strip()}
    for name, value in sent.items():
        if not isinstance(value, str) and not _may_be(value, properties[name]):
            raise refusal(name, properties[name], _WHY.get(name, ""))
    try:
        return model.model_validate(sent)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        name = str(error["loc"][0])
        raise refusal(name, properties[name], _WHY.get(name, ""), missing=error["type"] == "missing") from None


def _may_be(value: Any, schema: dict[str, Any]) -> bool:
    """Return whether a value of JSON that is no text is of a field's type. The items of lists are not looked at."""
    if "minItems" in schema:
        return True
    if isinstance(value, bool) or schema["type"] == "boolean":
        return isinstance(value, bool) and schema["type"] == "boolean"
    return isinstance(value, (int, float)) and schema["type"] in ("integer", "number")


@lru_cache(maxsize=16)  # takes milliseconds, and each request asks
def schema_of(model: type[Fields], limits: Limits, as_json: bool = False) -> dict[str, Any]:
    """Return the JSON schema of a form's texts, or of the same values `as_json`, with the bounds that `limits` set.

    It is shared, so do not change it. A field of a form is left out and never null, so the schema does not allow null;
    in JSON null counts as left out.
    """
    schema = model.model_json_schema()
    wire = {name: field for name, field in schema["properties"].items() if name not in declared(model.REQUEST)}
    for field in wire.values():
        if "anyOf" in field:
            field.update(next(option for option in field.pop("anyOf") if option["type"] != "null"))
            field.pop("default", None)
    return schema | {"properties": _declared_schemas(model, limits, as_json) | wire}


def _declared_schemas(model: type[Fields], limits: Limits, as_json: bool) -> dict[str, Any]:
    """Return the schemas of the fields that the request declares. A form has texts for lists."""
    kinds = {name: field.kind for name, field in declared(model.REQUEST).items()}
    found = dict(schemas(model.REQUEST, limits))
    for name, kind in kinds.items():
        if kind in LISTS:
            found[name] = found[name] | ({"items": LISTS[kind].items} if as_json else LISTS[kind].in_form)
    return found


def _check_names(model: type[Fields], form: Form, known: dict[str, Any]) -> None:
    """Refuse parts that the route does not know, texts that should be files and files that should be texts."""
    for name, value in form.values.items():
        file = form.file_names.get(name)
        if file in model.FILES and value.strip():
            raise InvalidInput(f"`{name[:64]}` must be a file, not text.", file)
    files = [name for name, file in form.file_names.items() if file in model.FILES]
    for name in form.files:
        if name not in model.FILES:
            raise _unknown(name, [*files, *known])
    for name in (*form.other_files, *form.values):
        if name in known or name in files:
            continue
        whole = name.partition("[")[0]  # the OpenAI SDK sends the parts of an object one by one, as svg[model]
        if whole in model.NOT_HEEDED:
            raise UnknownField(f"`{whole}` has no effect here. {model.NOT_HEEDED[whole]}", whole)
        raise _unknown(name, [*files, *known])
    for name in form.other_files:
        raise InvalidInput(f"`{name}` must be text, not a file.", name)


def _unknown(name: str, known: list[str]) -> InvalidInput:
    shown = name[:64]
    close = difflib.get_close_matches(shown, known, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return UnknownField(f"There is no field `{shown}`.{hint}", shown)
