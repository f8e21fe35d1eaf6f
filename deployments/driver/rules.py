"""What each field of a request must be, whichever way it came in. All raise InvalidInput, which names the field."""

from __future__ import annotations

from typing import Any

import numpy as np

from deployments.config import Limits
from deployments.errors import ImageTooLarge, InvalidImage, InvalidInput
from deployments.language.emphasis import emphasis_in
from deployments.messages import Box, Point


def check_image(image: Any, limits: Limits) -> np.ndarray:
    """HxWx3 uint8 within the limits, row by row in memory, as the stages want it."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        is_array = isinstance(image, np.ndarray)
        came = f"one of shape {image.shape} and type {image.dtype}" if is_array else f"a {type(image).__name__}"
        raise InvalidImage(
            f"image must be a numpy array of shape (height, width, 3) and type uint8, not {came}.", "image"
        )
    height, width = image.shape[:2]
    if min(height, width) < limits.min_side_px:
        raise InvalidImage(f"image must be at least {limits.min_side_px} pixels on each side.", "image")
    if max(height, width) > limits.max_side_px or height * width > limits.max_pixels:
        raise ImageTooLarge(
            f"image must have at most {limits.max_pixels} pixels and {limits.max_side_px} on a side.", "image"
        )
    return np.ascontiguousarray(image)


def check_text(text: Any, param: str, limits: Limits, may_be_empty: bool = False) -> str:
    """The text without blanks around it, in plain words."""
    if not isinstance(text, str):
        raise InvalidInput(f"{param} must be a text.", param)
    stripped = text.strip()
    if not stripped and not may_be_empty:
        raise InvalidInput(f"{param} must not be empty.", param)
    if len(stripped) > limits.max_prompt_chars:
        raise InvalidInput(f"{param} must have at most {limits.max_prompt_chars} characters.", param)
    emphasis = emphasis_in(stripped)
    if emphasis:
        raise InvalidInput(
            f"{param} must be plain words: weights and LoRAs in a text, as in {emphasis[:64]!r}, are not understood. "
            "Put words that the picture is to show in quotation marks.",
            param,
        )
    return stripped


def check_choice(value: Any, param: str, choices: tuple[str, ...]) -> str | None:
    if value is not None and not (isinstance(value, str) and value in choices):
        raise InvalidInput(f"{param} must be one of {', '.join(choices)}.", param)
    chosen: str | None = value
    return chosen


def check_integer(value: Any, param: str, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not lowest <= value <= highest:
        raise InvalidInput(f"{param} must be an integer from {lowest} to {highest}.", param)
    return int(value)


def check_number(value: Any, param: str, lowest: float, highest: float) -> float:
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not is_number or not lowest <= value <= highest:  # which NaN is not
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


def as_tuple(value: Any, most: int) -> tuple[Any, ...]:
    """The items of a list, tuple or array, one more than `most` at most. None has none; any other value is the item."""
    if value is None:
        return ()
    if _has_items(value):
        return tuple(value[: most + 1])
    return (value[()] if isinstance(value, np.ndarray) else value,)


def as_points(points: Any, limits: Limits) -> tuple[tuple[Any, ...], ...]:
    """The points as tuples; one may be a bare pair. They are still to be checked."""
    items = as_tuple(points, limits.max_points)
    if items and not any(map(_has_items, items)):
        items = (items,)
    return tuple(as_tuple(item, 2) for item in items)


def check_points(
    points: Any, labels: Any, image: np.ndarray, limits: Limits
) -> tuple[tuple[Point, ...], tuple[int, ...]]:
    """Points (x, y) in the picture and a label for each; where none is given, all are on it."""
    if len(points) > limits.max_points:
        raise InvalidInput(f"points must be at most {limits.max_points}.", "points")
    if any(len(point) != 2 for point in points):
        raise InvalidInput("points must be pairs (x, y).", "points")
    height, width = image.shape[:2]
    pixels = tuple((_whole(x, "points", width - 1), _whole(y, "points", height - 1)) for x, y in points)
    labels = labels or (1,) * len(points)
    if len(labels) != len(points):
        raise InvalidInput("labels must be one for each of points.", "labels")
    return pixels, tuple(_label(label) for label in labels)


def check_pointer(points: tuple[Point, ...], labels: tuple[int, ...], box: Box | None) -> None:
    """Refuse points and a box that no mask could obey."""
    if points and box is None and 1 not in labels:
        raise InvalidInput("labels must have at least one 1: something has to be on it.", "labels")
    labelled = set(zip(points, labels, strict=True))
    if len(labelled) > len(set(points)):
        raise InvalidInput("labels must be the same for equal points: one point is labelled both 1 and 0.", "labels")
    if box is None:
        return
    left, top, right, bottom = box
    if not all(left <= x < right and top <= y < bottom for (x, y), label in labelled if label):
        raise InvalidInput("points with label 1 must lie in the box.", "points")


def check_box(box: Any, image: np.ndarray) -> Box | None:
    """Left, top, right and bottom in the picture, right and bottom exclusive."""
    if box is None:
        return None
    if len(box) != 4:
        raise InvalidInput("box must be four numbers: left, top, right, bottom.", "box")
    height, width = image.shape[:2]
    left, top, right, bottom = (
        _whole(value, "box", length) for value, length in zip(box, (width, height) * 2, strict=True)
    )
    if right <= left or bottom <= top:
        raise InvalidInput("box must have its right beyond its left and its bottom below its top.", "box")
    return left, top, right, bottom


def _has_items(value: Any) -> bool:
    """Whether it is a list of some kind. An array without dimensions is a number."""
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _whole(value: Any, param: str, highest: int) -> int:
    """An integer, which 3.0 may be too: arrays are often of floats."""
    is_whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return check_integer(int(value) if is_whole else value, param, 0, highest)


def _label(value: Any) -> int:
    """1 or 0, or whether it is true."""
    return int(value) if isinstance(value, (bool, np.bool_)) else _whole(value, "labels", 1)
