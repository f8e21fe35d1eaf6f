"""What an edit costs by the shape of the picture: CPU seconds and memory per megapixel, from 1:1 to 1:256.

    python -m benchmarks.shapes [--megapixels 0.262144 4.194304] [--ratios 1 4 16 64 256] [--rounds 3] [--reported]

The graph runs in this process, on the pocket models. A mask along the longest side is repainted, with 2 steps and with
30, or removed. From the two follows what the UNet costs, which grows with the number of squares, of which a long mask
has several, and what all else does. Seconds are the process's own on all cores, so that what else runs on the machine
hardly counts: the fewest of the rounds. Memory is how far the process grows during an edit, at most. Columns with an x
are multiples of what a square picture has per megapixel.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import os
import threading
import time
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a replica; before torch is imported

import numpy as np
import psutil

from benchmarks.in_process import InProcessGraph, silence
from deployments.config import ClipSettings, DriverSettings, GraphArgs
from deployments.limits import Limits
from deployments.messages import EditRequest
from deployments.pixels import regions
from pocket import world

MASKED = 0.6  # of the shorter side, and
LENGTH = 0.8  # of the longer one
SAMPLES_S = 0.002
M_MMAP_THRESHOLD = -3  # as in malloc.h
MB = 2**20
FEW, MANY = 2, 30  # steps


@dataclass(frozen=True)
class Cost:
    """Of one edit: CPU seconds, those of them that the UNet took, and by how many bytes the process grew."""

    seconds: float
    unet_s: float
    peak_bytes: int

    @property
    def other_s(self) -> float:
        return self.seconds - self.unet_s


@dataclass(frozen=True)
class ShapeCase:
    """A picture of `height` and `width`, with a mask of `mask_height` and `mask_width` in its middle."""

    height: int
    width: int
    mask_height: int
    mask_width: int

    @classmethod
    def of(cls, pixels: float, ratio: int) -> ShapeCase:
        """Return one as wide as `ratio` times its height, with a mask along it."""
        height = max(16, round((pixels / ratio) ** 0.5))
        width = round(pixels / height)
        return cls(height, width, round(MASKED * height), round(LENGTH * width))

    def image(self) -> np.ndarray:
        """Return a graded ground, HxWx3 uint8."""
        return np.array(world.draw_ground(world.evaluation_rng(8, 0), (self.width, self.height), "graded", ()))

    def mask(self) -> np.ndarray:
        """Return HxW bool."""
        mask = np.zeros((self.height, self.width), bool)
        top, left = (self.height - self.mask_height) // 2, (self.width - self.mask_width) // 2
        mask[top : top + self.mask_height, left : left + self.mask_width] = True
        return mask


REPORTED = (ShapeCase(64, 4096, 39, 4000), ShapeCase(8000, 1080, 7000, 400))


class Growth:
    """By how many bytes this process grows while it is entered, looked at every few milliseconds."""

    def __enter__(self) -> Growth:
        gc.collect()
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 2**16)  # what an earlier edit has freed is not kept for this one
        libc.malloc_trim(0)
        self._process, self._ended = psutil.Process(), threading.Event()
        self._start = self.peak = self._process.memory_info().rss
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watcher.join()
        self.peak -= self._start

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLES_S):
            self.peak = max(self.peak, self._process.memory_info().rss)


async def measure(graph: InProcessGraph, case: ShapeCase, steps: int) -> tuple[float, int]:
    """Return the CPU seconds and the growth in bytes of one edit; 0 steps are a removal."""
    request = EditRequest(case.image(), "a lemon", mask=case.mask(), seed=1, num_inference_steps=steps)
    if not steps:
        request = EditRequest(request.image, mask=request.mask, mode="remove")
    with Growth() as growth:
        start = time.process_time()
        await graph.driver.edit(request)
        seconds = time.process_time() - start
    return seconds, growth.peak


async def best(graph: InProcessGraph, case: ShapeCase, steps: int, rounds: int) -> tuple[float, int]:
    """Return the fewest seconds and the largest growth of several rounds."""
    costs = [await measure(graph, case, steps) for _ in range(rounds)]
    return min(seconds for seconds, _ in costs), max(peak for _, peak in costs)


async def repainting(graph: InProcessGraph, case: ShapeCase, rounds: int) -> Cost:
    """Return the cost with MANY steps; what a step costs is the difference to FEW, shared among them."""
    few, _ = await best(graph, case, FEW, rounds)
    many, peak = await best(graph, case, MANY, rounds)
    return Cost(many, MANY * (many - few) / (MANY - FEW), peak)


async def removal(graph: InProcessGraph, case: ShapeCase, rounds: int) -> Cost:
    seconds, peak = await best(graph, case, 0, rounds)
    return Cost(seconds, 0.0, peak)


def row(case: ShapeCase, mode: str, cost: Cost, square: tuple[float, Cost] | None) -> str:
    """Return a line of the table; `square` has the megapixels and the cost of what it is compared with."""
    pixels, squares = case.height * case.width / 1e6, len(regions.plan(case.mask(), "silhouette", 0.0).regions)
    cells = [f"{case.width}x{case.height}", mode, str(squares), f"{cost.seconds:.2f}", f"{cost.unet_s:.2f}"]
    cells += [f"{cost.other_s / pixels:.2f}", f"{cost.peak_bytes / MB / pixels:.0f}"]
    if square is not None:
        share, one = pixels / square[0], square[1]
        ratios = (cost.seconds / one.seconds, cost.other_s / one.other_s, cost.peak_bytes / one.peak_bytes)
        cells += [f"{ratio / share:.1f}" for ratio in ratios]
    return "| " + " | ".join(cells) + " |"


HEAD = """\
| picture | mode | squares | s | of them UNet | other s/MP | MB/MP | x s | x other s | x MB |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"""


async def table(options: argparse.Namespace) -> None:
    """Print the table, row by row."""
    graph = InProcessGraph(GraphArgs())
    graph.configure(ClipSettings(), DriverSettings(deadline_s=3600, limits=Limits(max_side_px=2**16)))
    await measure(graph, ShapeCase(256, 256, 100, 100), FEW)  # what is loaded once is no edit's own
    for mode, measured in {"replace": repainting, "remove": removal}.items():
        for megapixels in options.megapixels:
            square: tuple[float, Cost] | None = None
            for case in (ShapeCase.of(1e6 * megapixels, ratio) for ratio in options.ratios):
                cost = await measured(graph, case, options.rounds)
                square = square or (case.height * case.width / 1e6, cost)
                print(row(case, mode, cost, square), flush=True)
        for case in REPORTED if options.reported else ():
            print(row(case, mode, await measured(graph, case, 1), None), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megapixels", type=float, nargs="+", default=[2**18 / 1e6, 2**22 / 1e6])
    parser.add_argument("--ratios", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reported", action="store_true", help="also 4096x64 and 1080x8000 with long masks")
    options = parser.parse_args()
    silence()
    print(HEAD, flush=True)
    asyncio.run(table(options))


if __name__ == "__main__":
    main()
