"""The commands. Each asks the service, writes files, shows the result and returns the exit status."""

from __future__ import annotations

import argparse
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from retouch.cli.display import Display
from retouch.cli.outputs import EditOutputs, UsageError, check_input, check_masks_folder, check_outputs, edit_outputs
from retouch.cli.overlay import heat_overlay
from retouch.cli.records import edit_record, location_record
from retouch.cli.wording import candidate_rows, edit_facts, location_facts, named, shortened, stage_names
from retouch.client import Retouch
from retouch.options import SearchOptions, StreamOptions, options_of
from retouch.pictures import write_picture
from retouch.results import EditResult, PartialImage, Progress, StreamEvent


def edit(options: argparse.Namespace, client: Retouch, display: Display) -> int:
    """Do `retouch edit`."""
    over = f' over "{shortened(options.target)}"' if options.target else ""
    doing = f'Painting "{shortened(options.prompt)}"{over}'
    outputs = edit_outputs(options)
    events = client.edit_stream(options.image, options.prompt, **given_options(options, StreamOptions))
    return _edited(options, display, doing, outputs, events)


def remove(options: argparse.Namespace, client: Retouch, display: Display) -> int:
    """Do `retouch remove`."""
    if not (options.target or options.point or options.box or options.mask or options.markup):
        raise UsageError("say what to remove with --target, --point, --box, --mask or --markup")
    what = f'"{shortened(options.target)}"' if options.target else "what was pointed at"
    outputs = edit_outputs(options)
    events = client.edit_stream(options.image, mode="remove", **given_options(options, StreamOptions))
    return _edited(options, display, f"Removing {what}", outputs, events)


def locate(options: argparse.Namespace, client: Retouch, display: Display) -> int:
    """Do `retouch locate`."""
    _check_locate(options)
    what = f'"{shortened(options.target)}"' if options.target else "what was pointed at"
    with display.working(f"Looking for {what}"):
        location = client.locate(options.image, options.target, **given_options(options, SearchOptions))
    heat: Path | None = options.heat if location.heat else None
    if heat and location.heat:
        write_picture(heat_overlay(options.image, location.heat, location.point_xy), heat)
    masks = location.save_masks(options.masks_out) if options.masks_out and location.candidates else ()
    x, y = location.point_xy
    display.show(
        title=named(location.target, location.point_xy)
        if location.found
        else f"{location.target or 'what was pointed at'}: not found",
        facts=location_facts(location, heat, masks),
        bare=f"{x} {y}" if location.found else "",
        data=location_record(location, heat, masks),
        good=location.found,
        rows=candidate_rows(location),
    )
    return 0 if location.found else 1


def score(options: argparse.Namespace, client: Retouch, display: Display) -> int:
    """Do `retouch score`."""
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


def _edited(
    options: argparse.Namespace,
    display: Display,
    doing: str,
    outputs: EditOutputs,
    events: Generator[StreamEvent, None, None],
) -> int:
    started = time.monotonic()
    # However this ends, by Ctrl-C too, the connection is closed at once, and the service stops.
    with display.working(doing, stage_names(options)), closing(events):
        result, partials = _follow(events, display, outputs.partials)
    elapsed_s = time.monotonic() - started
    saved = _save(result, outputs)
    if outputs.strip:
        write_picture(result.strip(options.image), outputs.strip)
    display.show(
        title=str(saved[0]),
        facts=edit_facts(result, saved, partials, outputs, elapsed_s),
        bare="\n".join(str(path) for path in saved),
        data=edit_record(result, saved, partials, outputs, elapsed_s),
    )
    return 0


def _follow(
    events: Generator[StreamEvent, None, None], display: Display, places: Sequence[Path]
) -> tuple[EditResult, list[Path]]:
    """Show how an edit comes on, and save each unfinished picture at its place. Return the result and those paths."""
    saved = []
    for event in events:
        if isinstance(event, Progress):
            display.advance(event)
        elif isinstance(event, PartialImage) and event.index < len(places):
            write_picture(event.image, places[event.index])
            saved.append(places[event.index])
    assert isinstance(event, EditResult), "a stream that ends without a result raises"
    return event, saved


def _save(result: EditResult, outputs: EditOutputs) -> list[Path]:
    """Write the pictures, which may be fewer than requested, and the mask. Return the paths of the pictures."""
    saved = []
    for image, path in zip(result.images, outputs.pictures, strict=False):
        write_picture(image, path)
        saved.append(path)
    if outputs.mask:
        write_picture(result.mask, outputs.mask)
    return saved


def _check_locate(options: argparse.Namespace) -> None:
    check_input(options.image)
    if options.markup:
        check_input(options.markup)
    if not (options.target or options.point or options.box or options.markup):
        raise UsageError("say what to find: a TARGET, --point, --box or --markup")
    if options.heat:
        if options.point or options.box or options.markup:
            raise UsageError(
                "--heat is for a TARGET alone: where points, a box or a markup say what is meant, nothing is searched"
            )
        check_outputs([options.heat], options.image)
    if options.masks_out:
        check_masks_folder(options.masks_out, options.image, options.markup)


def given_options(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Return the options of a call, where `kind` is the typed dictionary of what it takes."""
    on_it, not_on_it = options.point, options.not_point
    labels = [1] * len(on_it) + [0] * len(not_on_it) if not_on_it else None
    return {
        **{name: getattr(options, name) for name in options_of(kind) if hasattr(options, name)},
        "points": on_it + not_on_it,
        "labels": labels,
    }
