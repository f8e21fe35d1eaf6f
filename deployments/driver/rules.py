"""The one rule book: what a request must be, whichever way it came. Each rule raises InvalidInput naming the field.

`check_edit`, `check_locate` and `check_score` need no picture, so HTTP asks them before it decodes one. `check_pixels`
has the rules that do need it. `reading.py` refuses the words of a target or a prompt that cannot be acted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, cast

import numpy as np

from deployments.driver.fields import declared
from deployments.driver.reading import reading_of
from deployments.driver.values import Request, plain_integer, with_plain_values
from deployments.errors import ImageTooLarge, InvalidImage, InvalidInput
from deployments.language.targets import Wording
from deployments.limits import Limits
from deployments.messages import Box, EditRequest, FillMethod, LocateRequest, PaintOptions, Point, ScoreRequest

MOST_PARTIAL_IMAGES = 3
PAINTERS_FIELDS = ("n", "seed", *(option.name for option in fields(PaintOptions)))


def check_edit(request: EditRequest, limits: Limits, fill_method: FillMethod = "classical") -> EditRequest:
    """Return the edit with plain values in its fields, or refuse one that cannot be. The pixels are not looked at.

    `fill_method` is the service's own, for a removal that does not say how it is filled.
    """
    request = with_plain_values(request, limits)
    _check_search(request)
    if request.mask is not None:
        _check_beside_mask(request)
    if request.mode == "remove":
        _check_removal(request, fill_method)
    else:
        _check_painting(request, fill_method)
    return request


def check_locate(request: LocateRequest, limits: Limits) -> LocateRequest:
    """Return the search with plain values in its fields, or refuse one that cannot be. The pixels are not looked at."""
    request = with_plain_values(request, limits)
    _check_search(request)
    if request.target is None and not is_pointed_at(request):
        raise InvalidInput("`target` is required, or else `points` or `box`: they say what is meant.", "target")
    return request


def check_score(request: ScoreRequest, limits: Limits) -> ScoreRequest:
    """Return the request with a plain text, or refuse it. The pixels are not looked at."""
    return with_plain_values(request, limits)


def check_partial_images(count: int) -> int:
    """Return how many previews of an edit are wanted, or refuse a number that is never given."""
    return plain_integer(count, "partial_images", {"type": "integer", "minimum": 0, "maximum": MOST_PARTIAL_IMAGES})


def check_pixels(request: Request, limits: Limits) -> Request:
    """Return a request that the rules above have passed, with its picture as the stages expect it.

    Refuses a picture and a mask that cannot be used, and points and a box that are not in the picture.
    """
    request = replace(request, image=_image(request.image, limits))
    if isinstance(request, (EditRequest, LocateRequest)):
        _check_places(request)
    if isinstance(request, EditRequest) and request.mask is not None:
        _check_mask(request.mask, request.image)
    return request


def check_wordings(request: EditRequest | LocateRequest, wordings: Sequence[Wording]) -> None:
    """Refuse a target whose words say which things are meant where the request says it in another way too."""
    pointed = is_pointed_at(request)
    if pointed and any(wording.order or wording.relation or wording.among or wording.avoid for wording in wordings):
        raise InvalidInput(
            "`target` must not say which of several things is meant (by place, order, size or what it is not) beside "
            "points, a box or a mask, where that cannot be checked. Name only what lies there, such as "
            f"{wordings[0].phrase!r}, or leave `target` out.",
            "target",
        )
    if request.all and any(wording.order for wording in wordings):
        raise InvalidInput(
            "`all` must not be true where the target's words pick one (by place, order or size). Send one of the two.",
            "all",
        )


def check_candidate(request: EditRequest, target: str, wordings: Sequence[Wording]) -> None:
    """Refuse one candidate where the wordings mean all things of a name."""
    if request.candidate is not None and any(wording.every for wording in wordings):
        raise InvalidInput(
            f"`candidate` picks one thing, and {target!r} means all of them. Leave `candidate` out, or send `all` as "
            "false.",
            "candidate",
        )


def check_rank(candidate: int, count: int) -> None:
    """Refuse a candidate beyond the `count` that were found."""
    if candidate >= count:
        raise InvalidInput(f"`candidate` must be less than {count}, the number of candidates found.", "candidate")


def is_pointed_at(request: EditRequest | LocateRequest) -> bool:
    """Return whether points, a box or a mask say what is meant. The values of the request have to be plain."""
    has_mask = isinstance(request, EditRequest) and request.mask is not None
    return bool(request.points) or request.box is not None or has_mask


def size_of(image: np.ndarray) -> str:
    """Return the size of a picture (HxWx3) or a mask (HxW) as the text WIDTHxHEIGHT."""
    height, width = image.shape[:2]
    return f"{width}x{height}"


def _check_search(request: EditRequest | LocateRequest) -> None:
    points, labels = _points_and_labels(request)
    if labels and len(labels) != len(points):
        raise InvalidInput("`labels` must be as many as `points`, one for each.", "labels")
    if points and request.box is None and labels and 1 not in labels:
        raise InvalidInput("`labels` must have at least one 1: something has to be on it.", "labels")
    if len(set(zip(points, labels, strict=bool(labels)))) > len(set(points)):
        raise InvalidInput("`labels` must be the same for equal points: one point is labelled both 1 and 0.", "labels")
    if points or request.box is not None:
        for name in ("avoid", "all"):
            if getattr(request, name):
                raise InvalidInput(f"`{name}` is for a search by words: leave it out, or `points` and `box`.", name)


def _check_beside_mask(request: EditRequest) -> None:
    for name in ("points", "box", "candidate", "avoid", "all"):
        value = getattr(request, name)
        if value is not False and value not in (None, "", ()):
            raise InvalidInput(f"`{name}` says what is meant, and so does `mask`: send one of them.", name)


def _check_removal(request: EditRequest, fill_method: FillMethod) -> None:
    if request.prompt:
        raise InvalidInput(
            "`prompt` says what to paint, and `mode` remove takes something away: leave it out.", "prompt"
        )
    _check_filling(request, fill_method, "`mode` remove")
    if request.target is None and not is_pointed_at(request):
        raise InvalidInput("`target` is required, or else `points`, `box` or `mask`: what is to go?", "target")


def _check_painting(request: EditRequest, fill_method: FillMethod) -> None:
    if not request.prompt:
        raise InvalidInput("`prompt` is required: it says what to paint. Only `mode` remove goes without.", "prompt")
    if reading_of(request.prompt, request.target, is_pointed_at(request)).removes:
        _check_filling(request, fill_method, "a `prompt` that removes")
    elif request.fill_method is not None:
        raise InvalidInput(
            "`fill_method` is for a removal, and this edit paints its `prompt`: leave it out.", "fill_method"
        )


def _check_filling(request: EditRequest, fill_method: FillMethod, removal: str) -> None:
    """Refuse what the method of a removal could not heed, except where the value asks for nothing, as the default does.

    `removal` says what makes it one.
    """
    if request.min_score is not None:
        raise InvalidInput(
            "`min_score` is for a painting. Of a removal's pictures the one that matches what was removed least is the "
            "best: leave it out.",
            "min_score",
        )
    if (request.fill_method or fill_method) == "painter":
        return
    for name in PAINTERS_FIELDS:
        if getattr(request, name) != declared(EditRequest)[name].default:
            raise InvalidInput(
                f"`{name}` is for the painter, and {removal} fills without it: leave it out, or send `fill_method` as "
                "painter.",
                name,
            )


def _image(image: Any, limits: Limits) -> np.ndarray:
    """Return the picture as the stages expect it, HxWx3 uint8, row by row in memory. Refuse one beyond the limits."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        is_array = isinstance(image, np.ndarray)
        came = f"one of shape {image.shape} and type {image.dtype}" if is_array else f"a {type(image).__name__}"
        raise InvalidImage(
            f"`image` must be a numpy array of shape (height, width, 3) and type uint8, not {came}.", "image"
        )
    height, width = image.shape[:2]
    if min(height, width) < limits.min_side_px:
        raise InvalidImage(f"`image` must be at least {limits.min_side_px} pixels on each side.", "image")
    if max(height, width) > limits.max_side_px or height * width > limits.max_pixels:
        raise ImageTooLarge(
            f"`image` must have at most {limits.max_pixels} pixels and {limits.max_side_px} on a side.", "image"
        )
    return np.ascontiguousarray(image)


def _check_mask(mask: Any, image: np.ndarray) -> None:
    """Refuse a mask that is not HxW bool of the picture's size, or has nothing in it."""
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 2:
        raise InvalidInput("`mask` must be a bool array of the picture's height and width.", "mask")
    if mask.shape != image.shape[:2]:
        raise InvalidInput(
            f"`mask` is {size_of(mask)} pixels; it must have the size of the upright picture, {size_of(image)}.", "mask"
        )
    if not mask.any():
        raise InvalidInput("`mask` must not be empty: nothing would be repainted.", "mask")


def _check_places(request: EditRequest | LocateRequest) -> None:
    """Refuse points and a box beyond the picture, and points of the thing beyond the box."""
    height, width = request.image.shape[:2]
    size = size_of(request.image)
    points, labels = _points_and_labels(request)
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise InvalidInput(f"`points` must lie in the picture, which is {size}: {x},{y} is not.", "points")
    if request.box is None:
        return
    left, top, right, bottom = cast(Box, request.box)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InvalidInput(
            f"`box` must be left,top,right,bottom in the picture, which is {size}, left before right and top before "
            "bottom.",
            "box",
        )
    for (x, y), label in zip(points, labels or (1,) * len(points), strict=True):
        if label and not (left <= x < right and top <= y < bottom):
            raise InvalidInput("`points` with label 1 must lie in the `box`.", "points")


def _points_and_labels(request: EditRequest | LocateRequest) -> tuple[tuple[Point, ...], tuple[int, ...]]:
    """Return points and labels as the plain tuples that they are by now."""
    return cast("tuple[Point, ...]", request.points), cast("tuple[int, ...]", request.labels)
