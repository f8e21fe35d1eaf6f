"""Whom we compare with: the seed's way in one process, and Ray Serve's own batching."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import torch
from ray import serve

from benchmarks.stock import StockEditor
from benchmarks.workload import cases
from deployments.config import GraphArgs, InpaintArgs, ModelArgs
from deployments.messages import InpaintRequest, Painted, ScoreRequest

BATCH = 8
BATCH_WAIT_S = 0.01


class SequentialProcess:
    """`StockEditor` in a process of its own, on as many threads as suit it best."""

    def __init__(self, args: GraphArgs) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.baselines", args.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        cores = len(os.sched_getaffinity(0))
        self.threads = min((2**power for power in range(cores.bit_length())), key=self._trial)

    def seconds_per_edit(self, edits: int, first: int, threads: int | None = None) -> float:
        """Of `edits` edits in a row, numbered from `first`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"edits": edits, "first": first, "threads": threads or self.threads}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return float(json.loads(self._process.stdout.readline()))

    def _trial(self, threads: int) -> float:
        self.seconds_per_edit(1, 0, threads)
        return self.seconds_per_edit(2, 0, threads)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _serve_orders() -> None:
    baseline, known = StockEditor.load(GraphArgs.model_validate_json(sys.argv[1])), cases(8)
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        torch.set_num_threads(order["threads"])
        start = time.perf_counter()
        for number in range(order["first"], order["first"] + order["edits"]):
            baseline.edit(known[number % len(known)], number)
        print(json.dumps((time.perf_counter() - start) / order["edits"]), flush=True)


class RequestBatching:
    """Inpainting in whole requests with `@serve.batch`: those that wait together and ask for equal steps share a loop.

    A queue for each number of steps, so that each batch is answered as soon as its own loop ends; one loop at a time.
    Model, execution and threads are the engine's own, so that only the scheduling differs.
    """

    def __init__(self, args: InpaintArgs) -> None:
        from deployments.inpaint.denoiser import Denoiser
        from deployments.inpaint.model import InpaintModel

        self._model = InpaintModel.load(args)
        self._denoiser = Denoiser(self._model.unet, args.execution, args.row_threads, args.row_buckets, args.precision)
        self._turn = asyncio.Lock()
        self._queues: dict[int, Callable[[InpaintRequest], Awaitable[Painted]]] = {}

    async def inpaint(self, request: InpaintRequest) -> Painted:
        steps = request.options.num_inference_steps or 0
        if steps not in self._queues:
            self._queues[steps] = self._queue()
        return await self._queues[steps](request)

    def _queue(self) -> Callable[[InpaintRequest], Awaitable[Painted]]:
        @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=BATCH_WAIT_S)
        async def paint(requests: list[InpaintRequest]) -> list[Painted]:
            async with self._turn:
                return await asyncio.to_thread(self._paint, requests)

        batched: Callable[[InpaintRequest], Awaitable[Painted]] = paint
        return batched

    @torch.inference_mode()
    def _paint(self, requests: list[InpaintRequest]) -> list[Painted]:
        from deployments.inpaint.rows import Rows

        paintings = [self._model.prepare(request)[0] for request in requests]
        rows = Rows(paintings, self._denoiser)
        while not paintings[0].finished:
            for painting, prediction in zip(rows.paintings, rows.predict(), strict=True):
                painting.advance(prediction)
        sides = [request.squares[0].image.shape[0] for request in requests]
        return [
            Painted(
                (self._model.decode(painting.latents, side)[None],),
                painting.guidance_scale,
                (False,),
                self._denoiser.execution,
                self._denoiser.precision,
            )
            for painting, side in zip(paintings, sides, strict=True)
        ]


class ServeBatchedScores:
    """CLIP scores with `@serve.batch`, as Ray's guide has it; counts the sizes of its batches."""

    def __init__(self, args: ModelArgs) -> None:
        from deployments.clip.model import ClipMatcher

        self._matcher = ClipMatcher.load(args)
        self._sizes: list[int] = []

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=BATCH_WAIT_S)
    async def score(self, requests: list[ScoreRequest]) -> list[float | Exception]:
        self._sizes.append(len(requests))
        return await asyncio.to_thread(self._matcher.score, requests)

    async def mean_batch(self) -> float:
        sizes, self._sizes = self._sizes, []
        return float(np.mean(sizes))


if __name__ == "__main__":
    _serve_orders()
