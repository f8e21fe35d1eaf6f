"""Measures how clean the painter paints: against the true sticker on the true ground, and what the judge says.

A thing of a scene is masked and another one asked for, so the painter alone is measured, through the real graph. It is
offered the grown hull of the true mask, as in an edit that finds the thing. `clean` is the PSNR, in the box around what
is repainted, against the picture that has the wanted sticker upright on the bare ground at the place and in the size
that are closest to what was painted. Its ceiling is what the autoencoder makes of that very picture. Photographs are
none that a training has seen.

    python -m pocket.clean [--scenes 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import fft

from deployments.messages import Box, EditRequest
from deployments.pixels import regions
from deployments.pixels.masks import bounding_box
from pocket import world
from pocket.judge import judge
from pocket.training import WEIGHTS
from pocket.vocabulary import STICKERS, Sticker
from pocket.world import Placed, Scene

STREAM = 6  # of the evaluation's random numbers
SIZES_WH = ((256, 256), (320, 256), (256, 384), (384, 384), (512, 320))
SIZES = tuple(np.linspace(0.4, 1.0, 31))  # of the sticker, over the largest that the box holds
AT_ONCE = 2


@dataclass(frozen=True, eq=False)
class Case:
    """One edit: what was asked where, and what came."""

    scene: Scene
    gone: Placed
    wanted: Sticker
    seed: int
    picture: np.ndarray
    mask: np.ndarray

    @property
    def bare(self) -> np.ndarray:
        """The picture as it was before the thing was placed: HxWx3 uint8."""
        return self.scene.without(self.gone)


@dataclass(frozen=True)
class Cleanness:
    """The figures of one edit, in dB; `named` is what the judge saw."""

    ground: world.Ground
    wanted: str
    named: str
    clean: float
    ceiling: float


def main() -> None:
    """Paint the scenes, print the figures and perhaps write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=60, help="of each kind of ground")
    parser.add_argument("--json", type=Path, help="also write the figures of each edit there")
    parser.add_argument("--sheet", type=Path, help="a picture of the edits, the worst first")
    options = parser.parse_args()
    cases = list(painted(options.scenes))
    trip = RoundTrip()
    figures = [cleanness(case, trip) for case in cases]
    for line in table(figures):
        print(line)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    if options.sheet:
        sheet(cases, figures).save(options.sheet)


def table(figures: list[Cleanness]) -> Iterator[str]:
    """Return the lines of the report: medians and shares, over all and by ground."""
    yield f"{'ground':<14}{'edits':>6}{'clean dB':>10}{'ceiling dB':>12}{'judge':>8}"
    for ground in ("", *world.GROUNDS):
        of = [figure for figure in figures if ground in ("", figure.ground)]
        clean, ceiling = (np.median([getattr(each, name) for each in of]) for name in ("clean", "ceiling"))
        right = np.mean([each.named == each.wanted for each in of])
        yield f"{ground or 'all':<14}{len(of):>6}{clean:>10.2f}{ceiling:>12.2f}{right:>8.3f}"


# Painting


def painted(scenes: int) -> Iterable[Case]:
    """Paint the scenes through the real graph, the same number on each kind of ground."""
    from deployments.config import GraphArgs
    from deployments.launch.one_shot import running
    from deployments.launch.session import ray_session
    from graph import build

    asked = [(seed, ground) for ground in world.GROUNDS for seed in range(scenes)]
    with ray_session() as own, running(build(GraphArgs()), own) as handle, ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda each: paint(handle, *each), asked))


def paint(handle: Any, seed: int, ground: world.Ground) -> Case:
    """Paint one scene: its first thing is masked, another one asked for."""
    rng = world.evaluation_rng(STREAM, seed)
    size = SIZES_WH[int(rng.integers(len(SIZES_WH)))]
    scene = world.compose(rng, size, ground=ground, photographs=world.UNSEEN_PHOTOGRAPHS)
    gone = max(scene.placed, key=lambda placed: int(placed.mask.sum()))
    others = [sticker for sticker in STICKERS if sticker != gone.sticker]
    wanted = others[int(rng.integers(len(others)))]
    article = "an" if wanted.name[0] in "aeiou" else "a"
    prompt = f"{article} {wanted.name}"
    request = EditRequest(scene.image, prompt, mask=gone.mask, mask_shape="hull", dilation=regions.MARGIN, seed=seed)
    result = handle.edit.remote(request).result(timeout_s=600)
    return Case(scene, gone, wanted, seed, result.edits[0].image, result.mask)


# Measuring


class RoundTrip:
    """What the pocket autoencoder makes of a square."""

    def __init__(self) -> None:
        from diffusers import AutoencoderTiny

        folder = WEIGHTS / "inpaint"
        self._vae = AutoencoderTiny.from_pretrained(folder / "vae", dtype=torch.float32).eval()
        unet = json.loads((folder / "unet" / "config.json").read_text())
        self._side = unet["sample_size"] * 2 ** (len(self._vae.config.encoder_block_out_channels) - 1)

    @torch.no_grad()
    def __call__(self, square: np.ndarray) -> np.ndarray:
        """Return a square SxSx3 uint8, resized to the model's side, encoded, decoded and resized back."""
        small = np.asarray(_resized(square, self._side)).astype(np.float32)
        pixels = torch.from_numpy(small / 127.5 - 1).permute(2, 0, 1)[None]
        made = self._vae.decoder(self._vae.encoder(pixels)).clamp(-1, 1)[0].permute(1, 2, 0).numpy()
        return np.asarray(_resized(np.round((made + 1) * 127.5).astype(np.uint8), len(square)))


def _resized(square: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(square).resize((side, side), Image.Resampling.LANCZOS)


def cleanness(case: Case, trip: RoundTrip) -> Cleanness:
    """Return the figures of one edit."""
    box = bounding_box(case.mask)
    truth = closest(case.picture, case.bare, case.wanted, box)
    region = regions.whole(case.mask, dilation=0.0)
    restored = truth.copy()
    there, in_box = region.inside((truth.shape[1], truth.shape[0]))
    restored[there] = trip(region.crop(truth))[in_box]
    view = regions.whole(case.gone.mask)
    verdict = judge(view.crop(case.picture), view.crop(case.bare))
    return Cleanness(
        case.scene.ground,
        case.wanted.name,
        verdict.name,
        clean=psnr(_cut(case.picture, box), _cut(truth, box)),
        ceiling=psnr(_cut(restored, box), _cut(truth, box)),
    )


def psnr(made: np.ndarray, wanted: np.ndarray) -> float:
    """Return the peak signal to noise ratio of two pictures of uint8, in dB."""
    error = np.square(made.astype(np.float64) - wanted).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def _cut(picture: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = box
    return picture[top:bottom, left:right]


def closest(picture: np.ndarray, bare: np.ndarray, sticker: Sticker, box: Box) -> np.ndarray:
    """Return the bare picture with the sticker in `box` where it is closest to `picture`: HxWx3 uint8.

    With colours G and opacity a on the ground B a sticker changes it by a (G - B). Its squared distance to the change
    D that was made is |D|^2 - 2 <D, a (G - B)> + |a (G - B)|^2, and the Fourier transform gives each for all places
    at once, as in `judge`.
    """
    after, before = (_cut(part, box).astype(np.float64) / 255 for part in (picture, bare))
    changed = _Changed(after - before, before)
    best = min((changed.nearest(ink) for ink in _copies(sticker, box)), key=lambda found: found[0])
    _, (top, left), ink = best
    truth = bare.copy()
    corner = box[0] + left, box[1] + top
    world.paste(truth, ink, (*corner, corner[0] + ink.shape[1], corner[1] + ink.shape[0]))
    return truth


def _copies(sticker: Sticker, box: Box) -> Iterator[np.ndarray]:
    """Return the sticker in all sizes that the box holds: hxwx4 uint8 each."""
    picture = world.sticker_image(sticker)
    largest = min((box[2] - box[0]) / picture.width, (box[3] - box[1]) / picture.height)
    for size in SIZES:
        shape = tuple(max(2, int(side * largest * size)) for side in picture.size)
        yield np.array(picture.resize((shape[0], shape[1]), Image.Resampling.BOX))


class _Changed:
    """A change D on a ground B, hxwx3 each in -1..1, ready to be compared with stickers at every place."""

    def __init__(self, change: np.ndarray, ground: np.ndarray) -> None:
        self._size = change.shape[:2]
        self._padded = tuple(fft.next_fast_len(2 * side, real=True) for side in self._size)
        self._change = self._spectrum(change)
        self._change_on_ground = self._spectrum((change * ground).sum(axis=2, keepdims=True))
        self._ground = self._spectrum(ground)
        self._ground_squared = self._spectrum((ground**2).sum(axis=2, keepdims=True))

    def nearest(self, ink: np.ndarray) -> tuple[float, tuple[int, int], np.ndarray]:
        """Return the least squared distance, less |D|^2, where it is (top, left), and the ink again."""
        colour, opacity = ink[..., :3] / 255, ink[..., 3:] / 255
        product = self._along(self._change, opacity * colour) - self._along(self._change_on_ground, opacity)
        squared = (
            float(((opacity * colour) ** 2).sum())
            - 2 * self._along(self._ground, opacity**2 * colour)
            + self._along(self._ground_squared, opacity**2)
        )
        distance = squared - 2 * product
        places = distance[: self._size[0] - ink.shape[0] + 1, : self._size[1] - ink.shape[1] + 1]
        top, left = np.unravel_index(int(places.argmin()), places.shape)
        return float(places.min()), (int(top), int(left)), ink

    def _spectrum(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(fft.rfft2(array, s=self._padded, axes=(0, 1)))

    def _along(self, spectrum: np.ndarray, template: np.ndarray) -> np.ndarray:
        product = (spectrum * np.conj(self._spectrum(template))).sum(axis=2)
        return np.asarray(fft.irfft2(product, s=self._padded))


# Looking


def sheet(cases: list[Case], figures: list[Cleanness], side: int = 160, across: int = 10) -> Image.Image:
    """Return a picture of the edits, the least clean first: before above after."""
    order = sorted(range(len(cases)), key=lambda index: figures[index].clean)
    rows = -(-len(order) // across)
    picture = Image.new("RGB", (across * side, rows * 2 * side))
    for place, index in enumerate(order):
        case = cases[index]
        view = regions.whole(case.mask, dilation=0.0)
        for line, shown in enumerate((case.scene.image, case.picture)):
            small = _resized(view.crop(shown), side)
            picture.paste(small, (place % across * side, (2 * (place // across) + line) * side))
    return picture


if __name__ == "__main__":
    main()
