"""What comes of one case, and what many of them come to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.in_process import InProcessGraph
from benchmarks.quality_cases import QualityCase
from benchmarks.stock import StockEditor
from deployments.errors import InvalidInput, TargetNotFound
from deployments.grounding.peaks import heat_mask, hot_spots
from deployments.messages import EditRequest, LocateRequest, Location
from deployments.pixels import pasting
from deployments.pixels.masks import iou

Told = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of one case; None where it says nothing about that. Times in seconds."""

    kind: str
    point: bool | None = None
    instance: bool | None = None
    iou: float | None = None
    worse: bool | None = None
    absent: bool | None = None
    margin: float | None = None
    edited: bool | None = None
    seam: float | None = None
    changed_px: int | None = None
    locate_s: float | None = None
    paint_s: float | None = None


COLUMNS = {
    "point": "point on it",
    "instance": "right one of several",
    "iou": "mask IoU",
    "worse": "worse than the heat map",
    "absent": "absent recognised",
    "edited": "edit succeeds",
    "seam": "seam",
    "changed_px": "px changed outside",
    "locate_s": "ms to find",
    "paint_s": "ms to paint",
}


async def outcome(graph: InProcessGraph, n: int, case: QualityCase, edit: bool) -> Outcome:
    """Of one case: what is found, and with `edit` what is painted there."""
    start = time.perf_counter()
    try:
        location = await graph.driver.locate(LocateRequest(case.image, case.target))
    except (TargetNotFound, InvalidInput):
        location = None
    told = {"locate_s": time.perf_counter() - start, **found(case, location)}
    if edit and case.truth is not None:
        told |= await painted(graph, n, case)
    return Outcome(case.kind, **told)


def found(case: QualityCase, location: Location | None) -> Told:
    """What a location says about its case."""
    margin = None if location is None else location.margin
    if case.truth is None:
        return {"absent": location is None or not location.found, "margin": margin}
    if location is None or not location.candidates:
        return {"point": False, "iou": 0.0, "worse": True, "instance": False if len(case.same) > 1 else None}
    x, y = location.point_xy
    mask = location.candidates[0].mask.unpack()
    told: Told = {
        "point": any(bool(same[y, x]) for same in case.same),
        "iou": iou(mask, case.truth),
        "margin": margin,
    }
    if len(case.same) > 1:
        told["instance"] = bool(case.truth[y, x])
    if location.heat is not None:
        spot = hot_spots(location.heat, case.truth.shape, 1)[0]
        told["worse"] = iou(mask, case.truth) < iou(heat_mask(spot, location.heat, case.truth.shape), case.truth)
    return told


async def painted(graph: InProcessGraph, n: int, case: QualityCase) -> Told:
    request = EditRequest(case.image, case.prompt, target=case.target, seed=case.seed, n=n)
    try:
        result = await graph.driver.edit(request)
    except (TargetNotFound, InvalidInput):
        return {"edited": False}
    picture = result.edits[0].image
    return {
        "edited": case.judged(picture),
        "seam": result.edits[0].seam,
        "changed_px": pasting.changed_outside(case.image, picture, result.mask),
        "paint_s": result.timings_s["inpaint"] + result.timings_s["score"],
    }


def seeds_way(baseline: StockEditor, case: QualityCase, edit: bool) -> Outcome:
    """The same of the seed's way."""
    start = time.perf_counter()
    (x, y), mask = baseline.find(case.image, case.target)
    told: Told = {"locate_s": time.perf_counter() - start}
    if case.truth is None:
        return Outcome(case.kind, absent=False, locate_s=told["locate_s"])
    told |= {"point": any(bool(same[y, x]) for same in case.same), "iou": iou(mask, case.truth)}
    if len(case.same) > 1:
        told["instance"] = bool(case.truth[y, x])
    if edit:
        start = time.perf_counter()
        picture = baseline.paint(case.image, mask, case.prompt, case.seed)
        told |= {
            "paint_s": time.perf_counter() - start,
            "edited": case.judged(picture),
            "changed_px": pasting.changed_outside(case.image, picture, mask),
        }
    return Outcome(case.kind, **told)


def means(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """Of each column over the cases that say something about it; the median of times."""
    told: dict[str, float | None] = {}
    for name in COLUMNS:
        values = [float(value) for one in outcomes if (value := getattr(one, name)) is not None]
        average = np.median if name.endswith("_s") else np.max if name == "changed_px" else np.mean
        told[name] = float(average(values)) if values else None
    return told
