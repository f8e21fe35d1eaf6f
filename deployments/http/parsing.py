"""Make the fields of a route of the parts of a form. A refusal is worded by their schema, as the driver words it."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from deployments.driver.fields import declared, schemas
from deployments.driver.values import refusal
from deployments.errors import InvalidInput, UnknownField
from deployments.http.fields import TEXT_LISTS, Fields
from deployments.http.forms import FILE_NAMES, Form
from deployments.limits import Limits

_Parsed = TypeVar("_Parsed", bound=Fields)
_WHY = {
    "response_format": "pictures come in the answer itself, not as links",
    "background": "the painter knows no transparency",
    "input_fidelity": "outside the region the picture always stays as it was read",
    "moderation": "the safety checker knows no degrees",
}


def parse(model: type[_Parsed], form: Form, limits: Limits) -> _Parsed:
    """Return the texts of `form` as `model`, or raise the first refusal. A blank text counts as not sent.

    The fields that the request declares then have the right types. The driver's rules check their bounds.
    """
    properties = schema_of(model, limits)["properties"]
    _check_names(model, form, properties)
    try:
        return model.model_validate({name: text for name, text in form.texts.items() if text.strip()})
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        name = str(error["loc"][0])
        raise refusal(name, properties[name], _WHY.get(name, ""), missing=error["type"] == "missing") from None


@lru_cache(maxsize=16)  # takes milliseconds, and each request asks
def schema_of(model: type[Fields], limits: Limits) -> dict[str, Any]:
    """Return the JSON schema of `model`, with the bounds that `limits` set. It is shared, so do not change it.

    A field of a form is left out and never null, so the schema does not allow null.
    """
    schema = model.model_json_schema()
    wire = {name: field for name, field in schema["properties"].items() if name not in declared(model.REQUEST)}
    for field in wire.values():
        if "anyOf" in field:
            field.update(next(option for option in field.pop("anyOf") if option["type"] != "null"))
            field.pop("default", None)
    return schema | {"properties": _declared_schemas(model, limits) | wire}


def _declared_schemas(model: type[Fields], limits: Limits) -> dict[str, Any]:
    """Return the schemas of the fields that the request declares, with lists as the texts that a form has for them."""
    kinds = {name: field.kind for name, field in declared(model.REQUEST).items()}
    return {
        name: schema | TEXT_LISTS[kinds[name]].schema if kinds[name] in TEXT_LISTS else schema
        for name, schema in schemas(model.REQUEST, limits).items()
    }


def _check_names(model: type[Fields], form: Form, texts: dict[str, Any]) -> None:
    """Refuse parts that the route does not know, texts that should be files and files that should be texts."""
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


def _unknown(name: str, known: list[str]) -> InvalidInput:
    shown = name[:64]
    close = difflib.get_close_matches(shown, known, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return UnknownField(f"There is no field `{shown}`.{hint}", shown)
