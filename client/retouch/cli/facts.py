"""Results for people: labelled lines, and the candidates as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from retouch.results import Edit, EditResult, Location, MaskRead, Point, Score

Facts = list[tuple[str, str]]
Rows = list[tuple[str, ...]]
NOTE = "note"
"""The label of what should not be overlooked."""

LOW_CONFIDENCE = "low confidence: no cut-out fits, so the mask is the heat map, a region around the points, or the box"
NOT_IMPROVED = "nothing improved: the region matches the prompt no better than it did"
CLEAR_GROUND = (
    "most of the mask is transparent, which marks it, as OpenAI has it: --mask-mode luminance goes by what is light"
)
NOT_REMOVED = "nothing improved: the region matches what was to be removed no less than it did"


def edit_facts(result: EditResult, saved: Sequence[Path], mask: Path | None, elapsed_s: float) -> Facts:
    best, *others = result.edits
    facts = [("found", _found(result))]
    if result.mask_read:
        facts.append(("marked", _marked(result.mask_read)))
    if result.mode == "remove":
        facts.append(("how", f"{result.method} from the surroundings, without a model"))
    if best.score:
        facts += _scored(best.score, ", less is better" if result.mode == "remove" else "")
    if best.seed is not None:
        facts.append(("seed", str(best.seed)))
    facts += [("also", _also(path, other)) for path, other in zip(saved[1:], others, strict=False)]
    if mask:
        facts.append(("mask", str(mask)))
    if result.converted:
        facts.append(("converted", ", ".join(result.converted)))
    facts += [(NOTE, note) for note in _edit_notes(result)]
    return [*facts, ("took", seconds(elapsed_s, result.timings_s))]


def location_facts(location: Location, heat: Path | None, masks: Sequence[Path]) -> Facts:
    """`heat` and `masks` are where the heat map and the masks went."""
    x, y = location.point_xy
    facts = [] if location.found else [("best guess", f"({x}, {y})")]
    facts.append(("confidence", f"{location.confidence:.2f}"))
    if location.phrase not in ("", location.target):
        facts.append(("looked for", location.phrase))
    if len(location.instances) > 1:
        facts.append(("instances", f"{len(location.instances)}: an edit takes all of them"))
    elif len(location.candidates) > 1:
        facts.append(
            ("candidates", f"{len(location.candidates)}: an edit takes the one marked >, or another with --candidate")
        )
    if heat:
        facts.append(("heat", str(heat)))
    if masks:
        facts.append(("masks", f"{masks[0]}" if len(masks) == 1 else f"{masks[0]} to {masks[-1].name}"))
    return [*facts, (NOTE, LOW_CONFIDENCE)] if location.low_confidence else facts


def candidate_rows(location: Location) -> Rows:
    """A heading and a row for each candidate, the one that an edit takes marked; nothing if there is none."""
    rows = [
        (
            ">" if number in location.instances else "",
            str(number),
            listed(candidate.point_xy),
            f"{candidate.area:5.1%}",
            f"{candidate.score:5.2f}",
            candidate.source,
            listed(candidate.box_xyxy),
        )
        for number, candidate in enumerate(location.candidates)
    ]
    return [("", "#", "place", " size", "score", "source", "box"), *rows] if rows else []


def named(target: str, point_xy: Point) -> str:
    """Something and where it is; what was pointed at has no name."""
    x, y = point_xy
    return f"{target or 'what is'} at ({x}, {y})"


def listed(numbers: Iterable[int]) -> str:
    """As `--point` and `--box` want it."""
    return ",".join(map(str, numbers))


def match(before: float, after: float) -> str:
    """How a score changed."""
    return f"{before:.3f} → {after:.3f} ({after - before:+.3f})"


def seconds(total_s: float, stages_s: Mapping[str, float]) -> str:
    """How long it took, and each stage of it."""
    stages = ", ".join(f"{name} {stage_s:.2f}" for name, stage_s in stages_s.items())
    return f"{total_s:.1f} s ({stages})" if stages else f"{total_s:.1f} s"


def _found(result: EditResult) -> str:
    count = len(result.candidates)
    among = f", one of {count} candidates" if count > 1 else ""
    if len(result.instances) > 1:
        among = f", and {len(result.instances) - 1} more"
    return f"{named(result.target, result.point_xy)}, confidence {result.confidence:.2f}{among}"


def _marked(read: MaskRead) -> str:
    by = "transparent" if read.mode == "alpha" else f"light, from level {read.threshold} on"
    return f"{read.marked_px:,} pixels of the mask: what is {by}"


def _scored(score: Score, remark: str) -> Facts:
    region = match(score.region_before, score.region_after)
    return [("match", match(score.before, score.after) + remark), ("region", region + remark)]


def _also(path: Path, edit: Edit) -> str:
    parts = [str(path)]
    if edit.score:
        parts.append(f"match {match(edit.score.before, edit.score.after)}")
    if edit.seed is not None:
        parts.append(f"seed {edit.seed}")
    return ", ".join(parts)


def _edit_notes(result: EditResult) -> Iterator[str]:
    if not result.improved:
        yield NOT_REMOVED if result.mode == "remove" else NOT_IMPROVED
    if result.low_confidence:
        yield LOW_CONFIDENCE
    read, size = result.mask_read, result.mask.size
    if read and read.mode == "alpha" and 2 * read.marked_px > size[0] * size[1]:
        yield CLEAR_GROUND
    if seeds := result.filtered_seeds:
        plural = "s" if len(seeds) > 1 else ""
        yield f"the safety checker held back {len(seeds)} picture{plural}: seed{plural} {', '.join(map(str, seeds))}"
