"""What each command does: ask the service, write files, show the result. Each returns the exit status."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from retouch.cli.display import Display, match, seconds, shortened
from retouch.cli.outputs import EditOutputs, check_input, check_outputs, edit_outputs
from retouch.cli.overlay import heat_overlay
from retouch.client import Retouch
from retouch.files import write_picture
from retouch.results import EditResult, Location, Score


def edit(options: argparse.Namespace, client: Retouch, display: Display) -> int:
    """`retouch edit`"""
    outputs = edit_outputs(options)
    over = f' over "{shortened(options.target)}"' if options.target else ""
    started = time.monotonic()
    with display.working(f'Painting "{shortened(options.prompt)}"{over}'):
        result = client.edit(
            options.image,
            options.prompt,
            target=options.target,
            negative_prompt=options.negative,
            n=options.n,
            seed=options.seed,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
            strength=options.strength,
            scheduler=options.scheduler,
        )
    elapsed_s = time.monotonic() - started
    saved = _save(result, outputs)
    display.show(
        title=str(saved[0]),
        facts=_edit_facts(result, saved, outputs.mask, elapsed_s),
        bare="\n".join(str(path) for path in saved),
        data=_edit_data(result, saved, outputs.mask, elapsed_s),
    )
    return 0


def locate(options: argparse.Namespace, client: Retouch, display: Display) -> int:
    """`retouch locate`"""
    check_input(options.image)
    if options.heat:
        check_outputs([options.heat], options.image)
    with display.working(f'Looking for "{shortened(options.target)}"'):
        location = client.locate(options.image, options.target)
    if options.heat:
        write_picture(heat_overlay(options.image, location), options.heat)
    x, y = location.point_xy
    display.show(
        title=f"{location.target} at ({x}, {y})" if location.found else f"{location.target}: not found",
        facts=_location_facts(location, options.heat),
        bare=f"{x} {y}" if location.found else "",
        data=_location_data(location, options.heat),
        good=location.found,
    )
    return 0 if location.found else 1


def score(options: argparse.Namespace, client: Retouch, display: Display) -> int:
    """`retouch score`"""
    check_input(options.image)
    with display.working(f'Comparing with "{shortened(options.text)}"'):
        value = client.score(options.image, options.text)
    display.show(
        title=f"{value:.3f}",
        facts=[("text", options.text)],
        bare=f"{value:.6f}",
        data={"text": options.text, "score": value},
    )
    return 0


def _save(result: EditResult, outputs: EditOutputs) -> list[Path]:
    """Write what came back, which may be fewer pictures than were asked for."""
    saved = []
    for image, path in zip(result.images, outputs.pictures, strict=False):
        write_picture(image, path)
        saved.append(path)
    if outputs.mask:
        write_picture(result.mask, outputs.mask)
    return saved


def _edit_facts(result: EditResult, saved: list[Path], mask: Path | None, elapsed_s: float) -> list[tuple[str, str]]:
    x, y = result.point_xy
    facts = [("found", f"{result.target} at ({x}, {y}), confidence {result.confidence:.2f}")]
    facts.append(("match", match(result.score.before, result.score.after)))
    facts.append(("region", match(result.score.region_before, result.score.region_after)))
    facts.append(("seed", str(result.seed)))
    for path, other in list(zip(saved, result.edits, strict=False))[1:]:
        facts.append(("also", f"{path}, match {match(other.score.before, other.score.after)}, seed {other.seed}"))
    if mask:
        facts.append(("mask", str(mask)))
    facts.append(("took", seconds(elapsed_s, result.timings_s)))
    return facts


def _edit_data(result: EditResult, saved: list[Path], mask: Path | None, elapsed_s: float) -> dict[str, Any]:
    edits = [
        {"path": str(path), "seed": edit.seed, "score": _score_data(edit.score)}
        for path, edit in zip(saved, result.edits, strict=False)
    ]
    return {
        "edits": edits,
        "mask": str(mask) if mask else None,
        "target": result.target,
        "point": result.point_xy,
        "confidence": result.confidence,
        "num_inference_steps": result.num_inference_steps,
        "guidance_scale": result.guidance_scale,
        "changed_outside_px": result.changed_outside_px,
        "timings": result.timings_s,
        "seconds": round(elapsed_s, 3),
        "request_id": result.request_id,
    }


def _score_data(score: Score) -> dict[str, float]:
    return {
        "before": score.before,
        "after": score.after,
        "delta": score.delta,
        "region_before": score.region_before,
        "region_after": score.region_after,
    }


def _location_facts(location: Location, heat: Path | None) -> list[tuple[str, str]]:
    x, y = location.point_xy
    facts = [] if location.found else [("best guess", f"({x}, {y})")]
    facts.append(("confidence", f"{location.confidence:.2f}"))
    return [*facts, ("heat", str(heat))] if heat else facts


def _location_data(location: Location, heat: Path | None) -> dict[str, Any]:
    return {
        "target": location.target,
        "found": location.found,
        "point": location.point_xy,
        "confidence": location.confidence,
        "size": location.size,
        "heat": str(heat) if heat else None,
        "request_id": location.request_id,
    }
