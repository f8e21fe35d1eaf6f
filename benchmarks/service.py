"""The whole service over HTTP: what an edit costs beside the UNet, and more load than the service can bear."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
from ray import serve

from benchmarks.callers import Caller, Edit, fresh
from benchmarks.core_seconds import outside_the_unet
from benchmarks.figures import Figure, interleaved, percentile, ratios
from benchmarks.setup import Setup
from benchmarks.workload import EditCase, arrivals, closed_loop, open_loop
from deployments.limits import Limits
from deployments.messages import EditRequest
from deployments.pixels import pasting
from deployments.pixels.files import decode

CALLERS = 8
AT_ONCE = 16  # edits in a round of the closed loop
OVERLOAD_JOBS = {0.8: 12, 1.0: 14, 2.0: 30}
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

    def edit(self, edit: Edit) -> bool:
        """Return whether it was answered, and keep some of the answers."""
        answer = self._caller.send(edit)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return False
        answer.raise_for_status()
        if edit.seed % CHECKED_EVERY == 0:
            self.answers.append((edit.case, answer.json()))
        return True

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
        capacity = _images_per_s(rounds, service, say)
        yield outside_the_unet(rounds, service.edit_of, say)
        yield from _again(handle, known)
        yield from _overload(rounds, service, capacity, say)
        parts = {"answers compared": float(len(service.answers))}
        yield Figure("pixels changed outside the mask", (float(service.changed_outside()),), 0, True, parts)
    finally:
        serve.delete("retouch")


def _images_per_s(rounds: int, service: Service, say: Callable[[str], None]) -> float:
    """Return it for eight callers, the median of the rounds."""
    say(f"service with {CALLERS} callers: images/s")
    side = {"service": lambda _: AT_ONCE / closed_loop(service.edit, service.edits(AT_ONCE), CALLERS)}
    return float(np.median(interleaved(rounds, side, say)["service"]))


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


def _overload(rounds: int, service: Service, capacity: float, say: Callable[[str], None]) -> Iterator[Figure]:
    say(f"offered load, in shares of {capacity:.2f} images/s: answered per second")
    latencies: dict[float, list[float]] = {share: [] for share in OVERLOAD_JOBS}
    refused = dict.fromkeys(OVERLOAD_JOBS, 0)

    def goodput(share: float) -> Callable[[int], float]:
        def run(number: int) -> float:
            count = OVERLOAD_JOBS[share]
            outcomes = open_loop(service.edit, service.edits(count), arrivals(count, share * capacity, number))
            answered = [outcome for outcome in outcomes if outcome.answered]
            latencies[share] += [outcome.latency_s for outcome in answered]
            refused[share] += count - len(answered)
            end = max(outcome.due_s + outcome.latency_s for outcome in answered)
            return len(answered) / end

        return run

    made = interleaved(rounds, {f"{share:g}x": goodput(share) for share in OVERLOAD_JOBS}, say)
    p99 = {share: percentile(values, 0.99) for share, values in latencies.items()}
    parts = {f"p99 s of admitted at {share:g}x": value for share, value in p99.items()}
    parts |= {f"refused at {share:g}x": float(count) for share, count in refused.items()}
    parts |= {f"goodput images/s at {name}": float(np.median(values)) for name, values in made.items()}
    yield Figure(
        "goodput at twice the capacity, over that at capacity", ratios(made["2x"], made["1x"]), 0.9, parts=parts
    )
    yield Figure("p99 of the admitted at twice the capacity, over p99 at 80 %", (p99[2.0] / p99[0.8],), 3, below=True)
