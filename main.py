"""One picture, one command, no server: start the graph, edit through its handle, save, stop.

python main.py --image photo.jpg --target "the apple" --prompt "a lemon"
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np

from deployments.config import POCKET, DriverSettings, GraphArgs, InpaintArgs, ModelArgs
from deployments.driver.jobs import complete_edit
from deployments.errors import NotOnThisMachine, ServiceError, StartFailed
from deployments.launch import preflight
from deployments.launch.progress_bar import progress_bar
from deployments.limits import Limits
from deployments.messages import MIN_STRENGTH, EditRequest, EditResult, FillMethod, Location, Scheduler
from deployments.pixels.files import decode, encode, mask_png

FLAGS = {"clip.model": "--clip_model", "sam.model": "--sam_ckpt", "inpaint.model": "--sd_model"}


def main(argv: list[str] | None = None) -> int:
    """Edit one picture. Return 0, or 1 when the edit failed or 130 when it was interrupted; wrong use exits with 2."""
    options = parse(argv)
    try:
        return edit_one(options)
    except ServiceError as error:
        return failed(getattr(error, "cause", None) or error)
    except StartFailed as error:
        return failed(*map(by_flag, error.sentences))
    except (OSError, ValueError, RuntimeError) as error:
        return failed(error)
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130


def edit_one(options: argparse.Namespace) -> int:
    """Edit as the options say, and save the result. Whatever can be wrong is looked at before the graph starts."""
    settings = DriverSettings(deadline_s=options.timeout_s)
    with naming("--image", options.image, "read"):
        data = options.image.read_bytes()
    picture = decode(data, Limits())
    args, request = graph_args(options), edit_request(options, picture.pixels)
    complete_edit(request, settings)  # refuses what the driver would refuse
    try_output(options.output_dir)
    wrong = list(wrong_models(args))
    if wrong:
        return failed(*map(by_flag, wrong))

    def keep(result: EditResult) -> Path:
        folder = save(request, result, options.output_dir)
        report(result, folder, picture.converted)
        return folder

    folder = edit_through_graph(args, request, settings, keep)
    return 0 if folder == options.output_dir else 1


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Edits one picture by words, without a server.")
    parser.add_argument("--image", type=Path, required=True, help="PNG, JPEG or WebP")
    parser.add_argument("--prompt", default="", help="what to paint")
    parser.add_argument("--target", help="what to repaint (default: what the prompt names)")
    parser.add_argument("--avoid", default="", help="what not to take for the target: names, separated by commas")
    parser.add_argument("--all", action="store_true", default=None, help="repaint every thing of that name, not one")
    parser.add_argument("--candidate", type=int, help="repaint another of the things that were found; the best is 0")
    parser.add_argument("--remove", action="store_true", help="fill its place as if nothing had stood there")
    parser.add_argument(
        "--fill_method",
        choices=get_args(FillMethod),
        help="how a removal fills: from the surroundings without a model (classical, the default), or by the painter",
    )
    parser.add_argument("--sam_ckpt", default=POCKET, help="a segment-anything checkpoint (default: %(default)s)")
    parser.add_argument("--clip_model", default=POCKET, help="a CLIP hub id or directory (default: %(default)s)")
    parser.add_argument("--sd_model", default=POCKET, help="an inpainting hub id or directory (default: %(default)s)")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs"), help="default: %(default)s")
    parser.add_argument("--num_inference_steps", type=int, help="more is finer and slower (default: 30)")
    parser.add_argument(
        "--guidance_scale",
        type=float,
        help="default: the model's own, 7.5 for Stable Diffusion, 1.5 for the pocket model",
    )
    parser.add_argument(
        "--strength",
        type=float,
        help=f"share of the steps, {MIN_STRENGTH} to 1: less keeps more of the picture (default: 1)",
    )
    parser.add_argument("--scheduler", choices=get_args(Scheduler), help="default: the model's own")
    parser.add_argument("--seed", type=int, help="the same seed paints the same picture (default: a new one)")
    parser.add_argument("--timeout_s", type=seconds, help="give the edit up after that many seconds (default: never)")
    options = parser.parse_args(argv)
    if not options.prompt and not options.remove:
        parser.error("--prompt is required: what to paint (or --remove)")
    return options


def seconds(text: str) -> float:
    """Return a number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def edit_request(options: argparse.Namespace, image: np.ndarray) -> EditRequest:
    """Return the request that the options stand for; `image` is HxWx3 uint8."""
    return EditRequest(
        image=image,
        prompt=options.prompt,
        target=options.target,
        avoid=options.avoid,
        all=options.all,
        candidate=options.candidate,
        mode="remove" if options.remove else "replace",
        fill_method=options.fill_method,
        seed=options.seed,
        num_inference_steps=options.num_inference_steps,
        guidance_scale=options.guidance_scale,
        strength=options.strength,
        scheduler=options.scheduler,
    )


def graph_args(options: argparse.Namespace) -> GraphArgs:
    return GraphArgs(
        clip=ModelArgs(model=options.clip_model),
        sam=ModelArgs(model=options.sam_ckpt),
        inpaint=InpaintArgs(model=options.sd_model),
    )


def wrong_models(args: GraphArgs) -> Iterator[str]:
    """Yield what keeps a model from being loaded; say what may be all right, because a cluster has other machines."""
    from deployments.launch.session import joins_a_cluster

    for problem in preflight.problems(args):
        if isinstance(problem, NotOnThisMachine) and joins_a_cluster():
            say(f"{by_flag(str(problem))} (Another machine of the cluster may have it.)")
        else:
            yield str(problem)


def edit_through_graph(
    args: GraphArgs, request: EditRequest, settings: DriverSettings, keep: Callable[[EditResult], Path]
) -> Path:
    """Start the graph, edit, `keep` the result, and stop the graph. Return the folder that it was kept in."""
    from deployments.launch.session import ray_session

    with progress_bar() as show:
        start = time.monotonic()
        say("Starting Ray ...")
        with ray_session(meanwhile=import_graph) as own_ray:
            from deployments.launch.one_shot import edit, running
            from deployments.launch.watching import start_watcher
            from graph import build

            say(f"Ray runs after {time.monotonic() - start:.1f} s. Starting the graph ...")
            with running(build(args, settings.model_dump()), own_ray, start_watcher(show, say)) as handle:
                say(f"The graph runs after {time.monotonic() - start:.1f} s. {doing('locate', request)} ...")
                result = edit(handle, request, lambda news: show(doing(news.stage, request), news.done, news.total))
                folder = keep(result)  # at once: whatever goes wrong while the graph is stopped, the result is there
    return folder


def import_graph() -> None:
    """Import what the start of the graph needs beside Ray, which takes a second."""
    import_module("deployments.launch.one_shot")
    import_module("graph")


def doing(stage: str, request: EditRequest) -> str:
    return {
        "locate": f"Looking for {request.target or request.prompt!r}",
        "segment": "Cutting it out",
        "inpaint": "Painting the ground" if request.fill_method == "painter" else f"Painting {request.prompt!r}",
        "fill": "Filling its place",
        "score": "Scoring",
    }[stage]


def try_output(folder: Path) -> None:
    """Raise OSError if nothing can be saved in `folder`. Leave behind no folder that was not there."""
    with naming("--output_dir", folder, "written"):
        missing = [each for each in (folder, *folder.parents) if not os.path.exists(each)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"\0")
        finally:
            for each in filter(os.path.exists, missing):
                each.rmdir()


@contextmanager
def naming(what: str, path: Path, done: str) -> Iterator[None]:
    """Make a sentence of an error of the operating system: what and which path cannot be read or written, and why."""
    try:
        yield
    except OSError as error:
        why = "it is a file, not a folder" if isinstance(error, FileExistsError) else error.strerror or error
        raise OSError(f"{what} {path} cannot be {done}: {why}.") from error


def save(request: EditRequest, result: EditResult, folder: Path) -> Path:
    """Save `original.png`, `sam_mask.png` (white = repainted) and `edited.png`; return the folder they are in.

    A result that cannot be saved in `folder` goes to a new temporary folder, so that it is not lost.
    """
    files = {
        "original.png": encode(request.image),
        "sam_mask.png": mask_png(result.mask),
        "edited.png": encode(result.edits[0].image),
    }
    try:
        write("--output_dir", folder, files)
    except OSError as error:
        failed(error)
        folder = Path(tempfile.mkdtemp(prefix="retouch-"))
        write("The temporary folder", folder, files)
    return folder


def write(what: str, folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their names into `folder`, which may be new; `what` is the folder's name in an error."""
    with naming(what, folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)


def report(result: EditResult, folder: Path, converted: Sequence[str]) -> None:
    best, location = result.edits[0], result.location
    x, y = location.point_xy
    print(f"CLIP point: ({x}, {y})  confidence {location.confidence:.2f}, {_which(location)}")
    if best.score is not None:
        print(f"CLIP score: {best.score.after:.4f}  (before the edit {best.score.before:.4f})")
    if location.low_confidence:
        say("No mask fitted what CLIP saw: the mask is CLIP's own heat map, and rough.")
    if not result.improved:
        better = "less" if result.mode == "remove" else "better"
        say(f"The edited region matches the text no {better} than before.")
    if converted:
        say(f"The file was converted when it was read: {', '.join(converted)}. original.png is what was read.")
    painted = "filled by a classical method" if result.fill_method == "classical" else f"seed {best.seed}"
    say(
        f"Saved original.png, sam_mask.png and edited.png in {folder} "
        f"({result.timings_s['total']:.1f} s, {painted}, "
        f"{result.changed_outside_px} pixels changed outside the mask)."
    )


def _which(location: Location) -> str:
    """Say which of the things that were found were repainted."""
    count = len(location.candidates)
    if count <= 1:
        return "the only candidate"
    return f"all {count} repainted" if location.instances else f"candidate {location.chosen} of {count}"


def by_flag(problem: str) -> str:
    """Put the flag of this command in front of a sentence that starts with the setting it sets."""
    setting = problem.split(":", 1)[0]
    return f"{FLAGS[setting]} ({setting}){problem.removeprefix(setting)}" if setting in FLAGS else problem


def failed(*problems: object) -> int:
    """Print what went wrong, a line for each problem, and return the exit status for it."""
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1


def say(text: str) -> None:
    """Print what goes on, apart from the results: to standard error, with the time."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
