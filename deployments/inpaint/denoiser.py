"""Runs the UNet on rows: which way it is executed, on how many threads, padded to which bucket."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import torch

from deployments.config import Execution, Precision
from deployments.errors import SettingError
from deployments.inpaint.cuda_graphs import GraphedForward
from deployments.inpaint.openvino_unet import OpenvinoUNet
from deployments.serving.openvino import runtime

MOST_ROW_THREADS = 4
TRACE_SIDE = 8  # latents; a traced UNet takes any size, so the smallest that every UNet can halve thrice will do
GPU_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
GRAPHS = 256  # that may be compiled: buckets times latent sizes

Forward = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Denoiser:
    """The UNet for any number of rows: `denoiser(channels, timesteps, text)` returns its prediction, [rows, 4, h, w].

    `channels` [rows, 9, h, w] (latents, mask, masked latents), `timesteps` [rows] float32, `text` [rows, tokens,
    width]. `rows` must be one of its buckets: see `padded`. On a CPU the rows are split evenly among
    `threads` threads, each with a UNet call of its own: two threads that never wait for each other gain more than
    two that share every operator. One call at a time.
    """

    def __init__(
        self,
        unet: Any,
        execution: Execution = "auto",
        threads: int | None = None,
        buckets: tuple[int, ...] | None = None,
        precision: Precision = "auto",
    ) -> None:
        on_cpu = unet.device.type == "cpu"
        if execution == "auto":
            execution = _BEST.get(unet.device.type, "eager")
        if not on_cpu:
            unet.to(memory_format=torch.channels_last)
        self.execution = execution
        self.threads = (threads or _free_cores()) if on_cpu else 1
        self.openvino = _openvino(unet, self.threads, precision) if execution == "openvino" else None
        self._forward: Forward = self.openvino or _MAKERS[execution](unet)
        self.precision: str = self.openvino.precision if self.openvino else str(unet.dtype).removeprefix("torch.")
        self._buckets = tuple(sorted(buckets or (() if on_cpu else GPU_BUCKETS)))
        self._pool = ThreadPoolExecutor(max(1, self.threads - 1), thread_name_prefix="rows")

    @property
    def most_rows(self) -> int:
        """The most rows that one step may have: the largest bucket, where there are buckets."""
        return self._buckets[-1] if self._buckets else sys.maxsize

    def padded(self, rows: int) -> int:
        """Return with how many rows a step of `rows` is run: the next bucket, in equal shares for all threads."""
        bucket = next((size for size in self._buckets if size >= rows), rows)
        share = -(-bucket // self.threads)
        return share * min(self.threads, -(-bucket // share))

    def __call__(self, channels: torch.Tensor, timesteps: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        rows = len(channels)
        share = -(-rows // self.threads)
        if share == rows:
            return self._run(channels, timesteps, text)
        parts = list(zip(channels.split(share), timesteps.split(share), text.split(share), strict=True))
        others = [self._pool.submit(self._run, *part) for part in parts[1:]]
        try:
            first = self._run(*parts[0])
        finally:
            # The inputs are written again for the next step; nobody may still be reading them.
            wait(others)
        return torch.cat([first, *(other.result() for other in others)])

    @torch.inference_mode()
    def _run(self, channels: torch.Tensor, timesteps: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return self._forward(channels, timesteps, text)

    def close(self) -> None:
        """End the threads."""
        if self.openvino:
            self.openvino.close()
        self._pool.shutdown()


def _free_cores() -> int:
    """Return how many cores torch's own threads leave: with one such thread, all of them."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(MOST_ROW_THREADS, cores // torch.get_num_threads()))


class _Plain(torch.nn.Module):
    """The UNet with tensors in and a tensor out."""

    def __init__(self, unet: torch.nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, channels: torch.Tensor, timesteps: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        prediction: torch.Tensor = self.unet(channels, timesteps, encoder_hidden_states=text, return_dict=False)[0]
        return prediction


def _eager(unet: Any) -> Forward:
    return _Plain(unet)


def _traced(unet: Any) -> Forward:
    """Record the operators, which then run in the same order without the interpreter that only one thread can be in."""
    config, options = unet.config, {"dtype": unet.dtype, "device": unet.device}
    channels = torch.zeros(2, config.in_channels, TRACE_SIDE, TRACE_SIDE, **options)
    text = torch.zeros(2, 2, config.cross_attention_dim, **options)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch.jit")
        # The tracer warns of every size that it turns into a constant; tests compare it at other sizes.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        example = (channels, torch.zeros(2, device=unet.device), text)
        forward: Forward = torch.jit.trace(_Plain(unet).eval(), example, check_trace=False)
    return forward


def _compiled(unet: Any) -> Forward:
    """Compile one graph for each bucket and latent size; by default torch gives up after eight."""
    compiled = torch.compile(_Plain(unet), fullgraph=True, dynamic=False)

    def forward(channels: torch.Tensor, timesteps: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        torch._dynamo.config.recompile_limit = GRAPHS  # each thread has a limit of its own
        prediction: torch.Tensor = compiled(channels, timesteps, text)
        return prediction

    return forward


def _graphed(unet: Any) -> Forward:
    """Record the kernels of eager and play them back. Raises SettingError where there is no CUDA to record them."""
    if unet.device.type != "cuda":
        raise SettingError(
            "inpaint.execution", f"'graphed' needs a CUDA GPU, and the model is on {unet.device}. Give auto."
        )
    return GraphedForward(_Plain(unet))


def _openvino(unet: Any, threads: int, precision: Precision) -> OpenvinoUNet:
    """Convert and compile in another process, or take from the disk, when a size is first asked for."""
    chosen = runtime.native_precision() if precision == "auto" else precision
    return OpenvinoUNet(_Plain(unet), unet.config, chosen, threads)


_BEST: dict[str, Execution] = {"cpu": "traced", "cuda": "graphed"}
_MAKERS: dict[str, Callable[[Any], Forward]] = {
    "eager": _eager,
    "graphed": _graphed,
    "traced": _traced,
    "compiled": _compiled,
}
