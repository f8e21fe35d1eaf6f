"""Milliseconds of one UNet call by its rows: eager, as a CUDA graph as the engine runs it, and with cuDNN's search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figures import Figure
from benchmarks.gpu_check.models import Place
from benchmarks.gpu_check.timing import Clock, milliseconds, synchronized
from deployments.inpaint.denoiser import Denoiser, Forward

ROWS = (1, 2, 4, 8, 16, 32, 64)
KNEE = 16
SETS = 3  # of inputs, taken in turn
MATMUL = 8192
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def measure(place: Place, clock: Clock) -> Iterator[Figure]:
    """float16 first, and of bfloat16 the rows only."""
    for dtype in (torch.float16, torch.bfloat16):
        yield from _measure(Place(place.device, dtype, place.tiny), clock, further=dtype == torch.float16)
        if place.device == "cuda":
            torch.cuda.empty_cache()


@torch.inference_mode()
def _measure(place: Place, clock: Clock, further: bool) -> Iterator[Figure]:
    unet, name = place.pipeline().unet, str(place.dtype).removeprefix("torch.")
    flops = _flops_per_row(unet, place)
    matmul = _matmul_flops(place)
    plain = Denoiser(unet, "eager", threads=1)
    try:
        eager = {rows: _time(plain, unet, place, rows) for rows in _sizes(place) if not clock.over}
        parts = {f"{rows} rows, ms": value for rows, value in eager.items()}
        parts |= {f"{rows} rows, ms a row": value / rows for rows, value in eager.items()}
        parts["GFLOP a row"] = flops / 1e9
        parts |= {f"{rows} rows, TFLOP/s": rows * flops / value / 1e9 for rows, value in eager.items()}
        yield Figure(f"step, eager, {name}: ms of 2 rows", (eager[2],), parts=parts)
        best = max(rows * flops / value * 1e3 for rows, value in eager.items())
        at_knee = KNEE * flops / eager[KNEE] * 1e3
        yield Figure(
            f"UNet FLOP/s over a matmul's, {name}, {KNEE} rows",
            (at_knee / matmul,),
            0.4,
            parts={"matmul TFLOP/s": matmul / 1e12, "UNet's best over a matmul's": best / matmul},
        )
        if place.device == "cuda":
            yield from _graphs(plain, unet, place, name, eager, clock)
            if further and not clock.over:
                yield _searching(plain, unet, place, name, eager)
    finally:
        plain.close()


def _sizes(place: Place) -> Sequence[int]:
    return ROWS[: ROWS.index(KNEE) + 1] if place.tiny else ROWS


def _graphs(
    denoiser: Denoiser, unet: Any, place: Place, name: str, eager: dict[int, float], clock: Clock
) -> Iterator[Figure]:
    """The same kernels as `execution: graphed` has them: what is left when Python launches nothing."""
    graphed = Denoiser(unet, "graphed", threads=1)
    parts: dict[str, float] = {}
    different = 0
    for rows in (2, 8, KNEE):
        if clock.over:
            break
        sets = inputs(unet, place, rows)
        parts[f"{rows} rows, s to record"] = synchronized(partial(graphed, *sets[0]), place.device)
        parts[f"{rows} rows, ms"] = milliseconds(calls(graphed, sets), place.device)
        parts[f"{rows} rows, over eager"] = parts[f"{rows} rows, ms"] / eager[rows]
        different += int((graphed(*sets[1]) != denoiser(*sets[1])).sum())
    graphed.close()
    if parts:
        yield Figure(f"step, CUDA graph, {name}: 2 rows over eager", (parts["2 rows, over eager"],), parts=parts)
        yield Figure(f"step, CUDA graph, {name}: numbers unlike eager's", (float(different),), 0, below=True)


def _searching(denoiser: Denoiser, unet: Any, place: Place, name: str, eager: dict[int, float]) -> Figure:
    """With cuDNN trying its algorithms for each shape: faster perhaps, and no longer the same in each process."""
    torch.backends.cudnn.benchmark = True
    try:
        made = {rows: _time(denoiser, unet, place, rows) for rows in (2, KNEE)}
    finally:
        torch.backends.cudnn.benchmark = False
    parts = {f"{rows} rows, ms": value for rows, value in made.items()}
    return Figure(f"step, cudnn.benchmark, {name}: {KNEE} rows over eager", (made[KNEE] / eager[KNEE],), parts=parts)


def _time(forward: Forward, unet: Any, place: Place, rows: int) -> float:
    sets = inputs(unet, place, rows)
    return milliseconds(calls(forward, sets), place.device)


def calls(forward: Forward, sets: list[Inputs]) -> Callable[[int], torch.Tensor]:
    """`forward` with one set of inputs after the other."""
    return lambda number: forward(*sets[number % SETS])


def inputs(unet: Any, place: Place, rows: int) -> list[Inputs]:
    """Some sets of random inputs for a call of that many rows."""
    config, tokens = unet.config, 77
    like: dict[str, Any] = {"dtype": place.dtype, "device": place.device}
    return [
        (
            torch.randn(rows, config.in_channels, config.sample_size, config.sample_size, **like),
            torch.randint(1, 999, (rows,), device=place.device).float(),
            torch.randn(rows, tokens, config.cross_attention_dim, **like),
        )
        for _ in range(SETS)
    ]


def _flops_per_row(unet: Any, place: Place) -> float:
    channels, timesteps, text = inputs(unet, place, 1)[0]
    with FlopCounterMode(display=False) as counter:
        unet(channels, timesteps, encoder_hidden_states=text)
    return float(counter.get_total_flops())


def _matmul_flops(place: Place) -> float:
    """FLOP/s of a large square matrix product of random numbers."""
    side = MATMUL if place.device == "cuda" else 512
    sets = [torch.randn(2, side, side, dtype=place.dtype, device=place.device) for _ in range(SETS)]
    call: Callable[[int], torch.Tensor] = lambda number: sets[number % SETS][0] @ sets[number % SETS][1]  # noqa: E731
    return 2 * side**3 / milliseconds(call, place.device, repeats=10, warm=3) * 1e3
