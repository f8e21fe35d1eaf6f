"""How good the edits are, and what each switch brings and costs: one table, one row a switch.

    python -m benchmarks.quality [--cases 24] [--edits 8]           on the pocket world's hard scenes
    python -m benchmarks.quality --coco instances.json --images folder \\
        --clip openai/clip-vit-base-patch32 --sam sam_vit_b_01ec64.pth --inpaint runwayml/stable-diffusion-inpainting \\
        --judge openai/clip-vit-large-patch14                       on photographs, with the models that are named

Removals have a table of their own, by the ground and the method (`--only removal`).

Each row is the row above it with one thing more. The first is the seed's way with the libraries' own code: the best
patch of the squeezed picture, SAM's best-scored mask, stock diffusers on the squeezed picture, nothing put back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a replica; before torch is imported

from benchmarks import calibration, quality_removal, report
from benchmarks.in_process import InProcessGraph, silence
from benchmarks.quality_cases import QualityCase, coco_cases, marked, named_by, pocket_cases
from benchmarks.quality_outcomes import COLUMNS, Outcome, means, outcome, seeds_way
from benchmarks.quality_rows import DEFAULT, SEEDS_WAY, Row, rows
from benchmarks.stock import StockEditor
from deployments.config import POCKET, GraphArgs, InpaintArgs, ModelArgs, Precision

RESULTS = Path(__file__).parent / "results"

Say = Callable[[str], None]
Results = dict[str, list[Outcome]]
Run = Callable[[QualityCase, bool], Awaitable[Outcome]]


async def measure(args: GraphArgs, cases: Sequence[QualityCase], edits: int, only: Sequence[str], say: Say) -> Results:
    """The outcomes of all cases in each row; the first `edits` of each kind are painted too.

    All rows see a case before the next comes, so that a slow minute of the machine hits them all.
    """
    painted = {id(case) for case in _first_of_each_kind(cases, edits)}
    runs = _runs(args, only)
    results: Results = {name: [] for name in runs}
    for number, case in enumerate(cases, start=1):
        for place, (name, run) in enumerate(runs.items()):
            results[name].append(await run(marked(case, place), id(case) in painted))
        if number % 12 == 0 or number == len(cases):
            ious = "  ".join(f"{means(each)['iou'] or 0:.3f}" for each in results.values())
            say(f"{number} of {len(cases)} cases, mask IoU by row: {ious}")
    return results


def _runs(args: GraphArgs, only: Sequence[str]) -> dict[str, Run]:
    """What to do with a case in each of the rows that are wanted."""
    runs: dict[str, Run] = {}
    if _wanted(SEEDS_WAY, only):
        baseline = StockEditor.load(args)

        async def stock(case: QualityCase, paint: bool) -> Outcome:
            return seeds_way(baseline, case, paint)

        runs[SEEDS_WAY] = stock
    graph = InProcessGraph(args)
    for row in rows():
        if _wanted(row.name, only):
            runs[row.name] = partial(_run, graph, row)
    return runs


async def _run(graph: InProcessGraph, row: Row, case: QualityCase, paint: bool) -> Outcome:
    graph.configure(row.clip, row.driver)
    return await outcome(graph, row.n, case, paint)


def _names() -> list[str]:
    """The rows of the table of switches."""
    return [SEEDS_WAY, *(row.name for row in rows())]


def _wanted(name: str, only: Sequence[str]) -> bool:
    return not only or any(word in name for word in only)


def _first_of_each_kind(cases: Sequence[QualityCase], count: int) -> list[QualityCase]:
    seen: Counter[str] = Counter()
    first = []
    for case in cases:
        seen[case.kind] += 1
        if seen[case.kind] <= count:
            first.append(case)
    return first


def tables(results: Results) -> str:
    """Markdown: one row a switch, and the default row by kind."""
    parts = [table("switch", {name: means(outcomes) for name, outcomes in results.items()})]
    if DEFAULT in results:
        kinds = dict.fromkeys(one.kind for one in results[DEFAULT])
        by_kind = {kind: means([one for one in results[DEFAULT] if one.kind == kind]) for kind in kinds}
        parts += [table("the default, by kind", by_kind), *_calibration(results[DEFAULT])]
    return "\n\n".join(parts)


def _calibration(outcomes: Sequence[Outcome]) -> list[str]:
    """What would make the confidences of these cases probabilities."""
    present = [one.margin for one in outcomes if one.margin is not None and one.absent is None]
    absent = [one.margin for one in outcomes if one.margin is not None and one.absent is not None]
    if not present or not absent:
        return []
    scale, shift = calibration.fit(present, absent)
    return [f"Fitted to these margins: `presence_scale: {scale:.2f}`, `presence_shift: {shift:.2f}`."]


def table(heading: str, lines: dict[str, dict[str, float | None]]) -> str:
    head = f"| {heading} | " + " | ".join(COLUMNS.values()) + " |"
    body = [[name, *(_cell(key, told[key]) for key in COLUMNS)] for name, told in lines.items()]
    return "\n".join([head, "|---" * (len(COLUMNS) + 1) + "|", *(f"| {' | '.join(cells)} |" for cells in body)])


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return ""
    if column.endswith("_s"):
        return f"{1000 * value:.0f}"
    return f"{value:.0f}" if column == "changed_px" else f"{value:.1f}" if column == "seam" else f"{value:.3f}"


def write(path: Path, results: Results, options: argparse.Namespace) -> Results:
    """`path`.md and `path`.json, which has every outcome; returns all that are in it now.

    Rows of an earlier run with as many cases and edits which were not measured again are kept.
    """
    told = report.machine()
    asked = {"cases": options.cases, "edits": options.edits}
    results = _with_earlier(path.with_suffix(".json"), asked, results)
    where = "photographs with COCO annotations" if options.coco else "the pocket world's hard scenes"
    heading = (
        f"# {path.name}\n\n{options.cases} cases of each kind on {where}, the first {options.edits} painted too. "
        f"{told['processor']}, {told['cores']} cores, torch {told['torch']}; everything in one process, one at a time."
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".md").write_text(heading + "\n\n" + tables(results) + "\n")
    rows_told = {name: means(outcomes) for name, outcomes in results.items()}
    outcomes = {name: [_told(one) for one in each] for name, each in results.items()}
    content = {"machine": told, **asked, "rows": rows_told, "outcomes": outcomes}
    path.with_suffix(".json").write_text(json.dumps(content) + "\n")
    return results


def _told(one: Outcome) -> dict[str, Any]:
    """What the case says anything about; numbers to five digits."""
    told = {key: value for key, value in asdict(one).items() if value is not None}
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in told.items()}


def _with_earlier(path: Path, asked: dict[str, int], results: Results) -> Results:
    """In the order of the rows."""
    earlier = json.loads(path.read_text()) if path.exists() else {}
    kept: Results = {}
    if {key: earlier.get(key) for key in asked} == asked:
        kept = {name: [Outcome(**one) for one in each] for name, each in earlier["outcomes"].items()}
    order = _names()
    return dict(sorted((kept | results).items(), key=lambda item: order.index(item[0])))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=24, help="of each kind (default: %(default)s)")
    parser.add_argument("--edits", type=int, default=8, help="of them, that are painted too (default: %(default)s)")
    only = "rows whose names have any of these; `removal` is the table of removals"
    parser.add_argument("--only", nargs="+", default=(), metavar="WORDS", help=only)
    parser.add_argument("--coco", type=Path, metavar="FILE", help="instances of photographs, as COCO has them")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="the photographs")
    parser.add_argument("--clip", default=POCKET)
    parser.add_argument("--sam", default=POCKET)
    parser.add_argument("--inpaint", default=POCKET)
    parser.add_argument("--precision", default="auto", choices=get_args(Precision), help="of the painter, on a CPU")
    parser.add_argument("--judge", help="another CLIP than --clip, which names what was painted on photographs")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{time.strftime('%Y-%m-%d')}-quality")
    options = parser.parse_args(argv)
    if (options.coco is None) != (options.images is None):
        parser.error("--coco and --images go together")
    if options.coco and options.edits and not options.judge:
        parser.error("edits of photographs need a --judge, or --edits 0")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    args = GraphArgs(
        clip=ModelArgs(model=options.clip),
        sam=ModelArgs(model=options.sam),
        inpaint=InpaintArgs(model=options.inpaint, precision=options.precision),
    )

    def say(text: str) -> None:
        print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)

    if any(_wanted(name, options.only) for name in _names()):
        if options.coco:
            cases = coco_cases(options.coco, options.images, options.cases, named_by(options.judge, options.coco))
        else:
            cases = pocket_cases(options.cases)
        results = asyncio.run(measure(args, cases, options.edits, options.only, say))
        print(tables(write(options.out, results, options)))
    if not options.coco and _wanted(quality_removal.NAME, options.only):  # nobody knows what a photograph hides
        path = options.out.with_name(f"{options.out.name}-{quality_removal.NAME}")
        removals = asyncio.run(quality_removal.measure(args, options.edits, say))
        print(quality_removal.write(path, removals, options.edits))
    return 0


if __name__ == "__main__":
    silence()
    sys.exit(main())
