"""From the service's answers to results and errors. Keys that we do not know are left alone."""

from __future__ import annotations

import base64
import binascii
import io
import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from PIL import Image

from retouch.errors import APIStatusError, InvalidResponse, status_error_class
from retouch.results import Edit, EditResult, Location, Point, Score

T = TypeVar("T")


def read_edit(response: httpx.Response) -> EditResult:
    """The answer of `POST /v1/images/edits`."""
    answer = _answer(response)
    return EditResult(
        edits=tuple(_edit(item) for item in answer.objects("data")),
        mask=answer.picture("mask_b64").convert("L"),
        target=answer.text("target"),
        point_xy=answer.pair("point"),
        confidence=answer.number("confidence"),
        num_inference_steps=answer.integer("num_inference_steps"),
        guidance_scale=answer.number("guidance_scale"),
        changed_outside_px=answer.integer("changed_outside_px"),
        timings_s=answer.object("timings").numbers(),
        request_id=answer.request_id,
    )


def read_location(response: httpx.Response) -> Location:
    """The answer of `POST /v1/locate`."""
    answer = _answer(response)
    return Location(
        target=answer.text("target"),
        found=answer.flag("found"),
        point_xy=answer.pair("point"),
        confidence=answer.number("confidence"),
        size=answer.pair("size"),
        heat=answer.grid("heat"),
        request_id=answer.request_id,
    )


def read_score(response: httpx.Response) -> float:
    """The answer of `POST /v1/score`."""
    return _answer(response).number("score")


def read_error(response: httpx.Response) -> APIStatusError:
    """The error that an answer other than 2xx stands for, also if a proxy wrote it and not the service."""
    body = _json(response)
    error = body.get("error") if isinstance(body, dict) else None
    details: dict[str, Any] = error if isinstance(error, dict) else {}
    code = _text_or_none(details.get("code"))
    return status_error_class(response.status_code, code)(
        _text_or_none(details.get("message")) or f"The service answered {response.status_code} without saying why.",
        response.status_code,
        code,
        _text_or_none(details.get("param")),
        request_id(response),
        response.text if body is None else body,
    )


def request_id(response: httpx.Response) -> str | None:
    """What the service calls this request in its log."""
    return _text_or_none(response.headers.get("x-request-id"))


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _answer(response: httpx.Response) -> _Object:
    body = _json(response)
    if not isinstance(body, dict):
        message = f"{response.request.url} did not answer with a JSON object: is it a Retouch service?"
        raise InvalidResponse(message, request_id(response))
    return _Object(body, "", request_id(response))


def _edit(item: _Object) -> Edit:
    score = item.object("score")
    return Edit(
        image=item.picture("b64_json"),
        seed=item.integer("seed"),
        score=Score(
            before=score.number("before"),
            after=score.number("after"),
            region_before=score.number("region_before"),
            region_after=score.number("region_after"),
        ),
    )


@dataclass(frozen=True)
class _Object:
    """A JSON object, read key by key: one that is missing or not as it should be is an `InvalidResponse`.

    `path` is where the object lies in the answer, such as `data[0].`.
    """

    values: dict[str, Any]
    path: str
    request_id: str | None

    def text(self, key: str) -> str:
        return self._read(key, "a text", _as_text)

    def flag(self, key: str) -> bool:
        return self._read(key, "true or false", _as_flag)

    def integer(self, key: str) -> int:
        return self._read(key, "a whole number", _as_integer)

    def number(self, key: str) -> float:
        return self._read(key, "a number", _as_number)

    def numbers(self) -> dict[str, float]:
        return {key: self.number(key) for key in self.values}

    def pair(self, key: str) -> Point:
        return self._read(key, "two whole numbers", _as_pair)

    def picture(self, key: str) -> Image.Image:
        return self._read(key, "a picture in base64", _as_picture)

    def grid(self, key: str) -> Image.Image:
        return self._read(key, "rows of numbers, all of one length", _as_grid)

    def object(self, key: str) -> _Object:
        return _Object(self._read(key, "an object", _as_object), f"{self.path}{key}.", self.request_id)

    def objects(self, key: str) -> list[_Object]:
        items = self._read(key, "a list of objects", _as_objects)
        return [_Object(item, f"{self.path}{key}[{place}].", self.request_id) for place, item in enumerate(items)]

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


def _as_flag(value: Any) -> bool:
    return _as(bool, value)


def _as_integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("bool")
    return _as(int, value)


def _as_number(value: Any) -> float:
    number = float(value) if isinstance(value, float) else float(_as_integer(value))
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _as_pair(value: Any) -> Point:
    x, y = _as(list, value)
    return _as_integer(x), _as_integer(y)


def _as_object(value: Any) -> dict[str, Any]:
    return _as(dict, value)


def _as_objects(value: Any) -> list[dict[str, Any]]:
    items = [_as_object(item) for item in _as(list, value)]
    if not items:
        raise ValueError("empty")
    return items


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
