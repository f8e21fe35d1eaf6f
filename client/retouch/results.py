"""What the calls return: frozen values with Pillow images.

Points are (x, y) and boxes (left, top, right, bottom) in pixels of the upright picture, origin at its top
left corner, right and bottom exclusive. Names that end in `_s` are seconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from retouch.files import ranked, write_pictures

Point = tuple[int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Score:
    """How well a text describes the picture (CLIP's cosine, -1..1), before and after the edit.

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
    """One edited picture, the seed it was painted with and how well it matches the prompt.

    A removal has no seed, and a score only if a text said what to remove: that text's, so less is better. `seam` is
    the mean difference 0..255 between painting and picture in a band just outside the region.
    """

    image: Image.Image = field(repr=False)
    seed: int | None
    score: Score | None
    seam: float


@dataclass(frozen=True)
class Candidate:
    """Something in the picture that may be meant.

    `point_xy` is where it was found; `box_xyxy` and `area` (a share of the picture) are its mask's. `score` ranks it,
    `sam_score` is the segmentation model's own guess of how good the mask is, `features` are what the score was made
    from. `source` says what the mask was made from, such as "peak", "box", "heat" or "around". `mask` (mode L) is white
    where it is; an edit's answer has neither masks nor features.
    """

    point_xy: Point
    box_xyxy: Box
    area: float
    score: float
    sam_score: float
    source: str
    mask: Image.Image | None = field(repr=False)
    features: dict[str, float]


@dataclass(frozen=True)
class MaskRead:
    """How the service read a mask that was sent.

    By the `mode` "alpha" what is transparent marks what to repaint, as OpenAI has it: of strokes on a clear ground the
    ground. By "luminance" what is light does, from the level `threshold` of the file's own scale on. `marked_px` pixels
    are marked.
    """

    mode: str
    threshold: int
    marked_px: int


@dataclass(frozen=True)
class EditResult:
    """The answer to `edit` and `remove`: one or more `edits`, best first.

    `mask` (mode L) is white where the picture was repainted; elsewhere `changed_outside_px` pixels changed of the
    picture as the service read it, which is 0. `mask_read` says how a mask of yours was read, None without one.
    `converted` names what reading the file did to it, if anything: "profile" (its colours became sRGB),
    "alpha" (transparency was laid over white), "depth" (16 bits became 8), "orientation" (it was turned upright),
    "frames" (only the first was read), "metadata" (EXIF, texts, resolution and the like were left behind).
    `method` says how: "diffusion", or for the `mode` "remove" a classical fill without a model.
    From `target` to `instances` it tells what `Location` does. `improved` tells whether the best picture matches better
    than the unedited one did (after a removal: matches the target less). `filtered_seeds` are those whose pictures the
    safety checker holds back. The same picture, texts and numbers together with an edit's `seed` give that edit again.
    `timings_s` has what each stage took.
    """

    edits: tuple[Edit, ...]
    mask: Image.Image = field(repr=False)
    mask_read: MaskRead | None
    mode: str
    method: str
    target: str
    phrase: str
    point_xy: Point
    confidence: float
    margin: float
    low_confidence: bool
    candidates: tuple[Candidate, ...]
    chosen: int
    instances: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float
    changed_outside_px: int
    converted: tuple[str, ...]
    improved: bool
    filtered_seeds: tuple[int, ...]
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
    def score(self) -> Score | None:
        """The score of the best picture."""
        return self.edits[0].score

    @property
    def scores(self) -> tuple[Score | None, ...]:
        """All scores, in the order of `images`."""
        return tuple(edit.score for edit in self.edits)

    @property
    def seed(self) -> int | None:
        """The seed of the best picture."""
        return self.edits[0].seed

    def save(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write `edited.png`, `edited-2.png`, ... and `mask.png` into `folder` and return their paths in that order.

        The folder is made if need be; files of these names in it are replaced.
        """
        edited = {ranked(Path("edited.png"), rank): image for rank, image in enumerate(self.images, start=1)}
        return write_pictures(folder, {**edited, Path("mask.png"): self.mask})


@dataclass(frozen=True)
class Location:
    """The answer to `locate`: where `target` most likely is, and whether that is sure enough to act on.

    `phrase` is what was looked for. `confidence` in 0..1 says how surely something at `point_xy` matches, `margin`
    the same as an open scale. `size` is the picture's (width, height). `heat` is a Pillow image of mode F, 0..1, hot
    where the text matches; it covers the whole picture and may be coarser than it. Where points or a box said what is
    meant `confidence` is that of the cut-out, and there is neither margin nor heat.

    `candidates` are what may be meant, best first, and `chosen` is the index of the one that an edit repaints; `edit`
    takes another with `candidate`. `instances` are the indices of all that are meant: the chosen one, or each where all
    things of that name are, in masks that do not overlap. `low_confidence` tells that no cut-out fitted: the mask is
    the heat, or a small region around the points, or the box.
    """

    target: str
    phrase: str
    found: bool
    point_xy: Point
    confidence: float
    margin: float
    low_confidence: bool
    candidates: tuple[Candidate, ...]
    chosen: int
    instances: tuple[int, ...]
    size: tuple[int, int]
    heat: Image.Image | None = field(repr=False)
    timings_s: dict[str, float]
    request_id: str | None = None

    def save_masks(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write the candidates' masks into `folder`: `mask-0.png` is that of candidate 0. Returns their paths.

        The folder is made if need be; files of these names in it are replaced.
        """
        masks = {Path(f"mask-{index}.png"): candidate.mask for index, candidate in enumerate(self.candidates)}
        return write_pictures(folder, {name: mask for name, mask in masks.items() if mask})
