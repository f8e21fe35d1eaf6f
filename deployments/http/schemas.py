"""The JSON of the answers. Points are [x, y] and boxes [left, top, right, bottom], in pixels of the picture."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from deployments.http.fields import MODEL
from deployments.messages import Box, FillMethod, Mode, Point, Source
from deployments.pixels.files import Conversion, Format

MODEL_CREATED = 1_767_225_600  # 2026-01-01; the contract asks for a time


class ScoreAnswer(BaseModel):
    """How well the picture matches the text: the cosine of their CLIP embeddings, -1..1."""

    score: float


class CandidateAnswer(BaseModel):
    """Something that may be meant: where it is, its `area` as a share of the picture, and the `score` it is ranked by.

    `sam_score` is SAM's own guess of how good the mask is. `source` says which prompt SAM answered; SAM did not make
    the masks of "heat" (CLIP's map), "around" (a region around points, or the box itself) and "mask" (the caller's).
    """

    point: Point
    box: Box
    area: float
    score: float
    sam_score: float
    source: Source


class LocatedCandidate(CandidateAnswer):
    """A candidate with the features that its score was made from, and its mask as a PNG, white where it is."""

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
    """One picture. A classical fill has no seed. A removal has a score only where a text names what was removed: that
    text's score, so less is better.

    `seam` is the mean difference, 0..255, between painting and picture in a band around the region, where both should
    show the same. `execution` and `precision` say how the painter computed it, null for a classical fill: the same seed
    paints the same picture where both are the same.
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
    code: Literal["moderation_blocked"] = "moderation_blocked"


class MaskRead(BaseModel):
    """How a mask that was sent was read: by which `mode`, and how many of its pixels mark something.

    By `alpha` the transparent pixels mark, as OpenAI has it; of strokes on a clear ground that is the ground. By
    `luminance` the light pixels mark, those at or above the level `threshold` of the file's own scale. That is half of
    the scale, or less where the mask is dark and has only 0 and one other level.
    """

    mode: Literal["alpha", "luminance"]
    marks: Literal["transparent", "light"]
    threshold: int
    marked_px: int


class MarkupRead(BaseModel):
    """How a drawing that was sent was read, and how many of its pixels are painted.

    A loop is a `box` around what is meant. Other strokes are points on it, one for each drawing; `box` is null then.
    """

    box: Box | None
    points: list[Point]
    marked_px: int


class InputTokens(BaseModel):
    """What an edit read: the picture, 1024 pixels to a token, and the painter's texts, in its own tokens."""

    image_tokens: int
    text_tokens: int


class Usage(BaseModel):
    """What an edit took, in the form of OpenAI. `output_tokens` counts the rows of the UNet over all steps that were
    taken: a step of one picture has two rows with guidance, else one. A classical fill has none, and reads no text.
    """

    input_tokens: int
    input_tokens_details: InputTokens
    output_tokens: int
    total_tokens: int


class EditAnswer(BaseModel):
    """The pictures, best first, and how they were made.

    `mask_b64` is a PNG, white where pixels were allowed to change, and `mask_read` says how a mask that was sent was
    read (null without one), as `markup_read` does of a drawing. `safety_identifier` repeats the request's.
    `changed_outside_px` counts the pixels elsewhere that differ from the picture as it was
    read. `converted` names what reading the file did to it, if anything: profile (its colours became sRGB), alpha
    (transparency was laid over white), depth (16 bits became 8), orientation (it was turned upright), frames (only the
    first was read), metadata (EXIF, texts, resolution and the like were left behind).
    `candidates` are the things that may have been meant, best first, and `instances` the indices of those that were
    repainted: the `chosen` one, or each of them where all were meant. `fill_method` says how a removal was filled (null
    where the prompt was painted), and `method` what that is. `improved` says whether the best picture matches the
    prompt better in the mask than the unedited one did, or after a removal, whether it matches what was removed less.
    `timings` are in seconds. `LocateAnswer` describes the other fields.
    """

    created: int
    data: list[EditedImage]
    output_format: Format
    size: str
    background: Literal["opaque"] = "opaque"
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"]
    usage: Usage
    safety_identifier: str | None
    mode: Mode
    method: Literal["diffusion", "classical fill"]
    fill_method: FillMethod | None
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
    markup_read: MarkupRead | None
    changed_outside_px: int
    converted: list[Conversion]
    improved: bool
    filtered: list[FilteredImage]
    num_inference_steps: int
    guidance_scale: float
    timings: dict[str, float]


class LocateAnswer(BaseModel):
    """Where the target is in a picture of `size` [width, height], and the things that may be meant, best first.

    `phrase` is what CLIP was asked for. `confidence`, 0..1, says how surely something at `point` matches it, and
    `margin` says the same in logits over everything else that a picture may show. `heat` has the rows of CLIP's map,
    0..1. Where points or a box were given `heat` is null, and `confidence` is that of SAM's mask. An edit repaints the
    candidate with the index `chosen`, or where all things are meant each of the `instances`, whose masks do not
    overlap. `low_confidence` says that no mask fitted: the mask is the heat map, or a small region around the points,
    or the box.
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
    """A model in the form in which the OpenAI SDK lists models."""

    id: str = MODEL
    object: Literal["model"] = "model"
    created: int = MODEL_CREATED
    owned_by: str = MODEL


class ModelsAnswer(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelAnswer] = [ModelAnswer()]
