"""A torch module that OpenVINO runs, at the shapes that it was prepared for."""

from __future__ import annotations

import logging
import queue
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from deployments.serving.checkpoints.identity import weights_id
from deployments.serving.openvino import runtime
from deployments.serving.openvino.build import Compilation, Shapes, run
from deployments.serving.openvino.runtime import Precision
from deployments.serving.openvino.store import Store

logger = logging.getLogger(__name__)

FORMAT = 1  # of the entries in the store


class CompiledModule:
    """A module in evaluation mode with float32 tensors in and one float32 tensor out, run by OpenVINO on the CPU.

    `settings` is all about the module that its weights do not tell. Up to `streams` calls run at once, each on
    `threads` threads. Call it from any thread.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        settings: str,
        precision: Precision,
        streams: int = 1,
        threads: int = 1,
        store: Store | None = None,
    ) -> None:
        self.precision = precision
        self._module = module
        self._streams = streams
        self._store = store or Store()
        self._properties = runtime.properties(precision, streams, threads)
        self._identity = "\n".join(
            [str(FORMAT), runtime.machine(), str(self._properties), settings, weights_id(module)]
        )
        self._requests: dict[Shapes, queue.SimpleQueue[Any]] = {}
        self._building: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()  # one build at a time

    def prepared(self, shapes: Shapes) -> bool:
        """Return whether it can be called with inputs of these shapes."""
        return shapes in self._requests

    def restore(self, wanted: Sequence[Shapes]) -> bool:
        """Prepare it for all of these shapes from what the store has; return whether the store had all."""
        missing = [shapes for shapes in wanted if not self.prepared(shapes)]
        found = {shapes: self._store.find(self._key(shapes)) for shapes in missing}
        if any(content is None for content in found.values()):
            return False
        for shapes, content in found.items():
            self._requests[shapes] = self._imported(content)
        return True

    def prepare(self, wanted: Sequence[Shapes], niceness: int = 0) -> None:
        """Prepare it for all of these shapes; seconds for each that the store does not have, at this niceness."""
        with self._lock:
            if self.restore(wanted):
                return
            keys = {self._key(shapes): shapes for shapes in wanted}
            missing = {key: shapes for key, shapes in keys.items() if self._store.find(key) is None}
            run(Compilation(self._module, missing, self._properties, self._store.folder, niceness), self._started)
            if not self.restore(wanted):
                raise RuntimeError("compiled models that were just written are not there any more")

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return what the module returns for these inputs; where their shapes are not prepared, that comes first."""
        free = self._request_pool(tuple(tuple(one.shape) for one in inputs))
        request = free.get()
        try:
            request.infer([one.numpy() for one in inputs], share_inputs=True)
            return torch.from_numpy(np.array(request.get_output_tensor(0).data))
        finally:
            free.put(request)

    def forget(self, wanted: Sequence[Shapes]) -> None:
        """Give back the memory that these shapes take; whoever is in a call finishes it."""
        for shapes in wanted:
            self._requests.pop(shapes, None)

    def close(self) -> None:
        """End a build that is under way."""
        self._closed = True
        if self._building is not None:
            with suppress(ProcessLookupError):
                self._building.kill()

    def _request_pool(self, shapes: Shapes) -> queue.SimpleQueue[Any]:
        while (free := self._requests.get(shapes)) is None:
            self.prepare([shapes])
        return free

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        self._building = process
        if self._closed:
            process.kill()

    def _imported(self, content: np.ndarray | None) -> queue.SimpleQueue[Any]:
        compiled = runtime.core().import_model(runtime.load().Tensor(content), runtime.DEVICE, self._properties)
        free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self._streams):
            free.put(compiled.create_infer_request())
        return free

    def _key(self, shapes: Shapes) -> str:
        return f"{self._identity}\n{shapes}"
