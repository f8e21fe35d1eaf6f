"""The values of options that are chosen by name."""

from __future__ import annotations

from typing import Literal

Mode = Literal["replace", "remove"]
MaskMode = Literal["auto", "alpha", "luminance"]
MaskShape = Literal["silhouette", "hull", "box"]
Fill = Literal["noise", "original", "blur"]
