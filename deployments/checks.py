"""What each field of a request must be, whichever way it came in. All raise InvalidInput, which names the field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from deployments.config import Limits
from deployments.errors import ImageTooLarge, InvalidImage, InvalidInput
from deployments.messages import Box, Point


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


def check_choice(value: Any, param: str, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        raise InvalidInput(f"{param} must be one of {', '.join(choices)}.", param)
    chosen: str | None = value
    return chosen


def check_integer(value: Any, param: str, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not lowest <= value <= highest:
        raise InvalidInput(f"{param} must be an integer from {lowest} to {highest}.", param)
    return int(value)


def check_number(value: Any, param: str, lowest: float, highest: float) -> float:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not lowest <= value <= highest:
        raise InvalidInput(f"{param} must be a number from {lowest:g} to {highest:g}.", param)
    return float(value)


def check_mask(mask: Any, image: np.ndarray) -> np.ndarray | None:
    """HxW bool of the picture's size, with something in it."""
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != image.shape[:2]:
        raise InvalidInput("mask must be a bool array of the picture's height and width.", "mask")
    if not mask.any():
        raise InvalidInput("mask must not be empty: nothing would be repainted.", "mask")
    return mask


def check_points(
    points: Any, labels: Any, image: np.ndarray, limits: Limits
) -> tuple[tuple[Point, ...], tuple[int, ...]]:
    """Points (x, y) in the picture and a label for each; where none is given, all are on it."""
    if len(points) > limits.max_points:
        raise InvalidInput(f"points must be at most {limits.max_points}.", "points")
    height, width = image.shape[:2]
    for point in points:
        if len(point) != 2:
            raise InvalidInput("points must be pairs (x, y).", "points")
        for value, length in zip(point, (width, height), strict=True):
            check_integer(value, "points", 0, length - 1)
    labels = labels or (1,) * len(points)
    if len(labels) != len(points):
        raise InvalidInput("labels must be one for each of points.", "labels")
    for label in labels:
        check_integer(label, "labels", 0, 1)
    return tuple((int(x), int(y)) for x, y in points), tuple(map(int, labels))


def check_box(box: Any, image: np.ndarray) -> Box | None:
    """Left, top, right and bottom in the picture, right and bottom exclusive."""
    if box is None:
        return None
    if len(box) != 4:
        raise InvalidInput("box must be four numbers: left, top, right, bottom.", "box")
    height, width = image.shape[:2]
    left, top, right, bottom = (
        check_integer(value, "box", 0, length) for value, length in zip(box, (width, height) * 2, strict=True)
    )
    if right <= left or bottom <= top:
        raise InvalidInput("box must have its right beyond its left and its bottom below its top.", "box")
    return left, top, right, bottom
