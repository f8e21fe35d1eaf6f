"""Trains the painter and its autoencoder on one GPU, in minutes, and says how good they have become.

For a machine that is had by the minute: the weights are packed after each stage, with the figures so far, so that a
run that is cut off still brings something. It needs torch, transformers and diffusers, and neither Ray nor the
service's packages.

    python -m pocket.on_gpu [--vae-seconds 150] [--unet-seconds 260] [--start pocket/weights] [--out outputs/pocket-gpu]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, StableDiffusionInpaintPipeline
from PIL import Image

from pocket import lessons, train_unet, train_vae, world
from pocket.atlas import Atlas
from pocket.lessons import Lessons
from pocket.train_vae import psnr, to_model
from pocket.training import Schedule

PICTURES = 192  # that no training has drawn, for the figures of each stage
GUIDANCE_SCALES = (1.0, 1.5, 2.0, 3.0, 5.0)
STEPS = 30
UNSEEN_SEED = 2**40
SHOWN = 24


def main(arguments: Sequence[str] | None = None) -> None:
    """Train both, one after the other, and report after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vae-seconds", type=float, default=150)
    parser.add_argument("--unet-seconds", type=float, default=260)
    parser.add_argument("--start", type=Path, help="go on from the weights in this folder, at half the learning rates")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="for the figures")
    parser.add_argument("--out", type=Path, default=Path("outputs/pocket-gpu"))
    parser.add_argument("--work", type=Path, default=Path("outputs/pocket-gpu-work"), help="weights before packing")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=STEPS, help="of a painting, for the figures")
    options = parser.parse_args(arguments)
    torch.set_float32_matmul_precision("high")
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    report = Report(options.out / "figures.json", options.device)
    folder = options.work / "inpaint"

    with report.stage("autoencoder") as figures:
        schedule = lasting(train_vae.SCHEDULE, options.vae_seconds, options.start)
        train_vae.train(options.device, schedule, options.work, options.work, options.start)
        pack(folder / "vae", options.out / "vae.tar")
        figures |= round_trip(folder / "vae", options.device, options.pictures)
    with report.stage("painter") as figures:
        schedule = lasting(train_unet.SCHEDULE, options.unet_seconds, options.start)
        train_unet.train(options.device, schedule, options.work, options.work, options.start)
        pack(folder, options.out / "inpaint.tar")
    with report.stage("paintings") as figures:
        figures |= paintings(folder, options.device, options.pictures, options.steps, options.out / "paintings.png")


def lasting(usual: Schedule, seconds: float, start: Path | None) -> Schedule:
    """Return a schedule for so many seconds; weights that were trained before are moved half as fast."""
    learning_rate = usual.learning_rate / 2 if start else usual.learning_rate
    return replace(usual, seconds=seconds, learning_rate=learning_rate)


class Report:
    """The figures so far, written anew after each stage."""

    def __init__(self, path: Path, device: str) -> None:
        self._path = path
        on = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor()
        self._figures: dict[str, object] = {"device": on, "torch": torch.__version__}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[dict[str, float]]:
        """Collect the figures of a stage; add its seconds."""
        figures: dict[str, float] = {}
        start = time.monotonic()
        yield figures
        figures["seconds"] = round(time.monotonic() - start, 1)
        self._figures[name] = figures
        self._path.write_text(json.dumps(self._figures, indent=1) + "\n")
        print(name, json.dumps(figures), flush=True)


def pack(folder: Path, archive: Path) -> None:
    """Write what is in a folder to one archive."""
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, "w") as packed:
        packed.add(folder, folder.name)
    partial.replace(archive)


@torch.no_grad()
def round_trip(folder: Path, device: str, count: int) -> dict[str, float]:
    """Return the median PSNR in dB of what the autoencoder makes of unseen crops, by kind of ground."""
    vae = AutoencoderTiny.from_pretrained(folder, dtype=torch.float32).eval().to(device)
    figures = {}
    for named, photographs in (("", world.TRAINING_PHOTOGRAPHS), ("unseen ", world.UNSEEN_PHOTOGRAPHS)):
        drawn = unseen(device, photographs, count)
        pixels = to_model(drawn.wanted)
        made = torch.cat([vae.decoder(vae.encoder(part)).clamp(-1, 1) for part in pixels.split(64)])
        quality = psnr((made - pixels).square().mean((1, 2, 3)), 2)
        for kind, values in _by_ground(drawn, quality).items():
            figures[f"{named}{kind} dB"] = values
    return figures


def unseen(device: str, photographs: Sequence[str], count: int) -> Lessons:
    """Return lessons from a stream of random numbers that is in no training."""
    torch.manual_seed(UNSEEN_SEED)
    return lessons.draw(Atlas.load(device, photographs), lessons.Draw(device), count)


def _by_ground(drawn: Lessons, values: torch.Tensor) -> dict[str, float]:
    return {
        kind: round(values[drawn.grounds == index].median().item(), 2) for index, kind in enumerate(lessons.GROUNDS)
    }


def paintings(folder: Path, device: str, count: int, steps: int, sheet: Path) -> dict[str, float]:
    """Return the median PSNR in dB of the masked part of unseen lessons, by guidance scale and by kind of ground."""
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder, dtype=torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    drawn = unseen(device, world.UNSEEN_PHOTOGRAPHS, count)
    asked = drawn.texts != len(lessons.TEXTS) - 1
    figures, rows = {}, [drawn.wanted[:SHOWN], drawn.wanted[:SHOWN] * (1 - drawn.masks[:SHOWN])]
    for scale in GUIDANCE_SCALES:
        made = painted(pipeline, drawn, scale, steps)
        error = ((made - drawn.wanted).square() * drawn.masks).sum((1, 2, 3)) / (3 * drawn.masks.sum((1, 2, 3)))
        quality = psnr(error, 255)
        figures[f"guidance {scale} dB"] = round(quality[asked].median().item(), 2)
        for kind, value in _by_ground(drawn, quality).items():
            figures[f"guidance {scale} {kind} dB"] = value
        rows.append(made[:SHOWN])
    lines = [torch.cat(list(row), 2) for row in rows]
    picture = torch.cat(lines, 1).permute(1, 2, 0).round().byte().cpu().numpy()
    Image.fromarray(np.ascontiguousarray(picture)).save(sheet)
    return figures


def painted(
    pipeline: StableDiffusionInpaintPipeline, drawn: Lessons, guidance_scale: float, steps: int
) -> torch.Tensor:
    """Return the lessons as the stock pipeline paints them, what is outside the masks kept: [N, 3, H, W] in 0..255."""
    answers = []
    for first in range(0, len(drawn.texts), 64):
        part = slice(first, first + 64)
        answer = pipeline(
            prompt=[lessons.TEXTS[index] for index in drawn.texts[part]],
            image=drawn.wanted[part] / 255,
            mask_image=drawn.masks[part],
            height=lessons.CANVAS_PX,
            width=lessons.CANVAS_PX,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=torch.Generator("cpu").manual_seed(first),
            output_type="pt",
        ).images
        answers.append(torch.as_tensor(answer).to(drawn.wanted) * 255)
    made = torch.cat(answers)
    return torch.where(drawn.masks > 0, made, drawn.wanted)


if __name__ == "__main__":
    main()
