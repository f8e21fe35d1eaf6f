"""A peer: LitServe (an optional dependency) around the stock libraries, with the form and the answer of our own API.

    python -m benchmarks.litserve_peer ORDER

ORDER is a `PeerOrder` as JSON. LitServe 0.2 contacts nobody by itself: it has no telemetry and does not look
for newer versions.
"""

# No `from __future__ import annotations` here: LitServe reads the class of `decode_request`'s parameter at run time.
import base64
import signal
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import litserve
import numpy as np
from PIL import Image
from starlette.formparsers import MultiPartParser
from starlette.requests import Request

from benchmarks.callers import PATH
from benchmarks.peer_process import PeerOrder
from benchmarks.stock import Repaint, StockEditor
from deployments.pixels.files import encode, mask_png

BATCH_WAIT_S = 0.01
MOST_PICTURES = 16  # in one call of the pipeline
LARGEST_PICTURE = 2**26  # bytes


@dataclass(frozen=True, eq=False)
class Answer:
    """The edited pictures (HxWx3 uint8) with their CLIP scores, and the mask (HxW bool)."""

    pictures: Sequence[np.ndarray]
    scores: Sequence[float]
    mask: np.ndarray


class StockService(litserve.LitAPI):
    """What each worker does with a request, or with several at once where LitServe batches them."""

    def __init__(self, order: PeerOrder) -> None:
        self._batched = order.batch > 1
        super().__init__(order.batch, BATCH_WAIT_S if self._batched else 0.0, api_path=PATH)
        self._order = order

    def setup(self, device: str) -> None:
        import torch

        torch.set_num_threads(self._order.threads)
        self._editor = StockEditor.load(self._order.args)

    def decode_request(self, request: Request) -> dict[str, Any]:
        form: Any = request  # LitServe hands on what the request holds
        return {**form, "image": np.asarray(Image.open(form["image"].file).convert("RGB"))}

    def predict(self, x: Any, **_: Any) -> Any:
        return edit(self._editor, x) if self._batched else edit(self._editor, [x])[0]

    def encode_response(self, output: Answer, **_: Any) -> dict[str, Any]:
        data = [
            {"b64_json": _base64(encode(picture)), "score": score}
            for picture, score in zip(output.pictures, output.scores, strict=True)
        ]
        return {"data": data, "mask_b64": _base64(mask_png(output.mask))}


def edit(editor: StockEditor, forms: Sequence[dict[str, Any]]) -> list[Answer]:
    """Find what each form names, paint those of equal steps and guidance together, and score each picture."""
    repaints = [_repaint(editor, form) for form in forms]
    painted: dict[int, list[np.ndarray]] = {}
    for batch in batches(repaints):
        pictures = editor.paint_together([repaints[index] for index in batch])
        painted |= dict(zip(batch, pictures, strict=True))
    return [
        Answer(painted[index], [editor.score(picture, each.prompt) for picture in painted[index]], each.mask)
        for index, each in enumerate(repaints)
    ]


def batches(repaints: Sequence[Repaint]) -> list[list[int]]:
    """Return which of them share a call of the pipeline: equal steps and guidance, at most MOST_PICTURES pictures."""
    alike: dict[tuple[int, float], list[int]] = defaultdict(list)
    for index, each in enumerate(repaints):
        alike[each.steps, each.guidance_scale].append(index)
    made: list[list[int]] = []
    for indices in alike.values():
        room = 0
        for index in indices:
            if room < len(repaints[index].seeds):
                made.append([])
                room = MOST_PICTURES
            made[-1].append(index)
            room -= len(repaints[index].seeds)
    return made


def _repaint(editor: StockEditor, form: dict[str, Any]) -> Repaint:
    _, mask = editor.find(form["image"], form["target"])
    first = int(form["seed"])
    return Repaint(
        form["image"],
        mask,
        form["prompt"],
        tuple(range(first, first + int(form["n"]))),
        int(form["num_inference_steps"]),
        float(form["guidance_scale"]),
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def main() -> None:
    # The benchmark ends the server by an interrupt, which a shell's background job would ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A larger file would be spooled to disk, and that cannot be sent to the worker.
    MultiPartParser.spool_max_size = LARGEST_PICTURE
    order = PeerOrder.model_validate_json(sys.argv[1])
    server = litserve.LitServer(
        StockService(order), accelerator="auto", devices=1, workers_per_device=order.workers, timeout=False
    )
    server.run("127.0.0.1", order.port, log_level="error", generate_client_file=False)


if __name__ == "__main__":
    main()
