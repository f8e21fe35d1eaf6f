"""How an answer of the service becomes a result or an error.

The types of the classes in `results` say what the answer must hold. A key that is missing or wrong is an
`InvalidResponse` that names it. Keys that no result has are left alone.

A library would save about a fifth of the lines of both files. But msgspec accepts NaN and does not name the wrong key
in an object of numbers, and pydantic is 2.8 MB to install and adds more than half to the time of `import retouch`.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from array import array
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_type_hints

import httpx
from PIL import Image

from retouch.errors import APIStatusError, InvalidResponse, TargetNotFound, status_error_class, status_in_stream
from retouch.results import Box, EditResult, HeatMap, Location, Mask, Picture, Point

T = TypeVar("T")


@dataclass(frozen=True)
class ScoreAnswer:
    """The answer of `POST /v1/score`."""

    score: float


def read_edit(response: httpx.Response) -> EditResult:
    """Return the result in the answer of `POST /v1/images/edits`."""
    return edit_in(_json_object(response), request_id_of(response))


def edit_in(answer: dict[str, Any], request_id: str | None) -> EditResult:
    """Return the result of an edit in a JSON object."""
    result = read_object(EditResult, answer, request_id)
    if not result.edits:
        raise InvalidResponse("'data' in the answer is empty.", request_id)
    return result


def read_object(kind: type[T], answer: dict[str, Any], request_id: str | None) -> T:
    """Return the dataclass `kind` that a JSON object holds."""
    return _Reader(request_id).object(kind, answer)


def read_location(response: httpx.Response) -> Location:
    """Return the location in the answer of `POST /v1/locate`."""
    return read_object(Location, _json_object(response), request_id_of(response))


def read_score(response: httpx.Response) -> float:
    """Return the score in the answer of `POST /v1/score`."""
    return read_object(ScoreAnswer, _json_object(response), request_id_of(response)).score


def read_error(response: httpx.Response) -> APIStatusError:
    """Return the error for an answer other than 2xx, which a proxy may have written instead of the service."""
    status = response.status_code
    body = _json(response)
    unsaid = f"The service answered {status} without saying why."
    return _stated_error(response.text if body is None else body, status, unsaid, request_id_of(response))


def error_in_stream(event: dict[str, Any], request_id: str | None) -> APIStatusError:
    """Return the error that an event of a stream states."""
    details = _error_details(event)
    known = status_in_stream(_text_or_none(details.get("code")), _text_or_none(details.get("type")))
    return _stated_error(event, known or 200, "The service broke the edit off without saying why.", request_id)


def _stated_error(body: Any, status: int, unsaid: str, request_id: str | None) -> APIStatusError:
    """Return the error that `body` states, with the message `unsaid` if it has none."""
    details = _error_details(body)
    code = _text_or_none(details.get("code"))
    message = _text_or_none(details.get("message")) or unsaid
    param = _text_or_none(details.get("param"))
    error = status_error_class(status, code)(message, status, code, param, request_id, body)
    if isinstance(error, TargetNotFound):
        error.location = _location_or_none(body, request_id)
    return error


def _error_details(body: Any) -> dict[str, Any]:
    stated = body.get("error") if isinstance(body, dict) else None
    return stated if isinstance(stated, dict) else {}


def _json_object(response: httpx.Response) -> dict[str, Any]:
    body = _json(response)
    if not isinstance(body, dict):
        message = f"{response.request.url} did not answer with a JSON object: is it a Retouch service?"
        raise InvalidResponse(message, request_id_of(response))
    return body


def _location_or_none(answer: dict[str, Any], request_id: str | None) -> Location | None:
    """Return the best guess that comes with an error, or None if there is none that can be read."""
    try:
        return _Reader(request_id).object(Location, answer.get("location"))
    except InvalidResponse:
        return None


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def request_id_of(response: httpx.Response) -> str | None:
    """Return the name that this request has in the log of the service."""
    return _text_or_none(response.headers.get("x-request-id"))


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


@dataclass(frozen=True)
class _Reader:
    """Makes results of JSON values. A `path` says where a value lies in the answer, such as `data[0].seed`."""

    request_id: str | None

    def object(self, kind: type[T], value: Any, path: str = "", absent: Collection[str] = ()) -> T:
        """Return the dataclass `kind` for a JSON object. The fields in `absent` are not in it."""
        values = self._plain(dict, value, path)
        read: dict[str, Any] = {}
        for name, hint, sent in _fields(cast(Any, kind)):
            if name == "request_id":
                read[name] = self.request_id
            elif name not in absent:
                read[name] = self._field(hint, sent, *self._at(sent.get("key", name), values, path))
        return kind(**read)

    def _at(self, key: str, values: dict[str, Any], path: str) -> tuple[Any, str]:
        """Return what is at `key` of the object at `path`, and the path of that."""
        here = f"{path}.{key}" if path else key
        if key not in values:
            raise InvalidResponse(f"The answer has no {here!r}.", self.request_id)
        return values[key], here

    def _field(self, hint: Any, sent: Mapping[str, Any], value: Any, path: str) -> Any:
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        if NoneType in get_args(hint):
            return None if value is None else self._field(kinds[0], sent, value, path)
        if is_dataclass(hint):
            return self.object(cast(type, hint), value, path)
        if hint == dict[str, float]:
            values = self._plain(dict, value, path)
            return {key: self._plain(float, *self._at(key, values, path)) for key in values}
        if "each" in sent or (kinds and is_dataclass(kinds[0])):
            items = enumerate(self._plain(list, value, path))
            return tuple(self._item(kinds[0], sent, item, f"{path}[{place}]") for place, item in items)
        return self._plain(hint, value, path)

    def _item(self, kind: Any, sent: Mapping[str, Any], item: dict[str, Any], path: str) -> Any:
        if "each" in sent:
            return self._plain(kind, *self._at(sent["each"], item, path))
        return self.object(kind, item, path, sent.get("absent", ()))

    def _plain(self, kind: Any, value: Any, path: str) -> Any:
        """Return a value that has no keys of its own."""
        name, convert = _PLAIN[kind]
        try:
            return convert(value)
        except (TypeError, ValueError, OverflowError) as cause:
            raise InvalidResponse(f"{path!r} in the answer is not {name}.", self.request_id) from cause


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any, Mapping[str, Any]], ...]:
    """Return the name, the type in the answer and the metadata of each field of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple((one.name, one.metadata.get("kind", hints[one.name]), one.metadata) for one in fields(kind))


def _as(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise TypeError(type(value).__name__)
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("bool")
    return _as(int, value)


def _number(value: Any) -> float:
    number = float(value) if isinstance(value, float) else float(_integer(value))
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _list_of(convert: Callable[[Any], T], length: int | None = None) -> Callable[[Any], tuple[T, ...]]:
    """Return the function that reads a list of what `convert` reads, of any length or of one."""

    def read(value: Any) -> tuple[T, ...]:
        items = tuple(convert(item) for item in _as(list, value))
        if length not in (None, len(items)):
            raise ValueError(f"{len(items)} items")
        return items

    return read


def _picture(value: Any) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(base64.b64decode(_as(str, value), validate=True)))
        image.load()
    except (OSError, SyntaxError, binascii.Error, Image.DecompressionBombError) as cause:
        raise ValueError("no picture") from cause
    return image


def _mask(value: Any) -> Image.Image:
    return _picture(value).convert("L")


def _heat_map(value: Any) -> Image.Image:
    rows = _list_of(_list_of(_number))(value)
    width = len(rows[0]) if rows else 0
    if not width or any(len(row) != width for row in rows):
        raise ValueError("not a grid")
    return Image.frombytes("F", (width, len(rows)), array("f", (cell for row in rows for cell in row)).tobytes())


_PLAIN: Mapping[Any, tuple[str, Callable[[Any], Any]]] = {
    str: ("a text", partial(_as, str)),
    bool: ("true or false", partial(_as, bool)),
    int: ("a whole number", _integer),
    float: ("a number", _number),
    dict: ("an object", partial(_as, dict)),
    list: ("a list of objects", _list_of(partial(_as, dict))),
    tuple[str, ...]: ("a list of texts", _list_of(partial(_as, str))),
    tuple[int, ...]: ("a list of whole numbers", _list_of(_integer)),
    Point: ("two whole numbers", _list_of(_integer, 2)),
    tuple[Point, ...]: ("a list of pairs of whole numbers", _list_of(_list_of(_integer, 2))),
    Box: ("four whole numbers", _list_of(_integer, 4)),
    Picture: ("a picture in base64", _picture),
    Mask: ("a picture in base64", _mask),
    HeatMap: ("rows of numbers, all of one length", _heat_map),
}
"""How a value of each type is named in an error, and read."""
