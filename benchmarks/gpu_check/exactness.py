"""What changes the numbers of one row in a UNet call of sixteen: chance, its neighbours, or its place among them.

The engine promises the same bits whoever shares a step. That holds where each kernel sums every row in the same order;
this finds the settings with which it does, and the operators with which it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional

from benchmarks.figures import Figure
from benchmarks.gpu_check.models import Place
from benchmarks.gpu_check.steps import Inputs, inputs
from benchmarks.gpu_check.timing import Clock

ROWS = 16
PLACES = (1, 5, 15)
MOST_KINDS = 40  # of operators that are listed


@dataclass(frozen=True)
class Way:
    """How the UNet is run: its dtype and layout, and torch's switches, by their path below torch.backends."""

    name: str
    dtype: torch.dtype
    layout: torch.memory_format = torch.channels_last
    switches: tuple[tuple[str, Any], ...] = ()


HALF_SUMS, BFLOAT_SUMS = ((f"cuda.matmul.allow_{name}_reduced_precision_reduction", False) for name in ("fp16", "bf16"))
NO_TF32 = (("cuda.matmul.allow_tf32", False), ("cudnn.allow_tf32", False))
WAYS = (
    Way("float16", torch.float16),
    Way("float16, sums in float32", torch.float16, switches=(HALF_SUMS,)),
    Way("float16, contiguous", torch.float16, torch.contiguous_format),
    Way("float16, contiguous, sums in float32", torch.float16, torch.contiguous_format, switches=(HALF_SUMS,)),
    Way("float16, cudnn.deterministic", torch.float16, switches=(("cudnn.deterministic", True),)),
    Way("bfloat16", torch.bfloat16),
    Way("bfloat16, sums in float32", torch.bfloat16, switches=(BFLOAT_SUMS,)),
    Way("float32, no TF32", torch.float32, switches=NO_TF32),
    Way("float16, without cuDNN", torch.float16, switches=(("cudnn.enabled", False),)),
    # Last, as not every torch knows it: if it fails, all else has been found.
    Way("float16, sums in float32, no split-K", torch.float16, switches=((HALF_SUMS[0], (False, False)),)),
)


@torch.inference_mode()
def measure(place: Place, clock: Clock) -> Iterator[Figure]:
    """As the engine runs it first, with the operators one by one; then in other ways."""
    unet = Place(place.device, WAYS[0].dtype, place.tiny).pipeline().unet
    for way in WAYS:
        if clock.over:
            break
        unet.to(dtype=way.dtype, memory_format=way.layout)
        with _switched(way):
            sets = inputs(unet, Place(place.device, way.dtype, place.tiny), ROWS)
            yield _whole(unet, way, sets)
            if not way.switches or way.dtype == torch.float32:
                yield _operators(unet, way, sets[0])


def _whole(unet: Any, way: Way, sets: list[Inputs]) -> Figure:
    """One row in the first place twice, with other neighbours, and in other places with the same neighbours."""
    one: Inputs = tuple(each[:1] for each in sets[0])  # type: ignore[assignment]
    others, strangers = ([each[1:] for each in made] for made in (sets[0], sets[1]))
    cases: dict[str, tuple[list[torch.Tensor], int]] = {
        "again": (others, 0),
        "neighbours of zeros": ([torch.zeros_like(each) for each in others], 0),
        "other neighbours": (strangers, 0),
    }
    cases |= {f"in place {slot}": (others, slot) for slot in PLACES}
    expected = _row(unet, one, others, 0)
    parts: dict[str, float] = {}
    for name, (neighbours, slot) in cases.items():
        made = _row(unet, one, neighbours, slot)
        parts[f"{name}, numbers"] = float((made != expected).sum())
        parts[f"{name}, over the spread"] = _apart(made, expected)
    parts["numbers in all"] = float(expected.numel())
    most = max(parts[f"{name}, numbers"] for name in cases)
    return Figure(f"exactness, {way.name}: numbers of a row that company changes", (most,), 0, below=True, parts=parts)


def _row(unet: Any, one: Inputs, others: list[torch.Tensor], slot: int) -> torch.Tensor:
    """The prediction for `one` in that place among the others."""
    channels, timesteps, text = (
        torch.cat([rest[:slot], row, rest[slot:]]) for row, rest in zip(one, others, strict=True)
    )
    made: torch.Tensor = unet(channels, timesteps, encoder_hidden_states=text, return_dict=False)[0][slot]
    return made


def _apart(made: torch.Tensor, expected: torch.Tensor) -> float:
    return float((made.float() - expected.float()).abs().max() / expected.float().std().clamp_min(1e-12))


def _operators(unet: Any, way: Way, example: Inputs) -> Figure:
    """Each operator gets sixteen equal rows, so that no difference comes from one before it; are its rows equal?"""
    apart: dict[str, float] = {}

    def note(kind: str, made: torch.Tensor) -> None:
        difference = _apart(made, made[:1].expand_as(made)) if len(made) == ROWS else 0.0
        if difference:
            apart[kind] = max(apart.get(kind, 0.0), difference)

    handles = []
    for module in unet.modules():
        if not list(module.children()):
            handles.append(module.register_forward_pre_hook(lambda _, given: tuple(map(_alike, given))))
            handles.append(
                module.register_forward_hook(lambda module, given, made: note(_kind(module, given[0]), made))
            )
    attend = functional.scaled_dot_product_attention

    def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any) -> torch.Tensor:
        made: torch.Tensor = attend(_alike(query), _alike(key), _alike(value), **options)
        note(f"attention {_sizes(query)} to {_sizes(key)}", made)
        return made

    try:
        with patch.object(functional, "scaled_dot_product_attention", attention):
            unet(example[0], example[1], encoder_hidden_states=example[2])
    finally:
        for handle in handles:
            handle.remove()
    parts = dict(sorted(apart.items(), key=lambda each: -each[1])[:MOST_KINDS])
    return Figure(
        f"exactness, {way.name}: kinds of operators whose rows differ by place", (float(len(apart)),), parts=parts
    )


def _alike(given: Any) -> Any:
    """The first row in all places, laid out as before."""
    if not isinstance(given, torch.Tensor) or given.dim() == 0 or len(given) != ROWS:
        return given
    return torch.empty_like(given).copy_(given[:1].expand_as(given))


def _kind(module: torch.nn.Module, given: torch.Tensor) -> str:
    return f"{module} of {_sizes(given)}"


def _sizes(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape[1:]))


@contextmanager
def _switched(way: Way) -> Iterator[None]:
    """Torch's switches as the way wants them, and afterwards as they were."""
    restore: list[Callable[[], None]] = []
    try:
        for path, wanted in way.switches:
            *parents, name = path.split(".")
            holder: Any = torch.backends
            for parent in parents:
                holder = getattr(holder, parent)
            restore.append(partial(setattr, holder, name, getattr(holder, name)))
            setattr(holder, name, wanted)
        yield
    finally:
        for undo in reversed(restore):
            undo()
