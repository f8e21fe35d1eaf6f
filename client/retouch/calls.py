"""The calls that the service understands, as values: what is sent, and how the answer is read.

Nothing here sends anything, so both clients share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import index
from typing import Any, Generic, NoReturn, TypeVar

import httpx

from retouch.answers import read_edit, read_location, read_score
from retouch.errors import APIConnectionError, InternalServerError, RateLimitError, RetouchError
from retouch.options import (
    EditOptions,
    RemovalOptions,
    RequestOptions,
    SearchOptions,
    StreamOptions,
    Unpack,
    check_names,
    options_of,
)
from retouch.pictures import ImageInput, Picture, read_picture
from retouch.results import EditResult, Location

T = TypeVar("T")
READY_TIMEOUT_S = 10.0


def give_up(error: RetouchError) -> NoReturn:
    """Raise `error`, as most calls do."""
    raise error


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how its answer is understood.

    `fields` are the texts and `pictures` the files of its form, and `headers` go beside those of the client. `read`
    turns a 2xx answer into the result, `excuse` turns a failure into a result or raises it. `timeout_s` None stands for
    the client's own.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    fields: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    excuse: Callable[[RetouchError], T] = give_up
    is_retried: bool = True
    timeout_s: float | None = None

    @property
    def files(self) -> dict[str, tuple[str, bytes, str]]:
        """Return the files of the form in the shape that httpx takes."""
        return {name: (one.file_name, one.content, one.media_type) for name, one in self.pictures.items()}


def edit_call(image: ImageInput, prompt: str | None = None, **options: Unpack[EditOptions]) -> Call[EditResult]:
    """Find something and repaint it."""
    check_names("edit", options, EditOptions)
    return _edit_call(image=image, prompt=prompt, **options)


def edit_stream_call(
    image: ImageInput, prompt: str | None = None, **options: Unpack[StreamOptions]
) -> Call[EditResult]:
    """Find something and repaint it, and say on the way how far it has come."""
    check_names("edit_stream", options, StreamOptions)
    return _edit_call(image=image, prompt=prompt, stream=True, progress=True, **options)


def remove_call(image: ImageInput, target: str | None = None, **options: Unpack[RemovalOptions]) -> Call[EditResult]:
    """Find something and fill its place."""
    check_names("remove", options, RemovalOptions)
    return edit_call(image, mode="remove", target=target, **options)


def locate_call(image: ImageInput, target: str | None = None, **options: Unpack[SearchOptions]) -> Call[Location]:
    """Say where something is."""
    check_names("locate", options, SearchOptions)
    return _form_call("/v1/locate", read_location, image=image, target=target, **options)


def score_call(image: ImageInput, text: str) -> Call[float]:
    """Say how well `text` describes the picture."""
    return _form_call("/v1/score", read_score, image=image, text=text)


def ready_call() -> Call[bool]:
    """Ask, once and briefly, whether the service can take work."""
    return Call("GET", "/readyz", _yes, excuse=_not_now, is_retried=False, timeout_s=READY_TIMEOUT_S)


def _edit_call(**values: Any) -> Call[EditResult]:
    return _form_call("/v1/images/edits", read_edit, response_format="b64_json", **values)


def _form_call(path: str, read: Callable[[httpx.Response], T], **values: Any) -> Call[T]:
    """Return the call that sends `values`, less those that are None, as the fields of a form and as headers."""
    given = {name: value for name, value in values.items() if value is not None}
    headers = {header: _header(name, given.pop(name)) for name, header in _HEADERS.items() if name in given}
    pictures = {name: read_picture(given.pop(name)) for name in _PICTURES if name in given}
    texts = {name: _LISTS[name](value) if name in _LISTS else _text(value) for name, value in given.items()}
    fields = {name: text for name, text in texts.items() if text is not None}
    return Call("POST", path, read, fields, pictures, headers)


def _header(name: str, value: str) -> str:
    if not is_header_value(value):
        raise ValueError(f"{name} must be 1 to 255 visible ASCII characters")
    return value


def is_header_value(text: str) -> bool:
    """Return whether `text` can be sent as a header that names something: 1 to 255 visible ASCII characters."""
    return 0 < len(text) <= 255 and text.isascii() and text.isprintable() and " " not in text


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _points(pairs: Iterable[Iterable[int]]) -> str | None:
    return "; ".join(_listed(pair, "points must be pairs (x, y)") for pair in pairs) or None


def _labels(labels: Iterable[int]) -> str | None:
    return _listed(labels, "labels must be 1 or 0 for each point") or None


def _box(sides: Iterable[int]) -> str:
    return _listed(sides, "box must be (left, top, right, bottom)")


def _listed(numbers: Iterable[int], rule: str) -> str:
    try:
        return ",".join(str(index(number)) for number in numbers)
    except TypeError:
        raise TypeError(f"{rule}, in whole numbers") from None


# A form has points as "120,80; 200,90", labels as "1,0" and a box as "40,30,220,160". A list of nothing is not sent.
_LISTS: Mapping[str, Callable[[Any], str | None]] = {"points": _points, "labels": _labels, "box": _box}
_PICTURES = ("image", "mask", "markup")
_HEADERS = {name: about.header for name, (_, about) in options_of(RequestOptions).items() if about.header}


def _yes(response: httpx.Response) -> bool:
    return True


def _not_now(error: RetouchError) -> bool:
    """Return False for a service that is away, starting or busy. A wrong key or address is raised."""
    if isinstance(error, (APIConnectionError, InternalServerError, RateLimitError)):
        return False
    raise error
