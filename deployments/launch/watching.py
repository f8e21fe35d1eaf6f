"""What is said of a graph while it starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from deployments.serving.status import StageStatus


def start_watcher(
    show: Callable[[str, int, int], None], say: Callable[[str], None]
) -> Callable[[Mapping[str, StageStatus]], None]:
    """Return a function that shows which deployments are still starting, whenever it is called with their status.

    `show` gets that with how many run, of how many. `say` gets once what a deployment waits for, and when it runs.
    """
    start = time.monotonic()
    waiting: set[str] = set()
    running: set[str] = set()

    def watch(stages: Mapping[str, StageStatus]) -> None:
        starting = [name for name, stage in stages.items() if not stage.running]
        show(f"Starting {', '.join(starting)}", len(stages) - len(starting), len(stages))
        for name, stage in stages.items():
            if stage.lacks is not None and name not in waiting:
                waiting.add(name)
                say(f"{name} cannot start yet: {stage.lacks}.")
            if stage.running and name not in running:
                running.add(name)
                say(f"{name} runs after {time.monotonic() - start:.1f} s.")

    return watch
