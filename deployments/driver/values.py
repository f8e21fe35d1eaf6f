"""Make plain values of a request's fields, however a caller wrote them. InvalidInput names a field that has none.

Callers in Python may write lists, tuples and arrays for points, labels and a box, and numbers of numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from deployments.driver.fields import declared, schemas, wanted
from deployments.errors import InvalidInput
from deployments.language.emphasis import emphasis_in
from deployments.limits import Limits
from deployments.messages import BoxLike, EditRequest, Labels, LocateRequest, Points, ScoreRequest

Request = TypeVar("Request", EditRequest, LocateRequest, ScoreRequest)
Schema = Mapping[str, Any]
_BEYOND = 10**9  # no picture has that many pixels on a side


def with_plain_values(request: Request, limits: Limits) -> Request:
    """Return the request with a plain Python value in each declared field: texts without blanks around them, tuples.

    Raises InvalidInput for a value that is not of the field's type or not within its bounds. Whether points and a box
    lie in the picture is not checked here.
    """
    kind: type = type(request)
    allowed = schemas(kind, limits)
    values: dict[str, Any] = {}
    for name, field in declared(kind).items():
        value = getattr(request, name)
        is_open = value is None and field.optional
        values[name] = None if is_open else _plain(value, name, field.kind, allowed[name])
    return replace(request, **values)


def plain_integer(value: Any, param: str, schema: Schema) -> int:
    """Return a value that no request declares as a plain integer, or refuse one that is not what the schema says."""
    return int(_plain(value, param, int, schema))


def refusal(param: str, schema: Schema, why: str = "", missing: bool = False) -> InvalidInput:
    """Return the refusal of a value that is not what the schema says, or of a field that is `missing`."""
    verb = "is required and must be" if missing else "must be"
    return InvalidInput(f"`{param}` {verb} {wanted(schema)}{why and f': {why}'}.", param)


def _plain(value: Any, param: str, kind: Any, schema: Schema) -> Any:
    if kind == Points:
        return _points(value, param, schema)
    if kind == Labels:
        return _labels(value, param, schema)
    if kind == BoxLike:
        return _box(value, param, schema)
    if kind is str:
        return _text(value, param, schema)
    check = {bool: _is_bool, int: _is_integer, float: _is_number}.get(kind, _is_choice)
    if not check(value, schema):
        raise refusal(param, schema)
    return kind(value) if kind in (int, float) else value


def _text(value: Any, param: str, schema: Schema) -> str:
    """Return the text without blanks around it, if it is in plain words."""
    text = value.strip() if isinstance(value, str) else None
    if text is None or not schema["minLength"] <= len(text) <= schema["maxLength"]:
        raise refusal(param, schema)
    emphasis = emphasis_in(text)
    if emphasis:
        raise InvalidInput(
            f"`{param}` must be plain words: weights and LoRAs in a text, as in {emphasis[:64]!r}, are not understood. "
            "Put words that the picture is to show in quotation marks.",
            param,
        )
    return text


def _points(value: Any, param: str, schema: Schema) -> tuple[tuple[int, int], ...]:
    """Return the points as tuples. One point may be a bare pair, and an empty list means that there are none."""
    items = _items(value, schema["maxItems"])
    if items and not any(map(_has_items, items)):
        items = (items,)
    pairs = [_items(item, 2) for item in items]
    if len(pairs) > schema["maxItems"] or any(len(pair) != 2 or not all(map(_is_whole, pair)) for pair in pairs):
        raise refusal(param, schema)
    return tuple((int(x), int(y)) for x, y in pairs)


def _labels(value: Any, param: str, schema: Schema) -> tuple[int, ...]:
    labels = _items(value, schema["maxItems"])
    if len(labels) > schema["maxItems"] or not all(map(_is_label, labels)):
        raise refusal(param, schema)
    return tuple(map(int, labels))


def _box(value: Any, param: str, schema: Schema) -> tuple[int, ...]:
    sides = _items(value, schema["maxItems"])
    if len(sides) != schema["maxItems"] or not all(map(_is_whole, sides)):
        raise refusal(param, schema)
    return tuple(map(int, sides))


def _items(value: Any, most: int) -> tuple[Any, ...]:
    """Return the items of a list, tuple or array, at most one more than `most`. Any other value but None is an item."""
    if value is None:
        return ()
    if _has_items(value):
        return tuple(value[: most + 1])
    return (value[()] if isinstance(value, np.ndarray) else value,)


def _has_items(value: Any) -> bool:
    """Return whether a value is a list of some kind. An array without dimensions is a number."""
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _is_whole(value: Any) -> bool:
    """Return whether a value is an integer of at most nine digits. 3.0 counts, because arrays often are of floats."""
    is_float = isinstance(value, (float, np.floating)) and float(value).is_integer()
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return (is_float or is_integer) and bool(-_BEYOND < value < _BEYOND)


def _is_label(value: Any) -> bool:
    """Return whether a value is 1 or 0, or true or false."""
    return isinstance(value, (bool, np.bool_)) or (_is_whole(value) and value in (0, 1))


def _is_bool(value: Any, schema: Schema) -> bool:
    return isinstance(value, bool)


def _is_choice(value: Any, schema: Schema) -> bool:
    return isinstance(value, str) and value in schema["enum"]


def _is_integer(value: Any, schema: Schema) -> bool:
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_integer and bool(schema["minimum"] <= value <= schema["maximum"])


def _is_number(value: Any, schema: Schema) -> bool:
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return is_number and bool(schema["minimum"] <= value <= schema["maximum"])  # which NaN is not
