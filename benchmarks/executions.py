"""What a row of the UNet costs on this CPU, in each execution and precision, by the rows of a step.

    OMP_NUM_THREADS=1 python -m benchmarks.executions [--rounds 12] [--model pocket]

All ways take turns in each round; of each the fastest and the median are printed, in ms a row, and how far its
prediction lies from torch's in float32.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.in_process import silence
from deployments.config import POCKET, InpaintArgs
from deployments.inpaint.denoiser import Denoiser
from deployments.inpaint.model import InpaintModel
from deployments.serving.openvino import runtime

ROWS = (1, 2, 4, 8, 16)

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Predict = Callable[[Inputs], torch.Tensor]


def ways(model: InpaintModel) -> dict[str, Predict]:
    """Return the functions that are compared, by the name of execution and precision."""
    plain = Denoiser(model.unet, "traced")
    half = Denoiser(copy.deepcopy(model.unet).to(torch.bfloat16), "traced")
    made: dict[str, Predict] = {
        "traced float32": lambda inputs: plain(*inputs),
        "traced bfloat16": lambda inputs: half(inputs[0].bfloat16(), inputs[1], inputs[2].bfloat16()).float(),
    }
    if runtime.installed():
        exact = Denoiser(model.unet, "openvino", precision="float32")
        rounded = Denoiser(model.unet, "openvino", precision="bfloat16")
        made["openvino float32"] = lambda inputs: exact(*inputs)
        made["openvino bfloat16"] = lambda inputs: rounded(*inputs)
    return made


def inputs(model: InpaintModel, rows: int) -> Inputs:
    """Return noise of the model's native size at evenly spread timesteps."""
    side = model.native_px // model.vae_scale_factor
    generator = torch.Generator().manual_seed(rows)
    channels = torch.randn(rows, model.unet.config.in_channels, side, side, generator=generator)
    text = model.encode_text("a lemon").expand(rows, -1, -1).contiguous()
    return channels, torch.linspace(1, 999, rows), text


def measure(model: InpaintModel, rounds: int) -> None:
    """Print the table."""
    compared = ways(model)
    steps = {rows: inputs(model, rows) for rows in ROWS}
    seconds: dict[tuple[str, int], list[float]] = {(name, rows): [] for name in compared for rows in ROWS}
    expected = {rows: compared["traced float32"](step) for rows, step in steps.items()}
    for name, predict in compared.items():
        furthest = max(float((predict(step) - expected[rows]).abs().max()) for rows, step in steps.items())
        largest = max(float(each.abs().max()) for each in expected.values())
        print(f"{name:18} differs from traced float32 by at most {furthest:.1e} of {largest:.1f}")
    for _ in range(rounds):
        for (name, rows), taken in seconds.items():
            start = time.perf_counter()
            compared[name](steps[rows])
            taken.append(time.perf_counter() - start)
    print("ms a row, fastest (median)  " + "".join(f"{rows:>4} rows     " for rows in ROWS))
    for name in compared:
        cells = ((min(seconds[name, rows]), statistics.median(seconds[name, rows]), rows) for rows in ROWS)
        print(f"{name:26}" + "".join(f"{1e3 * low / rows:6.2f} ({1e3 * mid / rows:5.2f})" for low, mid, rows in cells))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--model", default=POCKET)
    options = parser.parse_args(argv)
    measure(InpaintModel.load(InpaintArgs(model=options.model, device="cpu")), options.rounds)
    return 0


if __name__ == "__main__":
    silence()
    sys.exit(main())
