"""From the service's answers to results and errors. Keys that we do not know are left alone."""

from __future__ import annotations

from typing import Any

import httpx
from PIL import Image

from retouch.errors import APIStatusError, InvalidResponse, TargetNotFound, status_error_class
from retouch.reading import JsonObject
from retouch.results import Candidate, Edit, EditResult, Location, MaskRead, Score


def read_edit(response: httpx.Response) -> EditResult:
    """The answer of `POST /v1/images/edits`."""
    answer = _answer(response)
    return EditResult(
        edits=tuple(_edit(item) for item in answer.some_objects("data")),
        mask=_mask(answer),
        mask_read=None if answer.is_null("mask_read") else _mask_read(answer.object("mask_read")),
        mode=answer.text("mode"),
        method=answer.text("method"),
        target=answer.text("target"),
        phrase=answer.text("phrase"),
        point_xy=answer.pair("point"),
        confidence=answer.number("confidence"),
        margin=answer.number("margin"),
        low_confidence=answer.flag("low_confidence"),
        candidates=tuple(_candidate(item) for item in answer.objects("candidates")),
        chosen=answer.integer("chosen"),
        instances=answer.integers("instances"),
        num_inference_steps=answer.integer("num_inference_steps"),
        guidance_scale=answer.number("guidance_scale"),
        changed_outside_px=answer.integer("changed_outside_px"),
        converted=answer.texts("converted"),
        improved=answer.flag("improved"),
        filtered_seeds=tuple(item.integer("seed") for item in answer.objects("filtered")),
        timings_s=answer.object("timings").numbers(),
        request_id=answer.request_id,
    )


def read_location(response: httpx.Response) -> Location:
    """The answer of `POST /v1/locate`."""
    return _location(_answer(response))


def read_score(response: httpx.Response) -> float:
    """The answer of `POST /v1/score`."""
    return _answer(response).number("score")


def read_error(response: httpx.Response) -> APIStatusError:
    """The error that an answer other than 2xx stands for, also if a proxy wrote it and not the service."""
    body = _json(response)
    answer: dict[str, Any] = body if isinstance(body, dict) else {}
    said = answer.get("error")
    details: dict[str, Any] = said if isinstance(said, dict) else {}
    code = _text_or_none(details.get("code"))
    error = status_error_class(response.status_code, code)(
        _text_or_none(details.get("message")) or f"The service answered {response.status_code} without saying why.",
        response.status_code,
        code,
        _text_or_none(details.get("param")),
        request_id(response),
        response.text if body is None else body,
    )
    if isinstance(error, TargetNotFound):
        error.location = _location_or_none(answer, error.request_id)
    return error


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


def _answer(response: httpx.Response) -> JsonObject:
    body = _json(response)
    if not isinstance(body, dict):
        message = f"{response.request.url} did not answer with a JSON object: is it a Retouch service?"
        raise InvalidResponse(message, request_id(response))
    return JsonObject(body, "", request_id(response))


def _edit(item: JsonObject) -> Edit:
    return Edit(
        image=item.picture("b64_json"),
        seed=None if item.is_null("seed") else item.integer("seed"),
        score=None if item.is_null("score") else _score(item.object("score")),
        seam=item.number("seam"),
    )


def _score(item: JsonObject) -> Score:
    return Score(
        before=item.number("before"),
        after=item.number("after"),
        region_before=item.number("region_before"),
        region_after=item.number("region_after"),
    )


def _mask_read(item: JsonObject) -> MaskRead:
    return MaskRead(item.text("mode"), item.integer("threshold"), item.integer("marked_px"))


def _location(answer: JsonObject) -> Location:
    return Location(
        target=answer.text("target"),
        phrase=answer.text("phrase"),
        found=answer.flag("found"),
        point_xy=answer.pair("point"),
        confidence=answer.number("confidence"),
        margin=answer.number("margin"),
        low_confidence=answer.flag("low_confidence"),
        candidates=tuple(
            _candidate(item, _mask(item), item.object("features").numbers()) for item in answer.objects("candidates")
        ),
        chosen=answer.integer("chosen"),
        instances=answer.integers("instances"),
        size=answer.pair("size"),
        heat=None if answer.is_null("heat") else answer.grid("heat"),
        timings_s=answer.object("timings").numbers(),
        request_id=answer.request_id,
    )


def _location_or_none(answer: dict[str, Any], request_id: str | None) -> Location | None:
    """What an error tells of the place. It stays that error if it tells nothing, or nothing that can be read."""
    try:
        return _location(JsonObject(answer, "", request_id).object("location"))
    except InvalidResponse:
        return None


def _candidate(
    item: JsonObject, mask: Image.Image | None = None, features: dict[str, float] | None = None
) -> Candidate:
    return Candidate(
        point_xy=item.pair("point"),
        box_xyxy=item.box("box"),
        area=item.number("area"),
        score=item.number("score"),
        sam_score=item.number("sam_score"),
        source=item.text("source"),
        mask=mask,
        features=features or {},
    )


def _mask(item: JsonObject) -> Image.Image:
    return item.picture("mask_b64").convert("L")
