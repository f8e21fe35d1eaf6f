"""From the fields of a request to the driver's messages."""

from __future__ import annotations

import numpy as np

from deployments.config import DriverSettings
from deployments.errors import InvalidInput, ServiceError
from deployments.http.fields import MODEL, EditFields, LocateFields, SearchFields
from deployments.messages import EditRequest, LocateRequest
from deployments.pixels.files import LONGEST_SIDE_PX


class ModelNotFound(ServiceError):
    """The request names a model that is not served here."""

    status = 404
    code = "model_not_found"
    type = "invalid_request_error"


def check_model(name: str) -> None:
    """Refuses a model that is not ours."""
    if name != MODEL:
        raise ModelNotFound(f"There is no such model here; use `{MODEL}` or leave it out.", "model")


def edit_request(
    fields: EditFields, image: np.ndarray, mask: np.ndarray | None, settings: DriverSettings
) -> EditRequest:
    """The driver's request for `fields`, the decoded `image` and its HxW bool `mask`, if there is one."""
    _check_size(fields, image)
    _check_places(fields, image)
    if mask is not None:
        _check_mask(mask, image)
    return EditRequest(
        image=image,
        prompt=fields.prompt,
        target=fields.target,
        avoid=fields.avoid,
        all=fields.all,
        mode=fields.mode,
        points=fields.points or (),
        labels=fields.labels or (),
        box=fields.box,
        mask=mask,
        candidate=fields.candidate,
        mask_shape=fields.mask_shape,
        dilation=fields.dilation,
        negative_prompt=fields.negative_prompt,
        n=fields.n,
        seed=fields.seed,
        num_inference_steps=_steps(fields, settings),
        guidance_scale=fields.guidance_scale,
        strength=fields.strength,
        fill=fields.fill,
        scheduler=fields.scheduler,
        min_score=fields.min_score,
    )


def locate_request(fields: LocateFields, image: np.ndarray) -> LocateRequest:
    """The driver's request for `fields` and the decoded `image`."""
    _check_places(fields, image)
    return LocateRequest(
        image=image,
        target=fields.target,
        avoid=fields.avoid,
        all=fields.all,
        points=fields.points or (),
        labels=fields.labels or (),
        box=fields.box,
    )


def _check_size(fields: EditFields, image: np.ndarray) -> None:
    size = size_of(image)
    if fields.size not in ("auto", size):
        raise InvalidInput(f"`size` must be auto or the picture's own {size}: pictures are never resized.", "size")
    longest = LONGEST_SIDE_PX[fields.output_format]
    if max(image.shape) > longest:
        raise InvalidInput(
            f"`output_format` {fields.output_format} holds at most {longest} pixels a side.", "output_format"
        )


def _check_places(fields: SearchFields, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    for x, y in fields.points or ():
        if not (0 <= x < width and 0 <= y < height):
            raise InvalidInput(
                f"`points` must lie in the picture, which is {size_of(image)}: {x},{y} is not.", "points"
            )
    if fields.box is None:
        return
    left, top, right, bottom = fields.box
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InvalidInput(
            f"`box` must be left,top,right,bottom in the picture, which is {size_of(image)}, left before right and "
            "top before bottom.",
            "box",
        )


def _check_mask(mask: np.ndarray, image: np.ndarray) -> None:
    if mask.shape != image.shape[:2]:
        raise InvalidInput(
            f"`mask` is {size_of(mask)} pixels; it must have the size of the upright picture, {size_of(image)}.", "mask"
        )


def named_as_sent(refused: Exception, fields: EditFields) -> Exception:
    """The refusal of a number of steps that was sent as `quality`, by that name; any other as it is."""
    if not isinstance(refused, InvalidInput) or refused.param != "num_inference_steps":
        return refused
    if fields.num_inference_steps is not None or "quality" not in fields.model_fields_set:
        return refused
    return InvalidInput(f"`quality` {fields.quality} sets a number of steps, and {refused.message}", "quality")


def _steps(fields: EditFields, settings: DriverSettings) -> int | None:
    default = settings.num_inference_steps
    if fields.quality == "low":
        return max(1, default // 2)
    if fields.quality == "high":
        return min(2 * default, settings.limits.max_inference_steps)
    return fields.num_inference_steps


def size_of(image: np.ndarray) -> str:
    """The size of a picture or mask as WIDTHxHEIGHT."""
    height, width = image.shape[:2]
    return f"{width}x{height}"
