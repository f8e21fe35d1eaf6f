"""The faults inside a stage: no memory, an exception, a step that never returns, weights that are damaged."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai

from benchmarks.callers import Edit
from benchmarks.faults import broken, processes, runs
from benchmarks.faults.aftermath import Aftermath
from benchmarks.faults.cluster import APPLICATION, Site
from benchmarks.faults.kills import Fault
from benchmarks.faults.load import DEADLINE_S, Outcome, Pool, Sdk
from benchmarks.faults.report import Row, row_of
from benchmarks.workload import EditCase
from deployments.config import POCKET_WEIGHTS

DRIVERS = {"name": "driver", "num_replicas": 2}
# One way to run the UNet from the first edit to the last: "auto" changes over when a faster one is ready.
EXECUTION = "traced"
ROWS = 8  # of each step, full or padded: a picture is then bit-equal whatever its neighbours are
PAINTER = {"max_rows": ROWS, "max_stall_s": 5}  # a step takes milliseconds here
MARKED_AT_ONCE = 3
MARKED_ROUNDS = 20
FIRST_MARKED = 10_000
TAKEN_S = 60.0
REPLACED_S = 180.0
OUT_OF_MEMORY = "a step finds no memory"
MARKED_SEARCH = "an exception for one item of a batch of CLIP; neighbours bit-identical to a run of their own"
MARKED_PAINTING = "an exception for one picture of a step; neighbours bit-identical to a run of their own"
WEDGED = "a step never returns"
CORRUPT = "the painter's weights are damaged at the start: it is refused by name, and the other stages answer"


class Broken:
    """Does these faults at a site, to a graph whose models break when they are asked to."""

    def __init__(self, site: Site, known: Sequence[EditCase], say: Callable[[str], None]) -> None:
        self._site = site
        self._known = known
        self._say = say

    def measure(self, edits: int, wanted: Callable[[str], bool]) -> Iterator[Row]:
        """Do those faults whose names are wanted, and yield a row for each."""
        faults = [
            (Fault(MARKED_SEARCH, self._search_marked), True),
            (Fault(MARKED_PAINTING, self._paint_marked), True),
            (Fault(OUT_OF_MEMORY, self._exhaust), True),
            (Fault(WEDGED, self._wedge), True),
        ]
        chosen = [(fault, exact) for fault, exact in faults if wanted(fault.name)]
        if chosen:
            self._say("starting the service with models that can be broken")
            self._site.deploy(
                {"inpaint": {"execution": EXECUTION, "row_buckets": [ROWS]}},
                "benchmarks.faults.broken:build_app",
                [DRIVERS, {"name": "inpaint", "health_check_period_s": 2, "user_config": PAINTER}],
            )
            sdk = Sdk(self._site.url)
            pool = Pool(self._known, min(edits, 48))
            pool.learn(sdk.edit, callers=1)
            aftermath = Aftermath(self._site)
            for fault, exact in chosen:
                self._say(fault.name)
                yield runs.run(self._site, sdk.edit, pool, aftermath, fault, fault.times, edits, exact)
        if wanted(CORRUPT):
            self._say(CORRUPT)
            yield self._corrupt()

    def _exhaust(self, site: Site) -> Sequence[int]:
        _order(broken.OUT_OF_MEMORY)
        return []

    def _wedge(self, site: Site) -> Sequence[int]:
        (victim,) = processes.replicas(site.run, "inpaint")
        _order(broken.WEDGED)
        processes.wait_until(
            lambda: not processes.alive(victim.pid), "the wedged replica of inpaint is replaced", REPLACED_S
        )
        return [victim.pid]

    def _search_marked(self, site: Site) -> Sequence[int]:
        case = replace(self._known[0], target=f"the {broken.MARKED_TARGET}")
        return self._send_marked("clip", lambda number: Edit(case.marked(number), number, steps=4))

    def _paint_marked(self, site: Site) -> Sequence[int]:
        return self._send_marked(
            "inpaint", lambda number: Edit(self._known[0].marked(number), number, steps=broken.MARKED_STEPS)
        )

    def _send_marked(self, stage: str, edit: Callable[[int], Edit]) -> Sequence[int]:
        """Send marked requests until one has shared a batch with others. Each has to fail, and by itself."""
        shared = broken.folder() / f"{broken.SHARED}{stage}"
        client = Sdk(self._site.url, retries=0)
        with ThreadPoolExecutor(MARKED_AT_ONCE) as threads:
            for number in range(0, MARKED_ROUNDS * MARKED_AT_ONCE, MARKED_AT_ONCE):
                numbers = range(FIRST_MARKED + number, FIRST_MARKED + number + MARKED_AT_ONCE)
                for status in threads.map(lambda each: _status(client, edit(each)), numbers):
                    if status != httpx.codes.INTERNAL_SERVER_ERROR:
                        raise RuntimeError(f"a marked request was answered with {status}")
                if shared.exists():
                    return []
        raise RuntimeError("no marked request shared a batch")

    def _corrupt(self) -> Row:
        """Start the service anew with half a file of weights; ask for places while the painter is refused."""
        from ray import serve

        if self._site.status() is None:
            self._site.deploy({"inpaint": {"execution": EXECUTION}}, "graph:build_app", [DRIVERS])
        with httpx.Client(base_url=self._site.url, timeout=DEADLINE_S) as client, half_a_file() as model:
            expected = [_place(client, case) for case in self._known]
            serve.delete(APPLICATION)
            self._site.deploy({"inpaint": {"model": model}}, "benchmarks.faults.broken:build_unchecked", [], wait=False)
            named = _refused_by_name(client)
            start = time.monotonic()
            found = [
                _located(client, number, case, place)
                for number, (case, place) in enumerate(zip(self._known, expected, strict=True))
            ]
        return row_of(CORRUPT, 1, found, start, [] if named else ["/readyz does not name inpaint.model"])


@contextmanager
def half_a_file() -> Iterator[str]:
    """Yield the path of a copy of the pocket painter whose UNet was cut off in the middle, as by a full disk."""
    with tempfile.TemporaryDirectory() as place:
        model = shutil.copytree(POCKET_WEIGHTS / "inpaint", Path(place) / "inpaint")
        weights = next(model.glob("unet/*.safetensors"))
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
        yield str(model)


def _order(fault: str) -> None:
    order = broken.folder() / fault
    order.touch()
    processes.wait_until(lambda: not order.exists(), f"{fault} happens", TAKEN_S)


def _status(client: Sdk, edit: Edit) -> int:
    try:
        client.edit(edit)
    except openai.APIStatusError as error:
        return error.status_code
    return int(httpx.codes.OK)


def _refused_by_name(client: httpx.Client) -> bool:
    """Wait until /readyz says that a setting keeps the painter from starting; return whether it did."""

    def refused() -> bool:
        try:
            answer = client.get("/readyz")
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "inpaint.model" in answer.text

    try:
        processes.wait_until(refused, "", REPLACED_S, pause_s=1)
    except TimeoutError:
        return False
    return True


def _located(client: httpx.Client, number: int, case: EditCase, expected: Any) -> Outcome:
    """Ask where the target is, which needs the other stages alone. Right is the place that it was found at before."""
    start = time.monotonic()
    try:
        place = _place(client, case)
    except httpx.HTTPError as error:
        return Outcome(number, "unanswered", start, time.monotonic(), str(error))
    return Outcome(number, "right" if place == expected else "wrong", start, time.monotonic(), f"the point {place}")


def _place(client: httpx.Client, case: EditCase) -> Any:
    """Return the point at which the service finds the target. Raises httpx.HTTPError where it does not answer."""
    picture = ("picture.png", case.png, "image/png")
    answer = client.post("/v1/locate", data={"target": case.target}, files={"image": picture})
    answer.raise_for_status()
    return answer.json()["point"]
