"""From the fields of a request to the driver's messages, and from its results to the wire."""

from __future__ import annotations

import base64
import time
from typing import Literal

import numpy as np
from pydantic import BaseModel

from deployments.config import DriverSettings
from deployments.errors import InvalidInput, ServiceError
from deployments.http.fields import MODEL, EditFields
from deployments.images import FORMATS, LONGEST_SIDE_PX, Format, encode, mask_png
from deployments.messages import EditRequest, EditResult, Location, Score

MODEL_CREATED = 1_767_225_600  # 2026-01-01; the contract asks for a time


class ModelNotFound(ServiceError):
    """The request names a model that is not served here."""

    status = 404
    code = "model_not_found"
    type = "invalid_request_error"


# Answers


class ScoreAnswer(BaseModel):
    """How well the picture matches the text: the cosine of their CLIP embeddings, -1..1."""

    score: float


class EditScore(BaseModel):
    """How well the picture matches the prompt, -1..1, as a whole and in the repainted region."""

    before: float
    after: float
    delta: float
    region_before: float
    region_after: float


class EditedImage(BaseModel):
    """One picture."""

    b64_json: str
    seed: int
    score: EditScore


class EditAnswer(BaseModel):
    """The pictures, best first, and how they came about.

    `point` is (x, y) in pixels; `mask_b64` a PNG, white where pixels were allowed to change; `timings` in seconds.
    """

    created: int
    data: list[EditedImage]
    output_format: Format
    size: str
    background: Literal["opaque"] = "opaque"
    quality: Literal["low", "medium", "high", "auto"]
    target: str
    point: tuple[int, int]
    confidence: float
    mask_b64: str
    changed_outside_px: int
    num_inference_steps: int
    guidance_scale: float
    timings: dict[str, float]


class LocateAnswer(BaseModel):
    """Where the target is: `point` (x, y) in a picture of `size` (width, height), and rows of the heat map, 0..1."""

    target: str
    found: bool
    point: tuple[int, int]
    confidence: float
    size: tuple[int, int]
    heat: list[list[float]]


class ModelAnswer(BaseModel):
    """A model, as the OpenAI SDK lists them."""

    id: str = MODEL
    object: Literal["model"] = "model"
    created: int = MODEL_CREATED
    owned_by: str = MODEL


class ModelsAnswer(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer] = [ModelAnswer()]


# Requests


def check_model(name: str) -> None:
    """Refuses a model that is not ours."""
    if name != MODEL:
        raise ModelNotFound(f"There is no such model here; use `{MODEL}` or leave it out.", "model")


def edit_request(fields: EditFields, image: np.ndarray, settings: DriverSettings) -> EditRequest:
    """The driver's request for `fields` and the decoded `image`."""
    _check_size(fields, image)
    return EditRequest(
        image=image,
        prompt=fields.prompt,
        target=fields.target,
        negative_prompt=fields.negative_prompt,
        n=fields.n,
        seed=fields.seed,
        num_inference_steps=_steps(fields, settings),
        guidance_scale=fields.guidance_scale,
        strength=fields.strength,
        scheduler=fields.scheduler,
    )


def _check_size(fields: EditFields, image: np.ndarray) -> None:
    size = _size(image)
    if fields.size not in ("auto", size):
        raise InvalidInput(f"`size` must be auto or the picture's own {size}: pictures are never resized.", "size")
    longest = LONGEST_SIDE_PX[fields.output_format]
    if max(image.shape) > longest:
        raise InvalidInput(
            f"`output_format` {fields.output_format} holds at most {longest} pixels a side.", "output_format"
        )


def _steps(fields: EditFields, settings: DriverSettings) -> int | None:
    default = settings.num_inference_steps
    if fields.quality == "low":
        return max(1, default // 2)
    if fields.quality == "high":
        return min(2 * default, settings.limits.max_inference_steps)
    return fields.num_inference_steps


def _size(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    return f"{width}x{height}"


# From results to the wire. These encode pictures, which takes long enough to be done off the event loop.


def edit_json(result: EditResult, fields: EditFields) -> bytes:
    """The JSON body that answers an edit."""
    data = [
        EditedImage(b64_json=_base64(_file(edit.image, fields)), seed=edit.seed, score=_score(edit.score))
        for edit in result.edits
    ]
    answer = EditAnswer(
        created=int(time.time()),
        data=data,
        output_format=fields.output_format,
        size=_size(result.mask),
        quality=_quality(fields),
        target=result.location.target,
        point=result.location.point_xy,
        confidence=result.location.confidence,
        mask_b64=_base64(mask_png(result.mask)),
        changed_outside_px=result.changed_outside_px,
        num_inference_steps=result.num_inference_steps,
        guidance_scale=result.guidance_scale,
        timings={stage: round(seconds, 4) for stage, seconds in result.timings_s.items()},
    )
    return answer.model_dump_json().encode()


def edit_file(result: EditResult, fields: EditFields) -> tuple[bytes, dict[str, str]]:
    """The best picture as a file, and the headers that tell what JSON would."""
    best = result.edits[0]
    x, y = result.location.point_xy
    headers = {
        "x-retouch-seed": str(best.seed),
        "x-retouch-point": f"{x},{y}",
        "x-retouch-score": f"{best.score.after:.4f}",
    }
    return _file(best.image, fields), headers


def locate_json(location: Location, image: np.ndarray) -> bytes:
    """The JSON body that answers a locate."""
    height, width = image.shape[:2]
    answer = LocateAnswer(
        target=location.target,
        found=location.found,
        point=location.point_xy,
        confidence=location.confidence,
        size=(width, height),
        heat=np.round(location.heat.astype(np.float64), 4).tolist(),
    )
    return answer.model_dump_json().encode()


def _file(image: np.ndarray, fields: EditFields) -> bytes:
    quality = 100 if fields.output_compression is None else fields.output_compression
    return encode(image, fields.output_format, quality)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _score(score: Score) -> EditScore:
    return EditScore(
        before=score.before,
        after=score.after,
        delta=score.delta,
        region_before=score.region_before,
        region_after=score.region_after,
    )


def _quality(fields: EditFields) -> Literal["low", "medium", "high", "auto"]:
    """The OpenAI word for the steps taken; a number of steps sent as such has none."""
    if fields.num_inference_steps is not None:
        return "auto"
    return fields.quality if fields.quality in ("low", "high") else "medium"


# Content negotiation: JSON, or the picture itself for `curl -H "Accept: image/png" -o edited.png`.


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
