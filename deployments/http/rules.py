"""Refuses fields that are right by themselves and wrong together."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.driver.jobs import PAINTERS_FIELDS
from deployments.driver.reading import reading_of
from deployments.errors import InvalidInput
from deployments.http.fields import EditFields, LocateFields, SearchFields

# A removal takes no field of the painter's, except where it is sent with the value that asks for nothing.
_NOTHING_ASKED = {"prompt": "", "negative_prompt": "", "n": 1, "quality": "auto"}


def check_locate(fields: LocateFields) -> None:
    """Refuses a search that cannot be."""
    _check_search(fields)
    if fields.target is None and not _is_pointed_at(fields):
        raise InvalidInput("`target` is required, or else `points` or `box`: they say what is meant.", "target")


def check_edit(fields: EditFields, has_mask: bool) -> None:
    """Refuses an edit that cannot be; `has_mask` tells whether one was sent."""
    _check_search(fields)
    _check_mask(fields, has_mask)
    if fields.mode == "remove":
        _check_removal(fields, has_mask)
    else:
        _check_painting(fields)
        if reading_of(fields.prompt, fields.target, _is_pointed_at(fields) or has_mask).removes:
            _check_no_painter(fields, [name for name in PAINTERS_FIELDS if name != "prompt"], "a `prompt` that removes")
    if fields.output_format == "png" and fields.output_compression not in (None, 100):
        raise InvalidInput(
            "`output_compression` must be 100 for a png, which loses nothing: choose jpeg or webp.",
            "output_compression",
        )


def _is_pointed_at(fields: SearchFields) -> bool:
    return fields.points is not None or fields.box is not None


def _check_search(fields: SearchFields) -> None:
    if fields.labels is not None and len(fields.labels) != len(fields.points or ()):
        raise InvalidInput("`labels` must be as many as `points`, one for each.", "labels")
    if fields.avoid and _is_pointed_at(fields):
        raise InvalidInput("`avoid` is for a search by words: leave it out, or `points` and `box`.", "avoid")
    if fields.all and _is_pointed_at(fields):
        raise InvalidInput("`all` is for a search by words: leave it out, or `points` and `box`.", "all")


def _check_mask(fields: EditFields, has_mask: bool) -> None:
    if not has_mask and fields.mask_mode != "auto":
        raise InvalidInput("`mask_mode` says how to read `mask`, and none was sent.", "mask_mode")
    for name in ("points", "box", "candidate", "avoid", "all"):
        value = getattr(fields, name)
        if has_mask and value is not False and value not in (None, ""):
            raise InvalidInput(f"`{name}` says what is meant, and so does `mask`: send one of them.", name)


def _check_removal(fields: EditFields, has_mask: bool) -> None:
    _check_no_painter(fields, PAINTERS_FIELDS, "`mode` remove")
    if fields.target is None and not _is_pointed_at(fields) and not has_mask:
        raise InvalidInput("`target` is required, or else `points`, `box` or `mask`: what is to go?", "target")


def _check_no_painter(fields: EditFields, names: Sequence[str], why: str) -> None:
    for name in (*names, "quality"):
        asks_nothing = name in _NOTHING_ASKED and getattr(fields, name) == _NOTHING_ASKED[name]
        if name in fields.model_fields_set and not asks_nothing:
            raise InvalidInput(f"`{name}` is for the painter, and {why} paints nothing: leave it out.", name)


def _check_painting(fields: EditFields) -> None:
    if not fields.prompt:
        raise InvalidInput("`prompt` is required: it says what to paint. Only `mode` remove goes without.", "prompt")
    if fields.num_inference_steps is not None and fields.quality != "auto":
        raise InvalidInput("`quality` sets the number of steps: send it or `num_inference_steps`.", "quality")
