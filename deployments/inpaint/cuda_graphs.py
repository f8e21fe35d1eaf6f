"""Records the UNet's kernels as CUDA graphs, one for each shape of its inputs, and plays them back.

A small step on a fast GPU is bound by Python, which launches some thousand kernels one after the other. A graph
launches the same kernels with the same arguments at once, so the numbers are the same to the bit.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

import torch

logger = logging.getLogger(__name__)

MOST_GRAPHS = 64  # that are kept: seven buckets of rows times nine latent sizes
WARM_UPS = 2  # calls before a recording: libraries choose their kernels and make their handles in the first ones

Forward = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Recorder = Callable[[Forward, tuple[torch.Tensor, ...]], Forward]
_Shape = tuple[torch.Size, torch.Size]

_recording = threading.Lock()  # torch allows one recording at a time in a process


class GraphedForward:
    """`forward(channels, timesteps, text)`, recorded at the first call of each shape and played back from then on.

    The shape is that of channels [rows, 9, h, w] and text [rows, tokens, width]. At most `most` graphs are kept, those
    that were used last. What it returns is the caller's own. One call at a time. A shape that cannot be recorded, above
    all for lack of memory, is run by `forward` itself.
    """

    def __init__(self, forward: Forward, recorder: Recorder | None = None, most: int = MOST_GRAPHS) -> None:
        self._forward = forward
        self._recorder = recorder or GraphRecorder()
        self._most = most
        self._kept: OrderedDict[_Shape, Forward] = OrderedDict()
        self.recordings = 0  # that succeeded

    def __call__(self, channels: torch.Tensor, timesteps: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        shape = (channels.shape, text.shape)
        if shape not in self._kept:
            self._kept[shape] = self._record(channels, timesteps, text)
            # Only now is another one dropped: torch gives up a pool of memory that no graph uses.
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(shape)
        return self._kept[shape](channels, timesteps, text)

    def _record(self, *inputs: torch.Tensor) -> Forward:
        """Return the recorded call for inputs of this shape, or the plain one where recording fails.

        A warm-up that fails raises as the plain call would: then the step is too large, recorded or not.
        """
        try:
            with _recording:
                recorded = self._recorder(self._forward, inputs)
        except RecordingFailed as failure:
            logger.warning(
                "a step of %d rows cannot be recorded as a CUDA graph (%s); such steps run as without one",
                len(inputs[0]),
                failure,
            )
            return self._forward
        self.recordings += 1
        return recorded


class RecordingFailed(RuntimeError):
    """The call runs, and its recording does not: most often there is no memory for both at once."""


class GraphRecorder:
    """Records calls on a stream of its own. All graphs share one pool of memory, since no two of them run at once."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, forward: Forward, inputs: tuple[torch.Tensor, ...]) -> Forward:
        device = inputs[0].device
        # Kernels keep the priority of the stream that they are recorded on: steps go before whatever else runs.
        self._stream = self._stream or torch.cuda.Stream(device, priority=-1)
        caller = torch.cuda.current_stream(device)
        kept = [each.clone() for each in inputs]
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                forward(*kept)
        caller.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        try:
            # A recording that fails leaves its stream in place; the outer context brings the caller's back. Other
            # threads go on preparing and decoding meanwhile, which only a recording of this thread alone allows.
            with (
                torch.cuda.stream(caller),
                torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
            ):
                made = forward(*kept)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            raise RecordingFailed(str(error).partition("\n")[0]) from error

        def play(*inputs: torch.Tensor) -> torch.Tensor:
            for place, source in zip(kept, inputs, strict=True):
                place.copy_(source)
            graph.replay()
            return made.clone()  # the next graph writes to the same memory

        return play
