"""What answers look like on the wire. Points are [x, y], boxes [left, top, right, bottom], in pixels of the picture."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from deployments.http.fields import MODEL
from deployments.messages import Box, Mode, Point, Source
from deployments.pixels.files import Conversion, Format

MODEL_CREATED = 1_767_225_600  # 2026-01-01; the contract asks for a time


class ScoreAnswer(BaseModel):
    """How well the picture matches the text: the cosine of their CLIP embeddings, -1..1."""

    score: float


class CandidateAnswer(BaseModel):
    """Something that may be meant: where it is, its share of the picture, and what `score` it is ranked by.

    `sam_score` is SAM's own guess of how good the mask is; `source` what SAM was asked with. It did not make those of
    "heat" (CLIP's map), "around" (a region around points, or the box itself) and "mask" (the caller's).
    """

    point: Point
    box: Box
    area: float
    score: float
    sam_score: float
    source: Source


class LocatedCandidate(CandidateAnswer):
    """A candidate with what its score was made from, and its mask as a PNG, white where it is."""

    features: dict[str, float]
    mask_b64: str


class EditScore(BaseModel):
    """How well the picture matches the prompt, -1..1, as a whole and in the repainted region."""

    before: float
    after: float
    delta: float
    region_before: float
    region_after: float


class EditedImage(BaseModel):
    """One picture. A removal has no seed; it has a score where `target` says what is gone: that text's.

    `seam` is the mean difference, 0..255, of painting and picture in a band around the region, where both show the
    same. `execution` and `precision` say how the painter computed it, null for a removal: the same seed paints the
    same picture where both are the same.
    """

    b64_json: str
    seed: int | None
    score: EditScore | None
    seam: float
    execution: str | None
    precision: str | None


class FilteredImage(BaseModel):
    """A picture that the safety checker holds back."""

    seed: int
    code: Literal["content_filtered"] = "content_filtered"


class MaskRead(BaseModel):
    """How a mask that was sent was read: what it marks by, and how many pixels of it mark.

    By `alpha` that is what is transparent, as OpenAI has it: of strokes on a clear ground the ground. By `luminance`
    what is light, from the level `threshold` of the file's own scale on: half of it, or less where all is dark but the
    mask has just 0 and one other level.
    """

    mode: Literal["alpha", "luminance"]
    marks: Literal["transparent", "light"]
    threshold: int
    marked_px: int


class EditAnswer(BaseModel):
    """The pictures, best first, and how they came about.

    `mask_b64` is a PNG, white where pixels were allowed to change, and `mask_read` says how a mask that was sent was
    read (null without one); `changed_outside_px` counts those of the picture as it was read that did elsewhere.
    `converted` names what reading the file did to it, if anything: profile (its colours became sRGB), alpha
    (transparency was laid over white), depth (16 bits became 8), orientation (it was turned upright), frames (only the
    first was read), metadata (EXIF, texts, resolution and the like were left behind).
    `candidates` are what may have been meant, best first, and `instances` the indices of those that were repainted: the
    one that is `chosen`, or each where all were meant;
    `improved` tells whether the best picture matches the prompt better there than the unedited one did. The rest is
    told in `LocateAnswer`; `timings` are in seconds.
    """

    created: int
    data: list[EditedImage]
    output_format: Format
    size: str
    background: Literal["opaque"] = "opaque"
    quality: Literal["low", "medium", "high", "auto"]
    mode: Mode
    method: Literal["diffusion", "classical fill"]
    target: str
    phrase: str
    point: Point
    confidence: float
    margin: float
    low_confidence: bool
    chosen: int
    instances: list[int]
    candidates: list[CandidateAnswer]
    mask_b64: str
    mask_read: MaskRead | None
    changed_outside_px: int
    converted: list[Conversion]
    improved: bool
    filtered: list[FilteredImage]
    num_inference_steps: int
    guidance_scale: float
    timings: dict[str, float]


class LocateAnswer(BaseModel):
    """Where the target is in a picture of `size` [width, height], and what may be meant, best first.

    `phrase` is what CLIP was asked for; `confidence`, 0..1, how surely something at `point` matches it, `margin` the
    same in logits over whatever else a picture may show. `heat` has the rows of CLIP's map, 0..1. Where points or a box
    were given it is null and `confidence` that of SAM's mask. An edit repaints the candidate number `chosen`, or where
    all things are meant each of the `instances`, whose masks do not overlap. With
    `low_confidence` no mask fitted: it is the heat map, or a small region around the points, or the box.
    """

    target: str
    phrase: str
    found: bool
    point: Point
    confidence: float
    margin: float
    size: tuple[int, int]
    heat: list[list[float]] | None
    low_confidence: bool
    chosen: int
    instances: list[int]
    candidates: list[LocatedCandidate]
    timings: dict[str, float]


class ModelAnswer(BaseModel):
    """A model, as the OpenAI SDK lists them."""

    id: str = MODEL
    object: Literal["model"] = "model"
    created: int = MODEL_CREATED
    owned_by: str = MODEL


class ModelsAnswer(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer] = [ModelAnswer()]
