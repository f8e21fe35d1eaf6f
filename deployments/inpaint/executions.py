"""Which way each painting's steps are run: one that is there at once, and OpenVINO's as soon as it is prepared.

What prepares OpenVINO, from the disk or anew, runs in the background, so that the start takes no longer. A request is
given one way for all its paintings and all their steps, and its answer names it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from deployments.config import InpaintArgs
from deployments.errors import SettingError
from deployments.inpaint.denoiser import Denoiser
from deployments.inpaint.openvino_unet import OpenvinoUNet, Size
from deployments.serving.checkpoints import devices
from deployments.serving.openvino import runtime
from deployments.serving.openvino.build import BACKGROUND

logger = logging.getLogger(__name__)


class Executions:
    """The denoisers of one UNet, whose texts have `tokens`.

    `first` is there from the start. Use from any thread.
    """

    def __init__(self, unet: Any, args: InpaintArgs, tokens: int) -> None:
        _check(unet, args)
        self._unet, self._args, self._tokens = unet, args, tokens
        self._native = Size(unet.config.sample_size, unet.config.sample_size, tokens)
        self.first = self._denoiser(args.execution)
        self._later: Denoiser | None = None
        self._ready: set[Size] = set()
        self._asked: set[Size] = set()
        self._wanted: SimpleQueue[Size | None] = SimpleQueue()
        self._follows = args.execution == "auto" and _can_follow(unet)
        self._thread: threading.Thread | None = None
        self._closed = False
        if self.first.openvino:
            self.first.openvino.prepare(self._native)

    def follow(self, on_ready: Callable[[Denoiser], None]) -> None:
        """Begin to prepare OpenVINO in the background, if it is to follow.

        `on_ready` is given its denoiser, in that thread and before any request is.
        """
        if self._follows:
            self._ask(self._native)
            self._thread = threading.Thread(target=self._prepare_all, args=(on_ready,), name="openvino", daemon=True)
            self._thread.start()

    def for_size(self, height: int, width: int) -> Denoiser:
        """Return what runs all steps of a request that starts now, whose latents have this size.

        With `execution: openvino` it waits until that is prepared; otherwise it prepares it for later requests.
        """
        size = Size(height, width, self._tokens)
        if self.first.openvino:
            self.first.openvino.prepare(size)
            return self.first
        if self._later and size in self._ready:
            return self._later
        if self._follows:
            self._ask(size)
        return self.first

    def close(self) -> None:
        """End the threads and what is being prepared."""
        self._closed = True
        self._wanted.put(None)
        self.first.close()
        if self._later:
            self._later.close()
        if self._thread:
            self._thread.join()

    def _denoiser(self, execution: Any) -> Denoiser:
        args = self._args
        return Denoiser(self._unet, execution, args.row_threads, args.row_buckets, args.precision)

    def _ask(self, size: Size) -> None:
        if size not in self._asked:
            self._asked.add(size)
            self._wanted.put(size)

    def _prepare_all(self, on_ready: Callable[[Denoiser], None]) -> None:
        """Prepare one size after the other. Where that fails once, it is not tried again: nothing is lost by it."""
        try:
            self._later = later = self._denoiser("openvino")
            assert later.openvino is not None
            if not later.openvino.fits():
                raise RuntimeError("there is too little memory to compile it")
            while (size := self._wanted.get()) is not None and not self._closed:
                self._prepare(later.openvino, size)
                if size == self._native:
                    on_ready(later)
                self._ready.add(size)
        except Exception:
            self._follows = False
            if not self._closed:
                logger.warning("the UNet goes on without OpenVINO, which cannot run it", exc_info=True)

    def _prepare(self, unet: OpenvinoUNet, size: Size) -> None:
        unet.prepare(size, BACKGROUND)
        logger.info("OpenVINO runs latents of %dx%d from now on, in %s", size.width, size.height, unet.precision)


def settled(args: InpaintArgs) -> InpaintArgs:
    """Return the same with what "auto" comes to on this machine once OpenVINO is ready: for measurements."""
    on_cpu = devices.chosen("inpaint.device", args.device).type == "cpu"
    if args.execution == "auto" and on_cpu and args.dtype == "float32" and runtime.preferred():
        return args.model_copy(update={"execution": "openvino"})
    return args


def _can_follow(unet: Any) -> bool:
    return runtime.preferred() and _on_cpu(unet) and _dtype(unet) == "float32"


def _check(unet: Any, args: InpaintArgs) -> None:
    """Refuse an execution, or a precision of it, that this installation or this model does not have."""
    if args.execution == "openvino":
        _refuse_unless("inpaint.execution", "execution 'openvino'", unet)
    elif args.precision != "auto":
        if args.execution != "auto":
            raise SettingError(
                "inpaint.precision", f"Execution {args.execution!r} computes in dtype: set that instead."
            )
        _refuse_unless("inpaint.precision", f"precision {args.precision!r}", unet)


def _refuse_unless(setting: str, wish: str, unet: Any) -> None:
    if not runtime.installed():
        raise SettingError(setting, f"{wish} needs OpenVINO, which is not installed. Try: pip install openvino")
    if not _on_cpu(unet):
        raise SettingError(setting, f"{wish} is for a CPU, and the model is on {unet.device}. Leave it at 'auto'.")
    if _dtype(unet) != "float32":
        raise SettingError(setting, f"{wish} needs dtype 'float32': OpenVINO converts the weights itself.")


def _on_cpu(unet: Any) -> bool:
    return bool(unet.device.type == "cpu")


def _dtype(unet: Any) -> str:
    return str(unet.dtype).removeprefix("torch.")
