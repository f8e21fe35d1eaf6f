"""What a request must satisfy before any work is done, whichever way it came in.

Each function returns the request in a form that can be acted on, or raises InvalidInput naming the field.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from deployments.config import DriverSettings, Limits, SchedulerName
from deployments.errors import ImageTooLarge, InvalidImage, InvalidInput
from deployments.messages import EditRequest, LocateRequest, ScoreRequest

SEED_LIMIT = 2**63
SCHEDULERS = get_args(SchedulerName)
MIN_STRENGTH = 0.01


@dataclass(frozen=True, eq=False, slots=True)
class CompleteEdit:
    """An `EditRequest` with nothing left open: every default filled in, one seed for each picture."""

    image: np.ndarray
    prompt: str
    target: str
    negative_prompt: str
    seeds: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float
    strength: float
    scheduler: str | None


def complete_edit(request: EditRequest, settings: DriverSettings) -> CompleteEdit:
    """The request with target, seeds, steps and guidance filled in."""
    limits = settings.limits
    steps = settings.num_inference_steps if request.num_inference_steps is None else request.num_inference_steps
    scale = settings.guidance_scale if request.guidance_scale is None else request.guidance_scale
    # 53 bits, so that a drawn seed survives JSON readers that keep numbers as doubles.
    seed = secrets.randbits(53) if request.seed is None else request.seed
    first = _check_integer(seed, "seed", 0, SEED_LIMIT - limits.max_images)
    count = _check_integer(request.n, "n", 1, limits.max_images)
    prompt = check_text(request.prompt, "prompt", limits)
    return CompleteEdit(
        image=check_image(request.image, limits),
        prompt=prompt,
        target=prompt if request.target is None else check_text(request.target, "target", limits),
        negative_prompt=check_text(request.negative_prompt, "negative_prompt", limits, may_be_empty=True),
        seeds=tuple(range(first, first + count)),
        num_inference_steps=_check_integer(steps, "num_inference_steps", 1, limits.max_inference_steps),
        guidance_scale=_check_number(scale, "guidance_scale", 0.0, limits.max_guidance_scale),
        strength=_check_number(request.strength, "strength", MIN_STRENGTH, 1.0),
        scheduler=_check_choice(request.scheduler, "scheduler", SCHEDULERS),
    )


def complete_locate(request: LocateRequest, settings: DriverSettings) -> LocateRequest:
    check_image(request.image, settings.limits)
    return replace(request, target=check_text(request.target, "target", settings.limits))


def complete_score(request: ScoreRequest, settings: DriverSettings) -> ScoreRequest:
    check_image(request.image, settings.limits)
    return replace(request, text=check_text(request.text, "text", settings.limits))


def check_image(image: Any, limits: Limits) -> np.ndarray:
    """HxWx3 uint8 within the limits."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InvalidImage("image must be a numpy array of shape (height, width, 3) and type uint8.", "image")
    height, width = image.shape[:2]
    if min(height, width) < limits.min_side_px:
        raise InvalidImage(f"image must be at least {limits.min_side_px} pixels on each side.", "image")
    if max(height, width) > limits.max_side_px or height * width > limits.max_pixels:
        raise ImageTooLarge(
            f"image must have at most {limits.max_pixels} pixels and {limits.max_side_px} on a side.", "image"
        )
    return image


def check_text(text: Any, param: str, limits: Limits, may_be_empty: bool = False) -> str:
    """The text without blanks around it."""
    if not isinstance(text, str):
        raise InvalidInput(f"{param} must be a text.", param)
    stripped = text.strip()
    if not stripped and not may_be_empty:
        raise InvalidInput(f"{param} must not be empty.", param)
    if len(stripped) > limits.max_prompt_chars:
        raise InvalidInput(f"{param} must have at most {limits.max_prompt_chars} characters.", param)
    return stripped


def _check_choice(value: Any, param: str, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        raise InvalidInput(f"{param} must be one of {', '.join(choices)}.", param)
    chosen: str | None = value
    return chosen


def _check_integer(value: Any, param: str, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not lowest <= value <= highest:
        raise InvalidInput(f"{param} must be an integer from {lowest} to {highest}.", param)
    return int(value)


def _check_number(value: Any, param: str, lowest: float, highest: float) -> float:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not lowest <= value <= highest:
        raise InvalidInput(f"{param} must be a number from {lowest:g} to {highest:g}.", param)
    return float(value)
