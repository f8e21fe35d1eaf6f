"""What people read: results as labelled lines and a table of candidates, and for an error what to do about it."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from retouch.cli.outputs import EditOutputs
from retouch.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    InvalidResponse,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RetouchError,
    TargetNotFound,
)
from retouch.results import Edit, EditResult, Location, MarkupRead, MaskRead, Point, Score

Facts = list[tuple[str, str]]
Rows = list[tuple[str, ...]]
NOTE = "note"
"""The label of a line that nobody should overlook."""

LOW_CONFIDENCE = "low confidence: no cut-out fits, so the mask is the heat map, a region around the points, or the box"
NOT_IMPROVED = "nothing improved: the region matches the prompt no better than it did"
CLEAR_GROUND = (
    "most of the mask is transparent, which marks it, as OpenAI has it: --mask-mode luminance goes by what is light"
)
_BROKEN_OFF = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)
"""What httpx raises where a connection breaks that had been made, so that the address was right."""

NOT_REMOVED = "nothing improved: the region matches what was to be removed no less than it did"


def stage_names(options: argparse.Namespace) -> dict[str, str]:
    """Return what is said while an edit is in each stage. With bar and steps it fits into 80 columns."""
    target = options.target or getattr(options, "prompt", "")
    return {
        "locate": f'Looking for "{shortened(target, 24)}"' if target else "Looking where that is",
        "segment": "Cutting it out",
        "inpaint": f'Painting "{shortened(options.prompt, 24)}"' if "prompt" in options else "Painting the ground",
        "fill": "Filling its place",
        "score": "Scoring",
    }


def shortened(text: str, width: int = 32) -> str:
    """Shorten `text` for the line of progress."""
    return textwrap.shorten(text, width, placeholder=" ...")


def edit_facts(
    result: EditResult, saved: Sequence[Path], partials: Sequence[Path], outputs: EditOutputs, elapsed_s: float
) -> Facts:
    """Return the lines about an edit.

    `saved` are the files that its pictures went to, `partials` those of the unfinished ones, and `outputs` has those of
    its mask and its strip.
    """
    best, *others = result.edits
    facts = [("found", _found(result))]
    if result.mask_read:
        facts.append(("marked", _marked(result.mask_read)))
    if result.markup_read:
        facts.append(("marked", _drawn(result.markup_read)))
    if result.mode == "remove":
        facts.append(("how", _filled(result)))
    if best.score:
        facts += _scored(best.score, ", less is better" if result.mode == "remove" else "")
    if best.seed is not None:
        facts.append(("seed", str(best.seed)))
    facts += [("also", _also(path, other)) for path, other in zip(saved[1:], others, strict=False)]
    if partials:
        facts.append(("partial", _first_to_last(partials)))
    facts += [(name, str(path)) for name, path in (("mask", outputs.mask), ("strip", outputs.strip)) if path]
    if result.converted:
        facts.append(("converted", ", ".join(result.converted)))
    facts += [(NOTE, note) for note in _edit_notes(result)]
    return [*facts, ("took", seconds(elapsed_s, result.timings_s))]


def _filled(result: EditResult) -> str:
    if result.fill_method == "painter":
        return "the painter continued the ground"
    return f"{result.method} from the surroundings, without a model"


def location_facts(location: Location, heat: Path | None, masks: Sequence[Path]) -> Facts:
    """Return the lines about a location; `heat` and `masks` are the files that its heat map and its masks went to."""
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
        facts.append(("masks", _first_to_last(masks)))
    return [*facts, (NOTE, LOW_CONFIDENCE)] if location.low_confidence else facts


def candidate_rows(location: Location) -> Rows:
    """Return a heading and a row for each candidate, with those marked that an edit takes. Return no rows for none."""
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


def advice(error: RetouchError, options: argparse.Namespace) -> str | None:
    """Return what to try next after `error`, or None if there is nothing."""
    if isinstance(error, TargetNotFound):
        return _look_where(error, options)
    if isinstance(error, APITimeoutError):
        return "It may be busy: try again, or allow more seconds with --timeout."
    if isinstance(error, APIConnectionError) and isinstance(error.__cause__, _BROKEN_OFF):
        return "See whether the service is still running, and try again."
    if isinstance(error, APIConnectionError):
        return "Start the service with `make serve`, or say where it is with --url or RETOUCH_URL."
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        return "Give a key with RETOUCH_API_KEY."
    if isinstance(error, (NotFoundError, InvalidResponse)):
        return f"Is {options.url} a Retouch service?"
    if isinstance(error, RateLimitError):
        return "It is busy now: try again in a moment."
    return None


def named(target: str, point_xy: Point) -> str:
    """Return the words for something and where it is. What was pointed at has no name."""
    x, y = point_xy
    return f"{target or 'what is'} at ({x}, {y})"


def listed(numbers: Iterable[int]) -> str:
    """Return numbers as `--point` and `--box` want them."""
    return ",".join(map(str, numbers))


def match(before: float, after: float) -> str:
    """Return a score before and after, and the difference."""
    return f"{before:.3f} → {after:.3f} ({after - before:+.3f})"


def seconds(total_s: float, stages_s: Mapping[str, float]) -> str:
    """Return the duration of the whole, and of each stage."""
    stages = ", ".join(f"{name} {stage_s:.2f}" for name, stage_s in stages_s.items())
    return f"{total_s:.1f} s ({stages})" if stages else f"{total_s:.1f} s"


def _first_to_last(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} to {paths[-1].name}"


def _found(result: EditResult) -> str:
    count = len(result.candidates)
    among = f", one of {count} candidates" if count > 1 else ""
    if len(result.instances) > 1:
        among = f", and {len(result.instances) - 1} more"
    return f"{named(result.target, result.point_xy)}, confidence {result.confidence:.2f}{among}"


def _marked(read: MaskRead) -> str:
    by = "transparent" if read.mode == "alpha" else f"light, from level {read.threshold} on"
    return f"{read.marked_px:,} pixels of the mask: what is {by}"


def _drawn(read: MarkupRead) -> str:
    points = "; ".join(map(listed, read.points))
    meaning = f"the box {listed(read.box)}" if read.box else f"the point{'s' if len(read.points) > 1 else ''} {points}"
    return f"{read.marked_px:,} pixels of the markup, read as {meaning}"


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


def _look_where(error: TargetNotFound, options: argparse.Namespace) -> str:
    if options.command == "locate":
        return "Name it in other words."
    if options.point or options.box or options.markup:
        return "Point somewhere else, or draw a --mask."
    looked_for = error.location.target if error.location else ""
    target = looked_for or options.target or options.prompt
    command = shlex.join(["retouch", "locate", str(options.image), target, "--heat", "heat.png"])
    lines = [f"Name it in other words with --target, or see where the service looks:\n{command}"]
    if error.location:
        lines.insert(0, f"If the best guess is right after all, add --point {listed(error.location.point_xy)}.")
    return "\n".join(lines)
