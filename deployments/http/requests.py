"""Make the driver's requests of the fields of a form, and check the fields that only HTTP has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TypeVar

import numpy as np

from deployments.config import DriverSettings
from deployments.driver import rules
from deployments.driver.rules import size_of
from deployments.errors import InvalidInput, ModelNotFound
from deployments.http.accept import preferences
from deployments.http.fields import MODEL, EditFields, LocateFields, Quality, ScoreFields
from deployments.http.forms import Form
from deployments.messages import EditRequest, LocateRequest, ScoreRequest
from deployments.pixels.files import FORMATS, LONGEST_SIDE_PX, Format
from deployments.pixels.markup import ReadMarkup

# They stand for files that are still to be decoded, so that the rules for the other fields can be asked first.
UNREAD_IMAGE, UNREAD_MASK, UNREAD_MARKUP = np.empty((0, 0, 3), np.uint8), np.empty((0, 0), bool), (0, 0, 1, 1)

STEPS: dict[Quality, float] = {"low": 0.5, "high": 2, "xhigh": 3, "max": 4}  # times the service's default; the others 1

_Search = TypeVar("_Search", EditRequest, LocateRequest)


def check_model(name: str, settings: DriverSettings) -> None:
    """Refuse a model that is neither ours nor a name that is taken for it."""
    if name != MODEL and not any(fnmatchcase(name, pattern) for pattern in settings.model_aliases):
        raise ModelNotFound(f"There is no such model here; use `{MODEL}` or leave it out.", "model")


def edit_request(fields: EditFields, form: Form, settings: DriverSettings) -> EditRequest:
    """Return the driver's request for `fields`, its files still unread. Refuse one that no files make right."""
    has_mask = form.file("mask") is not None
    _check_wire(fields, has_mask)
    request = EditRequest(UNREAD_IMAGE, mask=UNREAD_MASK if has_mask else None, **fields.values())
    request = _with_unread_markup(request, form)
    if fields.quality != "auto":
        request = replace(request, num_inference_steps=_steps(fields, settings))
    with named_as_sent(fields):
        return rules.check_edit(request, settings.limits, settings.painting.fill_method)


def locate_request(fields: LocateFields, form: Form, settings: DriverSettings) -> LocateRequest:
    """Return the driver's request for `fields`, its files still unread. Refuse one that no files make right."""
    request = _with_unread_markup(LocateRequest(UNREAD_IMAGE, **fields.values()), form)
    return rules.check_locate(request, settings.limits)


def score_request(fields: ScoreFields, settings: DriverSettings) -> ScoreRequest:
    """Return the driver's request for `fields`, its picture still unread. Refuse one that no picture makes right."""
    return rules.check_score(ScoreRequest(UNREAD_IMAGE, **fields.values()), settings.limits)


def check_size(fields: EditFields, image: np.ndarray) -> None:
    """Refuse a size or a file format that the picture of an edit (HxWx3 uint8) cannot have."""
    size = size_of(image)
    if fields.size not in ("auto", size):
        raise InvalidInput(f"`size` must be auto or the picture's own {size}: pictures are never resized.", "size")
    longest = LONGEST_SIDE_PX[fields.output_format]
    if max(image.shape) > longest:
        raise InvalidInput(
            f"`output_format` {fields.output_format} holds at most {longest} pixels a side.", "output_format"
        )


def pointed_at(request: _Search, markup: ReadMarkup, place: str) -> _Search:
    """Return a request, with its picture, that points at what is drawn. `place` is what a refusal calls the drawing."""
    width, height = markup.size
    if markup.size != (request.image.shape[1], request.image.shape[0]):
        raise InvalidInput(
            f"`{place}` is {width}x{height} pixels; it must have the size of the upright picture, "
            f"{size_of(request.image)}.",
            place,
        )
    return replace(request, box=markup.box, points=markup.points)


def _with_unread_markup(request: _Search, form: Form) -> _Search:
    """Return a request as one that points at something, if there is a drawing. Refuse what says another way what."""
    if form.file("markup") is None:
        return request
    if isinstance(request, EditRequest) and request.mask is not None:
        raise InvalidInput("`mask` says what is repainted, and so does `markup`: send one of them.", "mask")
    for name in ("points", "labels", "box", "avoid", "all"):
        if getattr(request, name) not in (None, "", (), [], False):
            raise InvalidInput(f"`{name}` says what is meant, and so does `markup`: send one of them.", name)
    return replace(request, box=UNREAD_MARKUP)


@contextmanager
def named_as_sent(fields: EditFields) -> Iterator[None]:
    """Let a refusal of the number of steps name `quality` where that set the number. Other errors stay as they are."""
    try:
        yield
    except InvalidInput as refused:
        by_quality = "num_inference_steps" not in fields.model_fields_set and "quality" in fields.model_fields_set
        if refused.param == "num_inference_steps" and by_quality:
            message = f"`quality` {fields.quality} sets `num_inference_steps`. {refused.message}"
            raise InvalidInput(message, "quality") from None
        raise


def _check_wire(fields: EditFields, has_mask: bool) -> None:
    """Refuse fields that only HTTP has where each is right by itself but they do not go together."""
    if not has_mask and fields.mask_mode != "auto":
        raise InvalidInput("`mask_mode` says how to read `mask`, and none was sent.", "mask_mode")
    if "num_inference_steps" in fields.model_fields_set and fields.quality != "auto":
        raise InvalidInput("`quality` sets the number of steps: send it or `num_inference_steps`.", "quality")
    if not fields.stream:
        for name in ("partial_images", "progress"):
            if getattr(fields, name):
                raise InvalidInput(f"`{name}` is for an answer that is streamed: send `stream` as true too.", name)
    if fields.output_format == "png" and fields.output_compression not in (None, 100):
        raise InvalidInput(
            "`output_compression` must be 100 for a png, which loses nothing: choose jpeg or webp.",
            "output_compression",
        )


def _steps(fields: EditFields, settings: DriverSettings) -> int:
    default, factor = settings.num_inference_steps, STEPS.get(fields.quality)
    return default if factor is None else max(1, min(int(factor * default), settings.limits.max_inference_steps))


def as_file(accept: str, fields: EditFields) -> EditFields | None:
    """Return `fields` with the file format that the Accept header asks for, or None when JSON will do.

    `curl -H "Accept: image/png" -o edited.png` gets the picture itself.
    """
    wanted = _preferred(accept, fields.output_format)
    if wanted is None:
        return None
    if fields.stream:
        raise InvalidInput("`stream` answers with events, and `Accept` asks for a picture: send one of them.", "stream")
    if "response_format" in fields.model_fields_set:
        raise InvalidInput("`response_format` is for JSON answers, and `Accept` asks for a picture.", "response_format")
    if "output_format" in fields.model_fields_set and fields.output_format != wanted:
        raise InvalidInput(f"`output_format` and the header `Accept: image/{wanted}` differ.", "output_format")
    return fields.model_copy(update={"output_format": wanted})


def _preferred(accept: str, default: Format) -> Format | None:
    """Return the picture format that `accept` ranks highest, None if it ranks JSON higher or names neither."""
    offers: dict[str, Format | None] = {"application/json": None, "application/*": None, "*/*": None}
    offers |= {f"image/{name}": name for name in FORMATS} | {"image/*": default}
    best: Format | None = None
    best_weight = 0.0
    for kind, weight in preferences(accept):
        if kind in offers and weight > best_weight:
            best, best_weight = offers[kind], weight
    return best
