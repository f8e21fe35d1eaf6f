"""How well a removal shows the ground that the thing hid, by the classical fill and by the painter.

Each scene of the pocket world has one thing, so what it hides is known to the pixel: the same scene before the thing
was put there. The photographs are ones that no training has seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks import report
from benchmarks.in_process import InProcessGraph
from deployments.config import GraphArgs
from deployments.messages import EditRequest, FillMethod
from pocket import hard, world
from pocket.vocabulary import STICKERS
from pocket.world import Ground, Scene

NAME = "removal"
STREAM = 22
METHODS: tuple[FillMethod, ...] = get_args(FillMethod)
LEAST_MSE = 0.065  # of levels 0..255; a fill that is exact to a rounding has a PSNR of 60 dB and not an infinite one


@dataclass(frozen=True)
class Removal:
    """What came of one removal: the PSNR in dB over all that it may have changed, its seam, and its seconds."""

    ground: Ground
    method: FillMethod
    psnr: float
    seam: float
    seconds: float


async def measure(args: GraphArgs, scenes: int, say: Callable[[str], None]) -> list[Removal]:
    """Return the outcomes of both methods on `scenes` scenes of each kind of ground."""
    graph = InProcessGraph(args)
    measured = []
    for kind, ground in enumerate(world.GROUNDS):
        for number in range(scenes):
            scene = _scene(kind, ground, number)
            measured += [await _removal(graph, scene, method, number) for method in METHODS]
        say(f"removals from {ground} grounds measured")
    return measured


def table(removals: Sequence[Removal]) -> str:
    """Return Markdown, a row for each kind of ground and each method: means, and the median of the times."""
    lines = ["| removal | scenes | PSNR in the region, dB | seam | ms |", "|---" * 5 + "|"]
    for ground in world.GROUNDS:
        for method in METHODS:
            those = [one for one in removals if (one.ground, one.method) == (ground, method)]
            if those:
                psnr, seam = np.mean([one.psnr for one in those]), np.mean([one.seam for one in those])
                milliseconds = 1000 * np.median([one.seconds for one in those])
                name = f"{ground} ground, {method}"
                lines.append(f"| {name} | {len(those)} | {psnr:.1f} | {seam:.1f} | {milliseconds:.0f} |")
    return "\n".join(lines)


def write(path: Path, removals: Sequence[Removal], scenes: int) -> str:
    """Write `path`.md and `path`.json, which has every outcome; return the table."""
    machine = report.machine()
    heading = (
        f"# {path.name}\n\nThe ground that a removal shows, against the true one: {scenes} pocket scenes of each kind "
        f"of ground, one thing in each, its true mask sent. {machine['processor']}, {machine['cores']} cores, torch "
        f"{machine['torch']}; everything in one process, one at a time."
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".md").write_text(f"{heading}\n\n{table(removals)}\n")
    content = {"machine": machine, "scenes": scenes, "outcomes": [asdict(one) for one in removals]}
    path.with_suffix(".json").write_text(json.dumps(content) + "\n")
    return table(removals)


def psnr(picture: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the PSNR in dB of `picture` within `mask` (HxW bool), at most 60; both pictures are HxWx3 uint8."""
    errors = picture[mask].astype(np.float64) - truth[mask]
    return float(10 * np.log10(255**2 / max(LEAST_MSE, np.mean(errors**2))))


def _scene(kind: int, ground: Ground, number: int) -> Scene:
    rng = world.evaluation_rng(STREAM, kind, number)
    size = hard.SIZES_WH[number % len(hard.SIZES_WH)]
    sticker = STICKERS[int(rng.integers(len(STICKERS)))]
    return world.compose(rng, size, [sticker], ground, world.UNSEEN_PHOTOGRAPHS)


async def _removal(graph: InProcessGraph, scene: Scene, method: FillMethod, number: int) -> Removal:
    """Remove the thing as an edit by words would, with a hull that is grown, but find it without an error."""
    painting = graph.driver.settings.painting
    request = EditRequest(
        scene.image,
        mask=scene.placed[0].mask,
        mask_shape=painting.mask_shape,
        dilation=painting.dilation,
        mode="remove",
        fill_method=method,
        seed=number if method == "painter" else None,
    )
    result = await graph.driver.edit(request)
    (edit,) = result.edits
    return Removal(
        scene.ground, method, psnr(edit.image, scene.bare, result.mask), edit.seam, result.timings_s["total"]
    )
