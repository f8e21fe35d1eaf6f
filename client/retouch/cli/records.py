"""What programs read: results and errors as `--json` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retouch.cli.outputs import EditOutputs
from retouch.errors import APIStatusError, InvalidResponse, RetouchError, TargetNotFound
from retouch.results import Candidate, EditResult, Location, Score


def edit_record(
    result: EditResult, saved: Sequence[Path], partials: Sequence[Path], outputs: EditOutputs, elapsed_s: float
) -> dict[str, Any]:
    """Return the record of an edit.

    `saved` are the files that its pictures went to, `partials` those of the unfinished ones, and `outputs` has those of
    its mask and its strip.
    """
    edits = [
        {
            "path": str(path),
            "seed": edit.seed,
            "score": _score(edit.score),
            "seam": edit.seam,
            "execution": edit.execution,
            "precision": edit.precision,
        }
        for path, edit in zip(saved, result.edits, strict=False)
    ]
    return {
        "edits": edits,
        "partials": [str(path) for path in partials],
        "mask": str(outputs.mask) if outputs.mask else None,
        "strip": str(outputs.strip) if outputs.strip else None,
        "mask_read": asdict(result.mask_read) if result.mask_read else None,
        "markup_read": asdict(result.markup_read) if result.markup_read else None,
        "mode": result.mode,
        "method": result.method,
        "fill_method": result.fill_method,
        **_place(result),
        "num_inference_steps": result.num_inference_steps,
        "guidance_scale": result.guidance_scale,
        "changed_outside_px": result.changed_outside_px,
        "converted": result.converted,
        "improved": result.improved,
        "filtered_seeds": result.filtered_seeds,
        "timings": result.timings_s,
        "usage": asdict(result.usage),
        "safety_identifier": result.safety_identifier,
        "seconds": round(elapsed_s, 3),
        "request_id": result.request_id,
    }


def location_record(location: Location, heat: Path | None = None, masks: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the record of a location; `heat` and `masks` are the files that its heat map and its masks went to."""
    return {
        **_place(location),
        "found": location.found,
        "size": location.size,
        "heat": str(heat) if heat else None,
        "masks": [str(path) for path in masks],
        "timings": location.timings_s,
        "request_id": location.request_id,
    }


def error_record(error: RetouchError) -> dict[str, Any]:
    """Return the record of an error."""
    names = ("status_code", "code", "param", "request_id")
    known = {name: getattr(error, name) for name in names} if isinstance(error, APIStatusError) else {}
    if isinstance(error, InvalidResponse):
        known = {"request_id": error.request_id}
    if isinstance(error, TargetNotFound):
        known["location"] = location_record(error.location) if error.location else None
    return {"type": type(error).__name__, "message": error.message, **known}


def _place(found: EditResult | Location) -> dict[str, Any]:
    return {
        "target": found.target,
        "phrase": found.phrase,
        "point": found.point_xy,
        "confidence": found.confidence,
        "margin": found.margin,
        "low_confidence": found.low_confidence,
        "candidates": [_candidate(candidate) for candidate in found.candidates],
        "chosen": found.chosen,
        "instances": found.instances,
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    record = {
        "point": candidate.point_xy,
        "box": candidate.box_xyxy,
        "area": candidate.area,
        "score": candidate.score,
        "sam_score": candidate.sam_score,
        "source": candidate.source,
    }
    return record | {"features": candidate.features} if candidate.features else record


def _score(score: Score | None) -> dict[str, float] | None:
    if score is None:
        return None
    return {
        "before": score.before,
        "after": score.after,
        "delta": score.delta,
        "region_before": score.region_before,
        "region_after": score.region_after,
    }
