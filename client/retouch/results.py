"""What the calls return: frozen values with Pillow images.

Points are (x, y) in pixels of the upright picture, origin at its top left corner. Names that end in `_s`
are seconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from retouch.files import ranked, write_picture

Point = tuple[int, int]


@dataclass(frozen=True)
class Score:
    """How well the prompt describes the picture (CLIP's cosine, -1..1), before and after the edit.

    `before` and `after` look at the whole picture, the other two at the repainted region only.
    """

    before: float
    after: float
    region_before: float
    region_after: float

    @property
    def delta(self) -> float:
        """What the edit gained over the whole picture."""
        return self.after - self.before


@dataclass(frozen=True)
class Edit:
    """One edited picture, the seed it was painted with and how well it matches the prompt."""

    image: Image.Image = field(repr=False)
    seed: int
    score: Score


@dataclass(frozen=True)
class EditResult:
    """The answer to `edit`: one or more `edits`, best first.

    `mask` (mode L) is white where the picture was repainted; elsewhere `changed_outside_px` pixels
    changed, which is 0. `target` was found at `point_xy` with `confidence` 0..1. The same picture, texts
    and numbers together with an edit's `seed` give that edit again. `timings_s` has what each stage took.
    """

    edits: tuple[Edit, ...]
    mask: Image.Image = field(repr=False)
    target: str
    point_xy: Point
    confidence: float
    num_inference_steps: int
    guidance_scale: float
    changed_outside_px: int
    timings_s: dict[str, float]
    request_id: str | None = None

    @property
    def image(self) -> Image.Image:
        """The best picture."""
        return self.edits[0].image

    @property
    def images(self) -> tuple[Image.Image, ...]:
        """All pictures, best first."""
        return tuple(edit.image for edit in self.edits)

    @property
    def score(self) -> Score:
        """The score of the best picture."""
        return self.edits[0].score

    @property
    def scores(self) -> tuple[Score, ...]:
        """All scores, in the order of `images`."""
        return tuple(edit.score for edit in self.edits)

    @property
    def seed(self) -> int:
        """The seed of the best picture."""
        return self.edits[0].seed

    def save(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write `edited.png`, `edited-2.png`, ... and `mask.png` into `folder` and return their paths in that order.

        The folder is made if need be; files of these names in it are replaced.
        """
        home = Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        pictures = {ranked(home / "edited.png", rank): image for rank, image in enumerate(self.images, start=1)}
        pictures[home / "mask.png"] = self.mask
        for path, image in pictures.items():
            write_picture(image, path)
        return tuple(pictures)


@dataclass(frozen=True)
class Location:
    """The answer to `locate`: where `target` most likely is, and whether that is sure enough to act on.

    `size` is the picture's (width, height). `heat` is a Pillow image of mode F, 0..1, hot where the text
    matches; it covers the whole picture and may be coarser than it.
    """

    target: str
    found: bool
    point_xy: Point
    confidence: float
    size: tuple[int, int]
    heat: Image.Image = field(repr=False)
    request_id: str | None = None
