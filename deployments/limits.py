"""The limits of what is accepted: the greatest number of steps, pixels, pictures and so on, with their defaults.

An operator sets them live, under `limits` in the driver's `user_config`. A field of a request whose bound depends on
one names it in its declaration (`messages/requests.py`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SEED_LIMIT = 2**63  # seeds are below it


class Limits(BaseModel):
    """The greatest and least values that are accepted. What lies beyond them is refused before any work is done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_image_bytes: int = Field(20_000_000, ge=1)
    max_pixels: int = Field(16_777_216, ge=1)
    min_side_px: int = Field(16, ge=1)
    max_side_px: int = Field(8192, ge=1)
    max_prompt_chars: int = Field(1000, ge=1)
    max_images: int = Field(10, ge=1)
    max_points: int = Field(64, ge=1)
    max_inference_steps: int = Field(150, ge=1)
    max_guidance_scale: float = Field(30.0, ge=1)

    @property
    def max_seed(self) -> int:
        """The highest seed of a first picture: picture k of n has the seed that is k higher."""
        return SEED_LIMIT - self.max_images
