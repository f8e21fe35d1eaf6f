"""One picture, one command, no server: starts the graph here, edits through its handle, saves, stops.

python main.py --image photo.jpg --target "the apple" --prompt "a lemon"
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.complete import MIN_STRENGTH, SCHEDULERS
from deployments.config import POCKET, GraphArgs, InpaintArgs, Limits, ModelArgs
from deployments.errors import ServiceError
from deployments.images import decode, encode, mask_png
from deployments.messages import EditRequest, EditResult

APP = "retouch-once"


def main(argv: list[str] | None = None) -> int:
    """The process's exit status: 0, or 1 when the edit failed, 2 for wrong use."""
    options = parse(argv)
    try:
        request = read_request(options)
        say("Starting the graph: clip, sam, inpaint, driver ...")
        with local_graph(graph_args(options)) as handle:
            say(f"Looking for {request.target or request.prompt!r}, {doing(request)} ...")
            result: EditResult = handle.edit.remote(request).result(timeout_s=options.timeout_s)
    except ServiceError as error:
        print(f"error: {getattr(error, 'cause', None) or error}", file=sys.stderr)
        return 1
    except (OSError, ValueError, RuntimeError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    save(request, result, options.output_dir)
    report(result, options.output_dir)
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Edits one picture by words, without a server.")
    parser.add_argument("--image", type=Path, required=True, help="PNG, JPEG or WebP")
    parser.add_argument("--prompt", default="", help="what to paint")
    parser.add_argument("--target", help="what to repaint (default: what the prompt names)")
    parser.add_argument("--avoid", default="", help="what not to take for it: names, separated by commas")
    parser.add_argument("--candidate", type=int, help="repaint another of the things that were found; the best is 0")
    parser.add_argument("--remove", action="store_true", help="close the place from its surroundings, without a model")
    parser.add_argument("--sam_ckpt", default=POCKET, help="a segment-anything checkpoint (default: %(default)s)")
    parser.add_argument("--clip_model", default=POCKET, help="a CLIP hub id or directory (default: %(default)s)")
    parser.add_argument("--sd_model", default=POCKET, help="an inpainting hub id or directory (default: %(default)s)")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs"), help="default: %(default)s")
    parser.add_argument("--num_inference_steps", type=int, help="more is finer and slower (default: 30)")
    parser.add_argument("--guidance_scale", type=float, help="default: 7.5; 3 for the pocket model")
    parser.add_argument(
        "--strength",
        type=float,
        default=1.0,
        help=f"share of the steps, {MIN_STRENGTH} to 1: less keeps more of the picture (default: %(default)s)",
    )
    parser.add_argument("--scheduler", choices=SCHEDULERS, help="default: the model's own")
    parser.add_argument("--seed", type=int, help="the same seed paints the same picture (default: a new one)")
    parser.add_argument("--timeout_s", type=float, default=3600.0, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if not options.prompt and not options.remove:
        parser.error("--prompt is required: what to paint (or --remove)")
    return options


def read_request(options: argparse.Namespace) -> EditRequest:
    return EditRequest(
        image=decode(options.image.read_bytes(), Limits()),
        prompt=options.prompt,
        target=options.target,
        avoid=options.avoid,
        candidate=options.candidate,
        mode="remove" if options.remove else "replace",
        seed=options.seed,
        num_inference_steps=options.num_inference_steps,
        guidance_scale=options.guidance_scale,
        strength=options.strength,
        scheduler=options.scheduler,
    )


def doing(request: EditRequest) -> str:
    return "filling its place" if request.mode == "remove" else f"painting {request.prompt!r}"


def graph_args(options: argparse.Namespace) -> GraphArgs:
    return GraphArgs(
        clip=ModelArgs(model=options.clip_model),
        sam=ModelArgs(model=options.sam_ckpt),
        inpaint=InpaintArgs(model=options.sd_model),
    )


@contextmanager
def local_graph(args: GraphArgs) -> Iterator[Any]:
    """The graph without HTTP; yields the driver's handle.

    Runs on the Ray this process is connected to, or else on one of its own, which ends with it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray import serve

    from graph import build_app

    own = not ray.is_initialized()
    if own:
        logging.disable(logging.WARNING)  # Ray tells of its start; whoever waits for a picture need not know
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
    try:
        yield serve.run(build_app(args), name=APP, route_prefix=None)
    finally:
        if own:
            # All of this Ray ends here. Taking Serve down first would only add complaints about lost calls.
            ray.shutdown()
            logging.disable(logging.NOTSET)
        else:
            serve.delete(APP)


def save(request: EditRequest, result: EditResult, folder: Path) -> None:
    """`original.png`, `sam_mask.png` (white = repainted) and `edited.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "original.png").write_bytes(encode(request.image))
    (folder / "sam_mask.png").write_bytes(mask_png(result.mask))
    (folder / "edited.png").write_bytes(encode(result.edits[0].image))


def report(result: EditResult, folder: Path) -> None:
    best, location = result.edits[0], result.location
    x, y = location.point_xy
    print(f"CLIP point: ({x}, {y})  confidence {location.confidence:.2f}  of {len(location.candidates)} candidates")
    if best.score is not None:
        print(f"CLIP score: {best.score.after:.4f}  (before the edit {best.score.before:.4f})")
    if location.low_confidence:
        say("No mask fitted what CLIP saw: the mask is CLIP's own heat map, and rough.")
    if not result.improved:
        say("The edited region matches the text no better than before.")
    painted = "filled by a classical method" if best.seed is None else f"seed {best.seed}"
    say(
        f"Saved original.png, sam_mask.png and edited.png in {folder} "
        f"({result.timings_s['total']:.1f} s, {painted}, "
        f"{result.changed_outside_px} pixels changed outside the mask)."
    )


def say(text: str) -> None:
    """What goes on, apart from the results: to stderr, with the time."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
