"""Measures the pocket models on scenes they have never seen, and checks the figures against their bars.

Scenes come from the evaluation stream of random numbers and use a photograph that is in no training.
Locating and segmenting are measured on the models alone, whole edits through the real graph.

    python -m pocket.evaluate [--scenes 200] [--edits 100]

What each switch brings and costs, on scenes that are hard on purpose, is measured by `python -m benchmarks.quality`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deployments.config import ClipSettings, GraphArgs, ModelArgs
from deployments.errors import TargetNotFound
from deployments.messages import EditRequest, HeatMap, Prompt, SearchRequest, SegmentRequest
from deployments.pixels import pasting, regions
from deployments.pixels.masks import iou
from pocket import world
from pocket.judge import judge
from pocket.vocabulary import BY_NAME, STICKERS, Sticker
from pocket.world import Scene

SIZES_WH = ((256, 256), (320, 256), (256, 384), (384, 384), (512, 320))
PHOTOGRAPHS = world.TRAINING_PHOTOGRAPHS + world.HELD_OUT_PHOTOGRAPHS
STREAMS = {"named": 1, "twins": 2, "absent": 3, "segment": 4, "edit": 5}
EDITS_AT_ONCE = 2


@dataclass(frozen=True)
class ReportLine:
    """One line of the report. `bar` None means that it is reported, not judged."""

    what: str
    value: float
    bar: float | None
    cases: int

    @property
    def holds(self) -> bool:
        return self.bar is None or self.value >= self.bar

    def __str__(self) -> str:
        bar = "" if self.bar is None else f"  bar {self.bar:.2f}  {'ok' if self.holds else 'MISSED'}"
        return f"{self.what:<64} {self.value:6.3f}  ({self.cases}){bar}"


def scene(stream: str, seed: int, stickers: list[Sticker] | None = None) -> Scene:
    rng = world.evaluation_rng(STREAMS[stream], seed)
    size = SIZES_WH[int(rng.integers(len(SIZES_WH)))]
    return world.compose(rng, size, stickers, photographs=PHOTOGRAPHS)


def twins(seed: int) -> Scene:
    """A scene with the same thing in two colours, and up to two others."""
    rng = world.evaluation_rng(STREAMS["twins"], seed, 0)
    coloured = [sticker for sticker in STICKERS if sticker.colour]
    first = coloured[int(rng.integers(len(coloured)))]
    siblings = [sticker for sticker in coloured if sticker.noun == first.noun and sticker != first]
    second = siblings[int(rng.integers(len(siblings)))]
    others = [sticker for sticker in STICKERS if sticker.noun != first.noun]
    drawn = [others[index] for index in rng.choice(len(others), size=int(rng.integers(0, 3)), replace=False)]
    return scene("twins", seed, [first, second, *drawn])


def locating(count: int) -> Iterator[ReportLine]:
    from deployments.clip.model import ClipMatcher

    matcher = ClipMatcher.load(ModelArgs())
    settings = ClipSettings()

    def locate(image: np.ndarray, target: str) -> HeatMap:
        answer = matcher.locate([SearchRequest(image, (target,))], settings)[0]
        if isinstance(answer, Exception):
            raise answer
        return answer.maps[0]

    named = [_point_on_sticker(locate, scene("named", seed), seed) for seed in range(count)]
    yield ReportLine("locate: the point lies on the named sticker", _mean(hit for hit, _, _ in named), 0.95, count)
    for ground in world.GROUNDS:
        hits = [hit for hit, _, kind in named if kind == ground]
        yield ReportLine(f"    on {ground} grounds", _mean(hits), None, len(hits))
    yield ReportLine("    a name that is in the scene is found", _mean(found for _, found, _ in named), None, count)
    pairs = [_point_on_sticker(locate, twins(seed), 0) for seed in range(count)]
    yield ReportLine("locate: the same thing stands there in another colour", _mean(p[0] for p in pairs), 0.90, count)
    absent = [not locate(seen.image, _absent_name(seen, seed)).found for seed, seen in _scenes("absent", count)]
    yield ReportLine("locate: a name that is not in the scene is recognised as absent", _mean(absent), 0.90, count)


def _point_on_sticker(
    locate: Callable[[np.ndarray, str], HeatMap], seen: Scene, which: int
) -> tuple[bool, bool, world.Ground]:
    placed = seen.placed[which % len(seen.placed)]
    location = locate(seen.image, f"the {placed.sticker.name}")
    x, y = location.point_xy
    return bool(placed.mask[y, x]), location.found, seen.ground


def _absent_name(seen: Scene, seed: int) -> str:
    nouns = {placed.sticker.noun for placed in seen.placed}
    names = sorted(name for name, sticker in BY_NAME.items() if sticker.noun not in nouns)
    return names[int(world.evaluation_rng(STREAMS["absent"], seed, 1).integers(len(names)))]


def segmenting(count: int) -> Iterator[ReportLine]:
    from deployments.sam.model import SamSegmenter

    segmenter = SamSegmenter.load(ModelArgs())
    ious = []
    for seed, seen in _scenes("segment", count):
        rng = world.evaluation_rng(STREAMS["segment"], seed, 1)
        placed = seen.placed[seed % len(seen.placed)]
        inside = np.argwhere(placed.mask)
        y, x = inside[int(rng.integers(len(inside)))]
        embedding = segmenter.encode([seen.image])[0]
        prompt = Prompt(((int(x), int(y)),), (1,), several=True)
        masks = segmenter.decode(embedding, SegmentRequest((prompt,)))
        ious.append((iou(masks.masks[0].unpack(), placed.mask), seen.ground))
    yield ReportLine("segment: IoU from a random point on the sticker", _mean(iou for iou, _ in ious), 0.88, count)
    for ground in world.GROUNDS:
        values = [iou for iou, kind in ious if kind == ground]
        yield ReportLine(f"    on {ground} grounds", _mean(values), None, len(values))


@dataclass(frozen=True, eq=False)
class Edited:
    """One whole edit: what was asked for, what the judge saw, and what changed outside the mask."""

    found: bool
    right: bool
    wanted: str
    judged: str
    changed_outside_px: int


def editing(count: int) -> Iterator[ReportLine]:
    from deployments.launch.one_shot import running
    from deployments.launch.session import ray_session
    from graph import build

    with ray_session() as own, running(build(GraphArgs()), own) as handle, ThreadPoolExecutor(EDITS_AT_ONCE) as pool:
        edits = list(pool.map(lambda seed: _edit(handle, seed), range(count)))
    for edit in edits:
        if not edit.right:
            print(f"    missed: wanted {edit.wanted}, judged {edit.judged or 'not found'}", file=sys.stderr)
    yield ReportLine("edit: the judge names what was asked for", _mean(edit.right for edit in edits), 0.90, count)
    yield ReportLine("    the thing to replace was found", _mean(edit.found for edit in edits), None, count)
    unchanged = _mean(edit.changed_outside_px == 0 for edit in edits)
    yield ReportLine("edit: nothing outside the mask has changed, byte for byte", unchanged, 1.0, count)


def _edit(handle: Any, seed: int) -> Edited:
    seen = scene("edit", seed)
    rng = world.evaluation_rng(STREAMS["edit"], seed, 1)
    placed = seen.placed[int(rng.integers(len(seen.placed)))]
    others = [name for name in BY_NAME if name != placed.sticker.name]
    wanted = others[int(rng.integers(len(others)))]
    request = EditRequest(seen.image, f"a {wanted}", target=f"the {placed.sticker.name}", seed=seed)
    try:
        result = handle.edit.remote(request).result(timeout_s=600)
    except TargetNotFound:
        return Edited(False, False, wanted, "", 0)
    picture = result.edits[0].image
    # Judged where the thing stood, not where the edit claims to have painted.
    view = regions.whole(placed.mask)
    verdict = judge(view.crop(picture), view.crop(seen.without(placed)))
    changed = pasting.changed_outside(seen.image, picture, result.mask)
    return Edited(True, verdict.name == wanted, wanted, verdict.name, changed)


def _scenes(stream: str, count: int) -> Iterator[tuple[int, Scene]]:
    for seed in range(count):
        yield seed, scene(stream, seed)


def _mean(values: Iterator[float] | list[float] | list[bool]) -> float:
    return float(np.mean(list(values)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=200, help="for locating and for segmenting")
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    figures: list[ReportLine] = []
    for part, count in ((locating, options.scenes), (segmenting, options.scenes), (editing, options.edits)):
        if count:
            for figure in part(count):
                print(figure, flush=True)
                figures.append(figure)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
