"""What the calls return: frozen values with Pillow images.

Points are (x, y) and boxes (left, top, right, bottom) in pixels of the upright picture, with the origin at its top
left corner; right and bottom are exclusive. Names that end in `_s` are seconds.

`answers` reads each field by its declaration here. The metadata of a field say what differs in the answer: its `key`;
its `kind`, where the answer allows less than the field's type; for a list of objects the key in `each` of them that
holds the item; and the fields that are `absent` from the objects.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from PIL import Image

from retouch.drawing import candidates_map, png, strip
from retouch.pictures import ImageInput, ranked, write_pictures

Point = tuple[int, int]
Box = tuple[int, int, int, int]
Picture = Annotated[Image.Image, "in base64"]
"""A Pillow image in the mode in which it was sent."""

Mask = Annotated[Image.Image, "in base64, L"]
"""A Pillow image of mode L, white in the region and black outside it."""

HeatMap = Annotated[Image.Image, "rows of numbers, F"]
"""A Pillow image of mode F, 0 to 1."""


@dataclass(frozen=True)
class Score:
    """How well a text describes the picture before and after the edit: the cosine of CLIP, -1 to 1.

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
    """One edited picture, the seed it was painted with, and its score against the prompt.

    A classical fill has no seed. A removal has a score only if a text says what was removed; the score is that of this
    text, so less is better. `seam` is the mean difference (0 to 255) between the painting and the picture in a band
    just outside the region. `execution`, such as "openvino", and `precision`, such as "float32", say how the painter
    computed it; the same seed paints the same picture where both are the same. A classical fill has neither.
    """

    image: Picture = field(repr=False, metadata={"key": "b64_json"})
    seed: int | None
    score: Score | None
    seam: float
    execution: str | None
    precision: str | None


@dataclass(frozen=True)
class Candidate:
    """Something in the picture that may be meant.

    `point_xy` is where it was found; `box_xyxy` and `area` (a share of the picture) describe its mask. `score` ranks
    it, `sam_score` is the segmentation model's own guess of how good the mask is, and `features` are the numbers that
    the score was made from. `source` says what the mask was made from, such as "peak", "box", "heat" or "around".
    `mask` is white where the candidate is. The candidates of an edit have neither masks nor features.
    """

    point_xy: Point = field(metadata={"key": "point"})
    box_xyxy: Box = field(metadata={"key": "box"})
    area: float
    score: float
    sam_score: float
    source: str
    mask: Mask | None = field(default=None, repr=False, metadata={"key": "mask_b64", "kind": Mask})
    features: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskRead:
    """How the service read the mask of a request.

    In the `mode` "alpha" what is transparent marks what to repaint, as in OpenAI's API. If strokes are drawn on a clear
    ground, that is the ground. In the mode "luminance" what is light marks it, from the level `threshold` of the file's
    own scale on. `marked_px` is the number of marked pixels.
    """

    mode: str
    threshold: int
    marked_px: int


@dataclass(frozen=True)
class MarkupRead:
    """How the service read the markup of a request.

    A loop is read as the `box` around it. Other drawings are read as `points`, one in the middle of each, and `box` is
    None. `marked_px` is the number of painted pixels.
    """

    box: Box | None
    points: tuple[Point, ...]
    marked_px: int


@dataclass(frozen=True)
class InputTokens:
    """What an edit read: `image_tokens` is one for each 1024 pixels of the picture, and `text_tokens` are those of its
    texts, as the painter counts them.
    """

    image_tokens: int
    text_tokens: int


@dataclass(frozen=True)
class Usage:
    """What an edit took, in the fields of OpenAI's API. Both parts of the input are in `input_tokens_details`.

    `output_tokens` are the rows that the network of the painter computed in all steps: two for a step of one picture
    with guidance, else one. A classical fill has none.
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokens


@dataclass(frozen=True)
class EditResult:
    """The answer to `edit` and `remove`: one or more `edits`, best first.

    `mask` is white where the picture was repainted. Elsewhere `changed_outside_px` pixels differ from the picture as
    the service read it; the number is always 0. `mask_read` and `markup_read` say how a mask and a markup of the
    request were read, and are None without one. `converted` names what reading the picture changed: "profile" (its
    colours became sRGB), "alpha" (transparency was laid over white), "depth" (16 bits became 8), "orientation" (it was
    turned upright), "frames" (only the first was read), "metadata" (EXIF, texts, resolution and the like were left
    out). `method` is "diffusion", or the name of a classical fill without a model. In the `mode` "remove" `fill_method`
    is "painter" or "classical" accordingly, and otherwise None.

    The fields from `target` to `instances` are those of `Location`. `improved` says whether the best picture matches
    the prompt better than the unedited one did, or after a removal, whether it matches the target less.
    `filtered_seeds` are the seeds of pictures that the safety checker holds back. The same picture, texts and numbers
    with the seed of an edit give that edit again. `timings_s` has the duration of each stage. `usage` says what the
    edit took, and `safety_identifier` is the one that it was sent with.
    """

    edits: tuple[Edit, ...] = field(metadata={"key": "data"})
    mask: Mask = field(repr=False, metadata={"key": "mask_b64"})
    mask_read: MaskRead | None
    markup_read: MarkupRead | None
    mode: str
    method: str
    fill_method: str | None
    target: str
    phrase: str
    point_xy: Point = field(metadata={"key": "point"})
    confidence: float
    margin: float
    low_confidence: bool
    candidates: tuple[Candidate, ...] = field(metadata={"absent": ("mask", "features")})
    chosen: int
    instances: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float
    changed_outside_px: int
    converted: tuple[str, ...]
    improved: bool
    filtered_seeds: tuple[int, ...] = field(metadata={"key": "filtered", "each": "seed"})
    timings_s: dict[str, float] = field(metadata={"key": "timings"})
    usage: Usage
    safety_identifier: str | None
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

        A missing folder is created; files of these names in it are replaced.
        """
        edited = {ranked(Path("edited.png"), rank): image for rank, image in enumerate(self.images, start=1)}
        return write_pictures(folder, {**edited, Path("mask.png"): self.mask})

    def strip(self, original: ImageInput) -> Image.Image:
        """Return before, mask and after side by side; `original` is the picture that was edited."""
        return strip(original, self.mask, self.image)

    def _repr_png_(self) -> bytes:
        """Return the best picture for a notebook."""
        return png(self.image)


@dataclass(frozen=True)
class Progress:
    """What an edit is doing. `stage` is "locate", "segment", "inpaint", "fill" or "score".

    While it paints, `done` of `total` denoising steps are taken, those of all pictures together. Both are 0 elsewhere.
    """

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class PartialImage:
    """The whole picture with the painting in it as far as it has come. `index` counts these pictures from 0."""

    image: Picture = field(repr=False, metadata={"key": "b64_json"})
    index: int = field(metadata={"key": "partial_image_index"})


StreamEvent = Progress | PartialImage | EditResult
"""What an edit as a stream yields: any number of the first two, and the result last."""


@dataclass(frozen=True)
class Location:
    """The answer to `locate`: where `target` most likely is, and in `found`, whether that is sure enough to act on.

    `phrase` is the text that was looked for. `confidence` (0 to 1) says how surely something at `point_xy` matches, and
    `margin` says the same on an open scale. `size` is the picture's (width, height). `heat` is a Pillow image of mode
    F, 0 to 1, hot where the text matches; it covers the whole picture and may be coarser than it. Where points or a box
    say what is meant, `confidence` is that of the cut-out, `margin` is 0 and `heat` is None.

    `candidates` are the things that may be meant, best first. `chosen` is the index of the one that an edit repaints;
    the option `candidate` of an edit takes another. `instances` are the indices of all that are meant: the chosen one
    alone, or each one where all things of that name are meant. Their masks do not overlap. `low_confidence` says that
    no cut-out fits, so that the mask is the heat map, a small region around the points, or the box.
    """

    target: str
    phrase: str
    found: bool
    point_xy: Point = field(metadata={"key": "point"})
    confidence: float
    margin: float
    low_confidence: bool
    candidates: tuple[Candidate, ...]
    chosen: int
    instances: tuple[int, ...]
    size: tuple[int, int]
    heat: HeatMap | None = field(repr=False)
    timings_s: dict[str, float] = field(metadata={"key": "timings"})
    request_id: str | None = None

    def save_masks(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write the mask of each candidate into `folder` and return the paths: `mask-0.png` is that of candidate 0.

        A missing folder is created; files of these names in it are replaced.
        """
        masks = {Path(f"mask-{index}.png"): candidate.mask for index, candidate in enumerate(self.candidates)}
        return write_pictures(folder, {name: mask for name, mask in masks.items() if mask})

    def _repr_png_(self) -> bytes | None:
        """Return the candidates over the heat map for a notebook, the meant ones in orange, or None without either."""
        masks = [candidate.mask for candidate in self.candidates]
        return png(candidates_map(self.size, self.heat, masks, self.instances)) if self.heat or any(masks) else None
