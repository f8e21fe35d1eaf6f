"""The whole service over HTTP: what an edit costs beside the UNet, and what the same picture costs again."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from ray import serve

from benchmarks.callers import Caller, Edit, fresh
from benchmarks.core_seconds import outside_the_unet
from benchmarks.figures import Figure, ratios
from benchmarks.setup import Setup
from benchmarks.workload import EditCase, closed_loop
from deployments.limits import Limits
from deployments.messages import EditRequest
from deployments.pixels import pasting
from deployments.pixels.files import decode

AGAIN = 5
CHECKED_EVERY = 8  # answers whose pixels are compared with what was sent, afterwards


class Service:
    """The graph, asked over HTTP. Never twice with the same pixels."""

    def __init__(self, url: str, known: list[EditCase]) -> None:
        self._caller = Caller(url)
        self.answers: list[tuple[EditCase, dict[str, Any]]] = []
        self._next = 0
        self._known = known

    def edits(self, count: int) -> list[Edit]:
        """Return the next ones, with seeds of their own."""
        first, self._next = self._next, self._next + count
        return fresh(self._known, first, count)

    def edit(self, edit: Edit) -> None:
        """Make one edit, and keep some of the answers."""
        answer = self._caller.send(edit)
        answer.raise_for_status()
        if edit.seed % CHECKED_EVERY == 0:
            self.answers.append((edit.case, answer.json()))

    def edit_of(self, steps: int) -> None:
        """Make one edit of that number of steps."""
        (edit,) = self.edits(1)
        self.edit(replace(edit, steps=steps))

    def changed_outside(self) -> int:
        """Pixels outside the mask that are not what was sent, in the answers that were kept."""
        return sum(_changed(case.image, answer) for case, answer in self.answers)


def _changed(sent: np.ndarray, answer: dict[str, Any]) -> int:
    picture = decode(base64.b64decode(answer["data"][0]["b64_json"]), Limits()).pixels
    mask = decode(base64.b64decode(answer["mask_b64"]), Limits()).pixels[..., 0] > 0
    return pasting.changed_outside(sent, picture, mask)


def measure(rounds: int, setup: Setup, url: str, known: list[EditCase], say: Callable[[str], None]) -> Iterator[Figure]:
    handle = setup.start("retouch", "/")
    service = Service(url, known)
    try:
        closed_loop(service.edit, service.edits(4), 2)
        yield outside_the_unet(rounds, service.edit_of, say)
        yield from _again(handle, known)
        parts = {"answers compared": float(len(service.answers))}
        yield Figure("pixels changed outside the mask", (float(service.changed_outside()),), 0, True, parts)
    finally:
        serve.delete("retouch")


def _again(handle: Any, known: list[EditCase]) -> Iterator[Figure]:
    """SAM's encoding of a picture it has not seen, and of the same one again."""
    first: list[float] = []
    again: list[float] = []
    for number in range(AGAIN):
        image = known[0].marked(-1 - number).image
        request = EditRequest(image, known[0].prompt, target=known[0].target, num_inference_steps=2)
        for kept in (first, again):
            trace = handle.edit.remote(request).result().trace
            span = next(span for span in trace if span.name == "sam.encode")
            kept.append(span.end_s - span.start_s)
    parts = {"ms first": 1000 * float(np.median(first)), "ms again": 1000 * float(np.median(again))}
    yield Figure("same picture again, SAM's encoding over the first time", ratios(again, first), 0.15, True, parts)
