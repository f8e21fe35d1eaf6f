"""A JSON answer, read key by key, so that whatever is wrong with it is named."""

from __future__ import annotations

import base64
import binascii
import io
import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image

from retouch.errors import InvalidResponse
from retouch.results import Box, Point

T = TypeVar("T")


@dataclass(frozen=True)
class JsonObject:
    """A JSON object: a key that is missing or not as it should be is an `InvalidResponse`.

    `path` is where the object lies in the answer, such as `data[0].`.
    """

    values: dict[str, Any]
    path: str
    request_id: str | None

    def is_null(self, key: str) -> bool:
        """Whether the key is there and says that there is nothing."""
        return key in self.values and self.values[key] is None

    def text(self, key: str) -> str:
        return self._read(key, "a text", _as_text)

    def texts(self, key: str) -> tuple[str, ...]:
        return self._read(key, "a list of texts", _as_texts)

    def flag(self, key: str) -> bool:
        return self._read(key, "true or false", _as_flag)

    def integer(self, key: str) -> int:
        return self._read(key, "a whole number", _as_integer)

    def integers(self, key: str) -> tuple[int, ...]:
        return self._read(key, "a list of whole numbers", _as_integers)

    def number(self, key: str) -> float:
        return self._read(key, "a number", _as_number)

    def numbers(self) -> dict[str, float]:
        return {key: self.number(key) for key in self.values}

    def pair(self, key: str) -> Point:
        return self._read(key, "two whole numbers", _as_pair)

    def box(self, key: str) -> Box:
        return self._read(key, "four whole numbers", _as_box)

    def picture(self, key: str) -> Image.Image:
        return self._read(key, "a picture in base64", _as_picture)

    def grid(self, key: str) -> Image.Image:
        return self._read(key, "rows of numbers, all of one length", _as_grid)

    def object(self, key: str) -> JsonObject:
        return JsonObject(self._read(key, "an object", _as_object), f"{self.path}{key}.", self.request_id)

    def objects(self, key: str) -> tuple[JsonObject, ...]:
        items = self._read(key, "a list of objects", _as_objects)
        return tuple(
            JsonObject(item, f"{self.path}{key}[{place}].", self.request_id) for place, item in enumerate(items)
        )

    def some_objects(self, key: str) -> tuple[JsonObject, ...]:
        """At least one."""
        if items := self.objects(key):
            return items
        raise InvalidResponse(f"{self.path + key!r} in the answer is empty.", self.request_id)

    def _read(self, key: str, wanted: str, convert: Callable[[Any], T]) -> T:
        if key not in self.values:
            raise InvalidResponse(f"The answer has no {self.path + key!r}.", self.request_id)
        try:
            return convert(self.values[key])
        except (TypeError, ValueError, OverflowError) as cause:
            raise InvalidResponse(f"{self.path + key!r} in the answer is not {wanted}.", self.request_id) from cause


def _as(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise TypeError(type(value).__name__)
    return value


def _as_text(value: Any) -> str:
    return _as(str, value)


def _as_texts(value: Any) -> tuple[str, ...]:
    return tuple(_as_text(item) for item in _as(list, value))


def _as_flag(value: Any) -> bool:
    return _as(bool, value)


def _as_integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("bool")
    return _as(int, value)


def _as_integers(value: Any) -> tuple[int, ...]:
    return tuple(_as_integer(item) for item in _as(list, value))


def _as_number(value: Any) -> float:
    number = float(value) if isinstance(value, float) else float(_as_integer(value))
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _as_pair(value: Any) -> Point:
    x, y = _as(list, value)
    return _as_integer(x), _as_integer(y)


def _as_box(value: Any) -> Box:
    left, top, right, bottom = map(_as_integer, _as(list, value))
    return left, top, right, bottom


def _as_object(value: Any) -> dict[str, Any]:
    return _as(dict, value)


def _as_objects(value: Any) -> list[dict[str, Any]]:
    return [_as_object(item) for item in _as(list, value)]


def _as_picture(value: Any) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(base64.b64decode(_as_text(value), validate=True)))
        image.load()
    except (OSError, SyntaxError, binascii.Error, Image.DecompressionBombError) as cause:
        raise ValueError("no picture") from cause
    return image


def _as_grid(value: Any) -> Image.Image:
    rows = [[_as_number(cell) for cell in _as(list, row)] for row in _as(list, value)]
    width = len(rows[0]) if rows else 0
    if not width or any(len(row) != width for row in rows):
        raise ValueError("not a grid")
    return Image.frombytes("F", (width, len(rows)), array("f", (cell for row in rows for cell in row)).tobytes())
