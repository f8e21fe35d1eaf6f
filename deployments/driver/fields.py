"""The declared fields of a request: each as a JSON schema with the bounds that are in force, and as words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from deployments.limits import Limits
from deployments.messages import About, BoxLike, Labels, Points

_ITEMS: dict[Any, str] = {Points: "x,y pairs", Labels: "labels 1 or 0", BoxLike: "integers"}


@dataclass(frozen=True)
class Declared:
    """A field as it is declared. `kind` is its type without None, `optional` says whether None is a value of it."""

    kind: Any
    optional: bool
    default: Any
    about: About

    @property
    def is_required(self) -> bool:
        return self.default is dataclasses.MISSING


@cache
def declared(request: type) -> Mapping[str, Declared]:
    """Return the fields of a class of requests that have an `About`, its own before those that it inherits."""
    hints = get_type_hints(request, include_extras=True)
    inherited = {each.name for base in request.__bases__ if base is not object for each in dataclasses.fields(base)}
    found = {
        field.name: _declared(*get_args(hints[field.name]), default=field.default)
        for field in sorted(dataclasses.fields(request), key=lambda field: field.name in inherited)
        if any(isinstance(extra, About) for extra in getattr(hints[field.name], "__metadata__", ()))
    }
    return found


@lru_cache(maxsize=16)
def schemas(request: type, limits: Limits) -> Mapping[str, dict[str, Any]]:
    """Return each declared field's JSON schema, with the bounds that `limits` set. Do not change it: it is shared."""
    return {name: _schema(field, limits) for name, field in declared(request).items()}


def wanted(schema: Mapping[str, Any]) -> str:
    """Return a field's schema in words, such as "an integer from 1 to 8"."""
    if "const" in schema:
        return repr(schema["const"]).lower()
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "minItems" in schema:
        least, most = schema["minItems"], schema["maxItems"]
        count = str(most) if least == most else f"{least} to {most}"
        example = f", such as `{schema['examples'][0]}`" if "examples" in schema else ""
        return f"{count} {schema['format']}{example}"
    if schema["type"] == "boolean":
        return "true or false"
    if schema["type"] == "string" and "maxLength" not in schema:
        return "text"
    if schema["type"] == "string":
        return f"text of {schema.get('minLength', 0)} to {schema['maxLength']} characters"
    kind = "an integer" if schema["type"] == "integer" else "a number"
    return f"{kind} from {_number(schema['minimum'])} to {_number(schema['maximum'])}"


def _declared(hint: Any, about: About, *, default: Any) -> Declared:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [kind for kind in options if kind is not NoneType]
    return Declared(reduce(or_, kinds), len(kinds) < len(options), default, about)


def _schema(field: Declared, limits: Limits) -> dict[str, Any]:
    about = field.about
    unit = f" In {about.unit}." if about.unit else ""
    schema: dict[str, Any] = {**_type(field, limits), "description": about.sentence + unit}
    if not field.is_required and field.default not in (None, ()):
        schema["default"] = field.default
    return schema


def _type(field: Declared, limits: Limits) -> dict[str, Any]:
    least, most = field.about.least, field.about.most
    if isinstance(most, str):
        most = getattr(limits, most)
    if field.kind in _ITEMS:
        return {"type": "array", "format": _ITEMS[field.kind], "minItems": least, "maxItems": most}
    if get_origin(field.kind) is Literal:
        return {"type": "string", "enum": list(get_args(field.kind))}
    if field.kind is bool:
        return {"type": "boolean"}
    if field.kind is str:
        return {"type": "string", "minLength": int(least or 0), "maxLength": most}
    return {"type": "integer" if field.kind is int else "number", "minimum": least, "maximum": most}


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
