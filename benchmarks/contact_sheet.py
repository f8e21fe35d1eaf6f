"""Edits one can look at: before, heat map, candidates, mask, after, one edit a row.

    python -m benchmarks.contact_sheet [--edits 24] [--out docs/quality]

Hard scenes that no figure is measured on, edited by the graph as it is by default; `sheet.jpg` has them all,
`strip.jpg` the first of some kinds. Nothing is left out because it went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.in_process import InProcessGraph, silence
from benchmarks.quality_cases import QualityCase, pocket_cases
from deployments.config import ClipSettings, DriverSettings, GraphArgs
from deployments.errors import TargetNotFound
from deployments.messages import EditRequest, EditResult, Location
from deployments.pixels.masks import outline
from pocket.hard import KINDS

FIRST = 5000  # scenes from here on are measured nowhere
CELL, GAP, TEXT = 168, 6, 18
COLUMNS = ("before", "heat map", "candidates", "mask", "after")
STRIP = ("hidden", "tiny", "doubles", "edge")
CHOSEN, OTHER = (255, 0, 160), (0, 190, 255)


@dataclass(frozen=True, eq=False)
class SheetRow:
    """One edit: what was asked for and the cells that show what came of it."""

    case: QualityCase
    title: str
    cells: tuple[Image.Image, ...]


async def edited(graph: InProcessGraph, case: QualityCase) -> SheetRow:
    request = EditRequest(case.image, case.prompt, target=case.target, seed=case.seed)
    title = f"{case.kind}: {case.target} -> {case.prompt}"
    try:
        result = await graph.driver.edit(request)
    except TargetNotFound as missing:
        return SheetRow(case, title + "  (not found)", _cells(case, missing.location, None))
    right = case.judged(result.edits[0].image)
    return SheetRow(
        case, title + ("" if right else "  (the judge sees something else)"), _cells(case, result.location, result)
    )


def _cells(case: QualityCase, location: Location, result: EditResult | None) -> tuple[Image.Image, ...]:
    found = [candidate.mask.unpack() for candidate in location.candidates]
    mask = np.zeros_like(case.image) if result is None else np.repeat(result.mask[..., None] * np.uint8(255), 3, 2)
    after = case.image if result is None else result.edits[0].image
    return tuple(
        map(Image.fromarray, (case.image, _warm(case.image, location), _outlined(case.image, found), mask, after))
    )


def _warm(image: np.ndarray, location: Location) -> np.ndarray:
    """The picture, the redder the hotter."""
    if location.heat is None:
        return image
    size = (image.shape[1], image.shape[0])
    heat = np.asarray(Image.fromarray(location.heat).resize(size, Image.Resampling.BILINEAR))[..., None]
    grey = image.mean(axis=2, keepdims=True) * 0.5 + 40
    return np.clip(grey * (1 - heat) + np.array([255.0, 60.0, 0.0]) * heat, 0, 255).astype(np.uint8)


def _outlined(image: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    shown = (image * 0.6 + 60).astype(np.uint8)
    for rank, mask in reversed(list(enumerate(masks))):
        shown[outline(mask, max(1, max(image.shape) // 128))] = OTHER if rank else CHOSEN
    return shown


def sheet(rows: Sequence[SheetRow], columns: int = 2) -> Image.Image:
    """Return all rows as one picture, in `columns` columns."""
    width, height = len(COLUMNS) * (CELL + GAP) + 3 * GAP, CELL + TEXT + GAP
    lines = -(-len(rows) // columns)
    canvas = Image.new("RGB", (columns * width, lines * height + TEXT), "white")
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    for column in range(columns):
        for index, name in enumerate(COLUMNS):
            pen.text((column * width + GAP + index * (CELL + GAP), 2), name, "#777777", font)
    for number, row in enumerate(rows):
        left, top = number // lines * width + GAP, number % lines * height + TEXT
        pen.text((left, top + 2), row.title, "black", font)
        for index, cell in enumerate(row.cells):
            shown = cell.copy()
            shown.thumbnail((CELL, CELL))
            x = left + index * (CELL + GAP) + (CELL - shown.width) // 2
            canvas.paste(shown, (x, top + TEXT + (CELL - shown.height) // 2))
    return canvas


async def make(count: int) -> list[SheetRow]:
    graph = InProcessGraph(GraphArgs())
    graph.configure(ClipSettings(), DriverSettings())
    present = [kind for kind in KINDS if kind != "absent"]
    cases = [case for case in pocket_cases(-(-count // len(present)), FIRST) if case.truth is not None]
    return [await edited(graph, case) for case in cases[:count]]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("docs/quality"))
    options = parser.parse_args(argv)
    rows = asyncio.run(make(options.edits))
    options.out.mkdir(parents=True, exist_ok=True)
    sheet(rows).save(options.out / "sheet.jpg", quality=85)
    firsts = [
        next(row for row in rows if row.case.kind == kind) for kind in STRIP if any(r.case.kind == kind for r in rows)
    ]
    sheet(firsts, columns=1).save(options.out / "strip.jpg", quality=90)
    for row in rows:
        print(row.title)
    return 0


if __name__ == "__main__":
    silence()
    sys.exit(main())
