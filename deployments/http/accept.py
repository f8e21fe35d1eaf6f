"""Content negotiation: JSON, or the picture itself for `curl -H "Accept: image/png" -o edited.png`."""

from __future__ import annotations

from deployments.errors import InvalidInput
from deployments.http.fields import EditFields
from deployments.pixels.files import FORMATS, Format


def as_file(accept: str, fields: EditFields) -> EditFields | None:
    """`fields` with the file format that the Accept header asks for, or None when JSON will do."""
    wanted = _preferred(accept, fields.output_format)
    if wanted is None:
        return None
    if "response_format" in fields.model_fields_set:
        raise InvalidInput("`response_format` is for JSON answers, and `Accept` asks for a picture.", "response_format")
    if "output_format" in fields.model_fields_set and fields.output_format != wanted:
        raise InvalidInput(f"`output_format` and the header `Accept: image/{wanted}` differ.", "output_format")
    return fields.model_copy(update={"output_format": wanted})


def _preferred(accept: str, default: Format) -> Format | None:
    """The picture format that `accept` ranks highest, None if it puts JSON first or knows neither."""
    offers: dict[str, Format | None] = {"application/json": None, "application/*": None, "*/*": None}
    offers |= {f"image/{name}": name for name in FORMATS} | {"image/*": default}
    best: Format | None = None
    best_weight = 0.0
    for choice in accept.lower().split(","):
        kind, *options = (part.strip() for part in choice.split(";"))
        weight = _weight(options)
        if kind in offers and weight > best_weight:
            best, best_weight = offers[kind], weight
    return best


def _weight(options: list[str]) -> float:
    for option in options:
        if option.startswith("q="):
            try:
                return float(option[2:])
            except ValueError:
                return 0.0
    return 1.0
