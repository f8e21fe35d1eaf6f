"""Turn the driver's results into what is sent. Pictures are encoded here, which takes too long for the event loop."""

from __future__ import annotations

import base64
import math
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deployments.driver.rules import size_of
from deployments.http import schemas
from deployments.http.fields import EditFields
from deployments.messages import Candidate, Edit, EditResult, Location, Score
from deployments.pixels.files import Conversion, encode, mask_png
from deployments.pixels.markup import ReadMarkup
from deployments.pixels.mask_files import ReadMask

IMAGE_TOKEN_PX = 1024  # pixels of a picture that count as a token


@dataclass(frozen=True, eq=False)
class Sent:
    """What an edit was sent with: its fields, and how its files were read.

    `converted` names what reading the picture did to it.
    """

    fields: EditFields
    converted: tuple[Conversion, ...]
    mask: ReadMask | None = None
    markup: ReadMarkup | None = None


def edit_json(result: EditResult, sent: Sent) -> bytes:
    """Return the JSON body that answers an edit."""
    location, fields = result.location, sent.fields
    answer = schemas.EditAnswer(
        created=int(time.time()),
        data=[_edited(edit, fields) for edit in result.edits],
        output_format=fields.output_format,
        size=size_of(result.mask),
        quality=quality_of(fields, paints=result.fill_method != "classical"),
        usage=_usage(result),
        safety_identifier=fields.identifier,
        mode=result.mode,
        method="classical fill" if result.fill_method == "classical" else "diffusion",
        fill_method=result.fill_method,
        target=location.target,
        phrase=location.phrase,
        point=location.point_xy,
        confidence=location.confidence,
        margin=location.margin,
        low_confidence=location.low_confidence,
        chosen=location.chosen,
        instances=list(location.repainted),
        candidates=[_candidate(candidate) for candidate in location.candidates],
        mask_b64=_base64(mask_png(result.mask)),
        mask_read=None if sent.mask is None else _mask_read(sent.mask),
        markup_read=None if sent.markup is None else _markup_read(sent.markup),
        changed_outside_px=result.changed_outside_px,
        converted=list(sent.converted),
        improved=result.improved,
        filtered=[schemas.FilteredImage(seed=seed) for seed in result.filtered_seeds],
        num_inference_steps=result.num_inference_steps,
        guidance_scale=result.guidance_scale,
        timings=_rounded(result.timings_s),
    )
    return answer.model_dump_json().encode()


def edit_file(result: EditResult, sent: Sent) -> tuple[bytes, dict[str, str]]:
    """Return the best picture as a file, and the headers that say what the JSON body would say of it."""
    best = result.edits[0]
    x, y = result.location.point_xy
    headers = {
        "x-retouch-point": f"{x},{y}",
        "x-retouch-candidate": ",".join(map(str, result.location.repainted)),
        "x-retouch-improved": str(result.improved).lower(),
    }
    if result.fill_method is not None:
        headers["x-retouch-fill-method"] = result.fill_method
    if sent.converted:
        headers["x-retouch-converted"] = ",".join(sent.converted)
    if sent.mask is not None:
        read = _mask_read(sent.mask)
        headers["x-retouch-mask-read"] = f"{read.mode}, threshold={read.threshold}, marked_px={read.marked_px}"
    if sent.markup is not None:
        read_as = "points" if sent.markup.box is None else "box"
        headers["x-retouch-markup-read"] = f"{read_as}, marked_px={sent.markup.marked_px}"
    if best.seed is not None:
        headers["x-retouch-seed"] = str(best.seed)
    if best.score is not None:
        headers["x-retouch-score"] = f"{best.score.after:.4f}"
    return _file(best.image, sent.fields), headers


def locate_answer(location: Location, size: tuple[int, int]) -> schemas.LocateAnswer:
    """Return the answer that describes a location in a picture of `size` (width, height)."""
    return schemas.LocateAnswer(
        target=location.target,
        phrase=location.phrase,
        found=location.found,
        point=location.point_xy,
        confidence=location.confidence,
        margin=location.margin,
        size=size,
        heat=None if location.heat is None else np.round(location.heat.astype(np.float64), 4).tolist(),
        low_confidence=location.low_confidence,
        chosen=location.chosen,
        instances=list(location.repainted),
        candidates=[_located(candidate) for candidate in location.candidates],
        timings=_rounded(location.timings_s),
    )


def picture_base64(image: np.ndarray, fields: EditFields) -> str:
    """Return a picture, HxWx3 uint8, as a file of the format that the fields ask for, in base64."""
    return _base64(_file(image, fields))


def _edited(edit: Edit, fields: EditFields) -> schemas.EditedImage:
    score = None if edit.score is None else _score(edit.score)
    return schemas.EditedImage(
        b64_json=picture_base64(edit.image, fields),
        seed=edit.seed,
        score=score,
        seam=edit.seam,
        execution=edit.execution,
        precision=edit.precision,
    )


def _file(image: np.ndarray, fields: EditFields) -> bytes:
    quality = 100 if fields.output_compression is None else fields.output_compression
    return encode(image, fields.output_format, quality)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _score(score: Score) -> schemas.EditScore:
    return schemas.EditScore(
        before=score.before,
        after=score.after,
        delta=score.delta,
        region_before=score.region_before,
        region_after=score.region_after,
    )


def _mask_read(mask: ReadMask) -> schemas.MaskRead:
    return schemas.MaskRead(
        mode=mask.mode,
        marks="transparent" if mask.mode == "alpha" else "light",
        threshold=mask.threshold,
        marked_px=int(mask.marked.sum()),
    )


def _markup_read(markup: ReadMarkup) -> schemas.MarkupRead:
    return schemas.MarkupRead(box=markup.box, points=list(markup.points), marked_px=markup.marked_px)


def _usage(result: EditResult) -> schemas.Usage:
    details = schemas.InputTokens(
        image_tokens=math.ceil(result.mask.size / IMAGE_TOKEN_PX), text_tokens=result.text_tokens
    )
    read = details.image_tokens + details.text_tokens
    return schemas.Usage(
        input_tokens=read,
        input_tokens_details=details,
        output_tokens=result.row_steps,
        total_tokens=read + result.row_steps,
    )


def _candidate(candidate: Candidate) -> schemas.CandidateAnswer:
    return schemas.CandidateAnswer(
        point=candidate.point_xy,
        box=candidate.box_xyxy,
        area=candidate.area,
        score=candidate.score,
        sam_score=candidate.sam_score,
        source=candidate.source,
    )


def _located(candidate: Candidate) -> schemas.LocatedCandidate:
    return schemas.LocatedCandidate(
        **_candidate(candidate).model_dump(),
        features=candidate.features,
        mask_b64=_base64(mask_png(candidate.mask.unpack())),
    )


def quality_of(fields: EditFields, paints: bool) -> Literal["low", "medium", "high", "xhigh", "max", "auto"]:
    """Return OpenAI's word for the steps that are taken: "auto" where nothing is painted or their number was sent."""
    if "num_inference_steps" in fields.model_fields_set or not paints:
        return "auto"
    return "medium" if fields.quality == "auto" or fields.quality == "standard" else fields.quality


def _rounded(timings_s: dict[str, float]) -> dict[str, float]:
    return {stage: round(seconds, 4) for stage, seconds in timings_s.items()}
