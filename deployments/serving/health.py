"""The health of the stages: Serve's last word on them, asked for anew when it has grown old."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping

from deployments.serving.status import StageStatus

FRESH_S = (
    1.0  # the probes of many load balancers together cost Serve's controller one question of a driver in this time
)
PATIENCE_S = 3.0

logger = logging.getLogger(__name__)


class Health:
    """Knows the status of the stages from `read`, which may block.

    Where `read` fails or takes too long, the last answer is repeated: a controller that is being restarted cannot be
    asked, and the replicas go on serving without it. All calls belong on one event loop.
    """

    def __init__(self, read: Callable[[], Mapping[str, StageStatus]]) -> None:
        self._read = read
        self._last: Mapping[str, StageStatus] = {}
        self._answered = True  # the last time; of several failures in a row the log needs one traceback
        self._asked_at = -math.inf
        self._question: asyncio.Task[None] | None = None

    async def stages(self) -> Mapping[str, StageStatus]:
        """Return the status of each stage that is known; nothing as long as there never was an answer."""
        if self._question is None and self._age_s() > FRESH_S:
            self._asked_at = time.monotonic()
            self._question = asyncio.create_task(self._ask())
        if self._question is not None:
            # Shared by all who wait. One who comes when it is overdue already does not wait again.
            await asyncio.wait({self._question}, timeout=max(0.0, PATIENCE_S - self._age_s()))
        return self._last

    async def _ask(self) -> None:
        try:
            self._last = await asyncio.to_thread(self._read) or self._last
            self._answered = True
        except Exception:
            logger.warning("Serve cannot be asked for the status of the stages", exc_info=self._answered)
            self._answered = False
        finally:
            self._question = None

    def _age_s(self) -> float:
        return time.monotonic() - self._asked_at
