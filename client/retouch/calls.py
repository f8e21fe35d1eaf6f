"""The calls the service understands, as values: what is sent, and how the answer is read.

Nothing here sends anything, so both clients share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Generic, NoReturn, TypeVar

import httpx

from retouch.answers import read_edit, read_location, read_score
from retouch.errors import APIConnectionError, InternalServerError, RateLimitError, RetouchError
from retouch.pictures import ImageInput, Picture, read_picture
from retouch.results import Box, EditResult, Location, Point

T = TypeVar("T")
READY_TIMEOUT_S = 10.0
FieldValue = str | int | float | bool | None


def give_up(error: RetouchError) -> NoReturn:
    """What most calls do about an error."""
    raise error


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how to understand what comes back.

    `read` turns a 2xx answer into the result, `excuse` turns a failure into a result or raises it.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    fields: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    excuse: Callable[[RetouchError], T] = give_up
    is_retried: bool = True
    timeout_s: float | None = None

    @property
    def files(self) -> dict[str, tuple[str, bytes, str]]:
        """The file parts of the form, as httpx wants them."""
        return {name: (one.file_name, one.content, one.media_type) for name, one in self.pictures.items()}


def edit_call(
    image: ImageInput,
    *,
    mask: ImageInput | None = None,
    points: Sequence[Point] | None = None,
    labels: Sequence[int] | None = None,
    box: Box | None = None,
    **fields: FieldValue,
) -> Call[EditResult]:
    """Find something and repaint it, or fill its place."""
    pointed = _pointed(points, labels, box)
    form = _set_fields(**fields, **pointed, response_format="b64_json")
    return Call("POST", "/v1/images/edits", read_edit, form, _pictures(image=image, mask=mask))


def locate_call(
    image: ImageInput,
    *,
    points: Sequence[Point] | None = None,
    labels: Sequence[int] | None = None,
    box: Box | None = None,
    **fields: FieldValue,
) -> Call[Location]:
    """Say where something is."""
    form = _set_fields(**fields, **_pointed(points, labels, box))
    return Call("POST", "/v1/locate", read_location, form, _pictures(image=image))


def score_call(image: ImageInput, text: str) -> Call[float]:
    """Say how well `text` describes the picture."""
    return Call("POST", "/v1/score", read_score, _set_fields(text=text), _pictures(image=image))


def ready_call() -> Call[bool]:
    """Ask, once and briefly, whether the service can take work."""
    return Call("GET", "/readyz", _yes, excuse=_not_now, is_retried=False, timeout_s=READY_TIMEOUT_S)


def _pictures(**images: ImageInput | None) -> dict[str, Picture]:
    return {name: read_picture(image) for name, image in images.items() if image is not None}


def _set_fields(**fields: FieldValue) -> dict[str, str]:
    return {name: _written(value) for name, value in fields.items() if value is not None}


def _written(value: FieldValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pointed(points: Sequence[Point] | None, labels: Sequence[int] | None, box: Box | None) -> dict[str, str | None]:
    """As a form writes them: points "120,80; 200,90", labels "1,0", a box "40,30,220,160"."""
    pairs = () if points is None else points
    return {
        "points": "; ".join(_listed(pair, "points must be pairs (x, y)") for pair in pairs) or None,
        "labels": None if labels is None else _listed(labels, "labels must be 1 or 0 for each point") or None,
        "box": None if box is None else _listed(box, "box must be (left, top, right, bottom)"),
    }


def _listed(numbers: Iterable[int], rule: str) -> str:
    try:
        return ",".join(str(index(number)) for number in numbers)
    except TypeError:
        raise TypeError(f"{rule}, in whole numbers") from None


def _yes(response: httpx.Response) -> bool:
    return True


def _not_now(error: RetouchError) -> bool:
    """Away, starting or busy is an answer to "are you ready?"; a wrong key or address is not."""
    if isinstance(error, (APIConnectionError, InternalServerError, RateLimitError)):
        return False
    raise error
