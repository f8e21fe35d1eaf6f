"""A thread that works for several requests in turn, so that one with much to do does not hold up the others."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable

logger = logging.getLogger(__name__)

Task = Callable[[], object]


class Turns:
    """Runs tasks one after the other, round robin among those for whom they are. Use from any thread."""

    def __init__(self, name: str) -> None:
        self._tasks: dict[Hashable, deque[Task]] = {}  # whose turn is next comes first
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, owner: Hashable, task: Task) -> None:
        """Have the task run after those that the owner has submitted before, and a turn of each other owner."""
        with self._changed:
            if self._closed:
                raise RuntimeError("no tasks are taken any more")
            self._tasks.setdefault(owner, deque()).append(task)
            self._changed.notify()

    def close(self) -> None:
        """End the thread once all that was submitted is done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except Exception:
                logger.exception("a task failed")
            del task  # it holds a request, which must not be kept until the next one comes

    def _next(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._tasks or self._closed)
            if not self._tasks:
                return None
            owner = next(iter(self._tasks))
            tasks = self._tasks.pop(owner)
            task = tasks.popleft()
            if tasks:
                self._tasks[owner] = tasks
            return task
