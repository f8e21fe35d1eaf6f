"""Whether an answer is the right one: that of an undisturbed run for the very same picture and seed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deployments.limits import Limits
from deployments.pixels.files import decode

MOST_INSIDE = 2  # of 255: steps that are shared with other pictures may round differently


@dataclass(frozen=True, eq=False)
class Answer:
    """An edited picture, HxWx3 uint8, and its mask, HxW bool, True where it was repainted."""

    picture: np.ndarray
    mask: np.ndarray

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Answer:
        """Return what the JSON of an answer has."""
        picture = decode(base64.b64decode(content["data"][0]["b64_json"]), Limits()).pixels
        mask = decode(base64.b64decode(content["mask_b64"]), Limits()).pixels
        return cls(picture[..., :3], mask[..., 0] > 0)


def difference(answer: Answer, expected: Answer, exact: bool = False) -> str:
    """Return how the answer differs from the expected one, or "" where it is right.

    Inside the mask it may differ by 2 of 255, or by nothing where `exact`. Outside it may not differ at all.
    """
    if answer.picture.shape != expected.picture.shape:
        return "another size"
    if (answer.mask != expected.mask).any():
        return f"{int((answer.mask != expected.mask).sum())} pixels of another mask"
    apart = np.abs(answer.picture.astype(np.int16) - expected.picture).max(axis=-1)
    inside = int(apart[expected.mask].max(initial=0))
    outside = int((apart[~expected.mask] > 0).sum())
    if outside:
        return f"{outside} pixels outside the mask changed"
    if inside > (0 if exact else MOST_INSIDE):
        return f"{inside} of 255 apart inside the mask"
    return ""


def owner(answer: Answer, known: Sequence[Answer]) -> int | None:
    """Return which of the known answers this one is, or None: a picture that belongs to somebody else was swapped."""
    return next((number for number, each in enumerate(known) if not difference(answer, each)), None)
