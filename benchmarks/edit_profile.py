"""Where the milliseconds of one edit go: from its trace, and from the operators of a step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from ray import serve
from torch.profiler import ProfilerActivity, profile

from benchmarks.figures import Comparison
from benchmarks.setup import Setup
from benchmarks.workload import GUIDANCE_SCALE, STEPS, EditCase
from deployments.config import InpaintArgs
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.rows import Rows
from deployments.messages import EditRequest, Span

EDITS = 9
WORK = {
    "locate": ("clip.locate",),
    "segment": ("sam.segment",),
    "inpaint": ("inpaint.prepare", "inpaint.wait", "inpaint.steps", "inpaint.decode"),
}


def measure(setup: Setup, known: list[EditCase]) -> Iterator[Comparison]:
    """Return both tables."""
    yield _milliseconds("one edit that has the service to itself", stages(setup, known))
    yield _milliseconds("operators of a step of 8 rows, one thread", operators(setup.args.inpaint, known))


def _milliseconds(title: str, spent: Mapping[str, float]) -> Comparison:
    return Comparison(title, {name: {"ms": value} for name, value in spent.items()})


def stages(setup: Setup, known: list[EditCase]) -> dict[str, float]:
    """Milliseconds of one edit that has the service to itself: each stage in its replica, and the way there and back.

    "hop" is what the driver waited beyond what the replica was busy: queueing, serialisation, copies, the loop.
    """
    handle = setup.start("retouch-profile", None)
    try:
        traces = [_trace(handle, known[number % len(known)], number) for number in range(EDITS + 2)][2:]
    finally:
        serve.delete("retouch-profile")
    told: dict[str, list[float]] = defaultdict(list)
    for trace in traces:
        for name, milliseconds in _told(trace).items():
            told[name].append(milliseconds)
    return {name: float(np.median(values)) for name, values in told.items()}


def _trace(handle: Any, case: EditCase, number: int) -> tuple[Span, ...]:
    image = case.marked(number).image  # never the same pixels twice, or the caches would answer
    request = EditRequest(
        image, case.prompt, case.target, seed=number, num_inference_steps=STEPS, guidance_scale=GUIDANCE_SCALE
    )
    trace: tuple[Span, ...] = handle.edit.remote(request).result().trace
    return trace


def _told(trace: tuple[Span, ...]) -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)
    for span in trace:
        spent[span.name] += 1000 * (span.end_s - span.start_s)
    (edit,) = (span for span in trace if span.name == "edit")
    (inpaint,) = (span for span in trace if span.name == "inpaint")
    after = [span for span in trace if span.name == "score" and span.start_s >= inpaint.end_s]
    told = {name: spent[name] for name in ("clip.locate", "sam.encode", "sam.segment")}
    told |= {name: spent[name] for name in WORK["inpaint"]}
    told |= {f"hop of {stage}": spent[stage] - sum(spent[name] for name in work) for stage, work in WORK.items()}
    (located,), (encoded,) = ([span for span in trace if span.name == name] for name in ("locate", "sam.encode"))
    told["wait for SAM's encoding"] = 1000 * max(0.0, encoded.end_s - located.end_s)
    told["hop of segment"] -= told["wait for SAM's encoding"]
    told["score after (2 views, with hop)"] = 1000 * (max(s.end_s for s in after) - min(s.start_s for s in after))
    # SAM's encoding overlaps with CLIP, and the score before with the painting: neither is on the way.
    way = ("locate", "segment", "inpaint")
    told["driver: region, paste, compare"] = (
        1000 * (edit.end_s - edit.start_s) - sum(spent[name] for name in way) - told["score after (2 views, with hop)"]
    )
    told["whole edit"] = spent["edit"]
    return told


@torch.inference_mode()
def operators(args: InpaintArgs, known: list[EditCase], rows: int = 8) -> dict[str, float]:
    """Milliseconds of the operators in one step of `rows` rows on one thread, the costliest first."""
    from deployments.inpaint.denoiser import Denoiser

    model = InpaintModel.load(args)
    denoiser = Denoiser(model.unet, threads=1)
    paintings = [model.prepare(case.inpaint(1))[0] for case in known[: rows // 2]]
    batch = Rows(paintings, denoiser)
    for _ in range(3):
        batch.predict()
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(3):
            batch.predict()
    denoiser.close()
    events = sorted(recorded.key_averages(), key=lambda event: -event.self_cpu_time_total)
    return {event.key.removeprefix("aten::"): event.self_cpu_time_total / 3000 for event in events[:10]}
