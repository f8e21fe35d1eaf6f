"""Does memory stay flat? Five hundred edits of different pictures through the whole service."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil
from ray import serve

from benchmarks.figures import Figure
from benchmarks.setup import Setup
from benchmarks.workload import GUIDANCE_SCALE, EditCase, closed_loop
from deployments.messages import EditRequest

EDITS = 500
WARM = 150  # edits until caches are full and allocators have what they need
CALLERS = 4
APP = "retouch-memory"
MB = 2**20


def measure(setup: Setup, known: list[EditCase], say: Callable[[str], None]) -> Iterator[Figure]:
    """Growth of the resident memory of all replicas together, after the warm-up."""
    handle = setup.start(APP, None)

    def edit(number: int) -> None:
        case = known[number % len(known)].marked(number)
        request = EditRequest(
            case.image, case.prompt, case.target, seed=number, num_inference_steps=1, guidance_scale=GUIDANCE_SCALE
        )
        handle.edit.remote(request).result()

    try:
        closed_loop(edit, range(WARM), CALLERS)
        before = _resident_mb()
        say(f"memory after {WARM} edits, MB: {before}")
        closed_loop(edit, range(WARM, EDITS), CALLERS)
        after = _resident_mb()
        say(f"memory after {EDITS} edits, MB: {after}")
    finally:
        serve.delete(APP)
    parts = {f"MB {name} after {EDITS}": value for name, value in after.items()}
    growth = sum(after.values()) / sum(before.values())
    yield Figure(f"resident memory after {EDITS} edits, over that after {WARM}", (growth,), 1.02, True, parts)


def _resident_mb() -> dict[str, float]:
    """Of each replica, by deployment, without what it shares with others (pictures in the object store)."""
    found: dict[str, float] = {}
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or []).strip()  # Ray pads it with blanks
        if f"ServeReplica:{APP}:" in title:
            name = title.split(f"{APP}:")[1].split(".")[0].split("#")[0]
            memory = process.memory_info()
            found[name] = found.get(name, 0.0) + (memory.rss - memory.shared) / MB
    return found
