"""What the driver and the book of the work under way say to each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a request may begin. If it may not, it finds its place when it comes back after `retry_after_s`."""

    admitted: bool
    retry_after_s: float = 0.0
