"""The UNet on a CPU by OpenVINO: compiled for a few numbers of rows, of which every step is put together.

OpenVINO is fast where all shapes are fixed. Instead of padding a step to the next of many buckets, its rows are cut
into chunks of 8, 4, 2 and 1. A row comes out the same to the bit in whichever chunk it was: `prepare` tries that out on
the very machine, and where it is not so there are only chunks of one row.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from deployments.serving.openvino.build import Shapes
from deployments.serving.openvino.memory import available_bytes
from deployments.serving.openvino.module import CompiledModule
from deployments.serving.openvino.runtime import Precision
from deployments.serving.openvino.store import Store

logger = logging.getLogger(__name__)

CHUNKS = (8, 4, 2, 1)  # rows
ALONE = (1,)
MOST_BYTES = 2**30  # that the weights of all chunks of a size may take; of a large UNet one row alone keeps a core busy
WORKING_COPIES = 6  # of the weights that are in memory at once at most, while it is compiled and taken into use
MOST_OTHER_SIZES = 4  # that are kept prepared besides the size that the model was trained at
# How far the compiled UNet may be from torch's, as a share of the largest number: a wrong one is not near by chance.
NEAR: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 0.1}


@dataclass(frozen=True)
class Size:
    """The sizes of a step but for its rows: latents of `height` and `width`, texts of `tokens`."""

    height: int
    width: int
    tokens: int


class OpenvinoUNet:
    """`unet(channels, timesteps, text)` as in `denoiser.Forward`, for any number of rows and any size of latents.

    `streams` threads may call it at once. A size that it has not been prepared for is prepared when it comes.
    """

    def __init__(
        self, plain: torch.nn.Module, config: Any, precision: Precision, streams: int, store: Store | None = None
    ) -> None:
        self.precision = precision
        self._plain = plain
        self._native_side = config.sample_size
        self._in_channels = config.in_channels
        self._text_width = config.cross_attention_dim
        public = {key: value for key, value in config.items() if not key.startswith("_")}
        settings = json.dumps(public, sort_keys=True, default=str)
        self._module = CompiledModule(plain, settings, precision, streams, torch.get_num_threads(), store)
        self._weights = sum(parameter.nbytes for parameter in plain.parameters())
        self._native_chunks = CHUNKS if self._weights * len(CHUNKS) <= MOST_BYTES else ALONE
        self._chunks: dict[Size, tuple[int, ...]] = {}

    def ready(self, size: Size) -> bool:
        """Return whether a step of this size would be run at once."""
        return size in self._chunks

    def fits(self) -> bool:
        """Return whether there is memory enough to compile it, as far as that can be known."""
        available = available_bytes()
        return available is None or available >= WORKING_COPIES * self._weights

    def prepare(self, size: Size, niceness: int = 0) -> None:
        """Prepare for a size, which may take half a minute. Raises RuntimeError when that fails.

        What has to be compiled for it is compiled at this niceness: `build.BACKGROUND` where nobody waits.
        """
        if not self.ready(size):
            self._module.prepare(self._wanted(size), niceness)
            self._admit(size)

    @torch.inference_mode()
    def __call__(self, channels: torch.Tensor, timesteps: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Return the prediction [rows, 4, h, w]; see `Denoiser`."""
        size = Size(channels.shape[2], channels.shape[3], text.shape[1])
        chunks = self._chunks.get(size)
        if chunks is None:
            self.prepare(size)
            chunks = self._chunks.get(size, ALONE)
        made = [self._module(channels[rows], timesteps[rows], text[rows]) for rows in _cut(len(channels), chunks)]
        return made[0] if len(made) == 1 else torch.cat(made)

    def close(self) -> None:
        """End a preparation that is under way."""
        self._module.close()

    def _wanted(self, size: Size) -> list[Shapes]:
        native = size.height == size.width == self._native_side
        return [self._shapes(size, rows) for rows in (self._native_chunks if native else ALONE)]

    def _shapes(self, size: Size, rows: int) -> Shapes:
        return (
            (rows, self._in_channels, size.height, size.width),
            (rows,),
            (rows, size.tokens, self._text_width),
        )

    def _admit(self, size: Size) -> None:
        """Take the size into use once its chunks have been compared with each other and with torch."""
        chunks = tuple(shapes[0][0] for shapes in self._wanted(size))
        if not self._equal(size, chunks):
            logger.warning("OpenVINO computes a row differently in company on this CPU: each will be computed alone")
            chunks = ALONE
        self._chunks[size] = chunks
        others = [each for each in self._chunks if not each.height == each.width == self._native_side]
        for oldest in others[:-MOST_OTHER_SIZES]:
            del self._chunks[oldest]
            self._module.forget([self._shapes(oldest, 1)])

    @torch.inference_mode()
    def _equal(self, size: Size, chunks: tuple[int, ...]) -> bool:
        """Return whether rows are the same in company as alone. Raises RuntimeError where one is not torch's."""
        rows = max(chunks)
        generator = torch.Generator().manual_seed(0)
        channels, _, text = (torch.randn(shape, generator=generator) for shape in self._shapes(size, rows))
        inputs = (channels, torch.linspace(1, 999, rows), text)
        alone = torch.cat([self._module(*(each[row : row + 1] for each in inputs)) for row in range(rows)])
        first = self._plain(*(each[:1] for each in inputs))
        furthest = float((alone[:1] - first).abs().max() / first.abs().max())
        if not furthest <= NEAR[self.precision]:
            raise RuntimeError(
                f"OpenVINO's UNet is not the model's own: it differs by {furthest:.2g} of the largest number"
            )
        for chunk in chunks:
            for start in range(0, rows, chunk):
                company = slice(start, start + chunk)
                if not torch.equal(self._module(*(each[company] for each in inputs)), alone[company]):
                    return False
        return True


def _cut(rows: int, chunks: tuple[int, ...]) -> Iterator[slice]:
    """Yield so many rows in the largest chunks there are."""
    start = 0
    for chunk in chunks:
        while rows - start >= chunk:
            yield slice(start, start + chunk)
            start += chunk
