"""The calls that one request makes to other deployments: deadline, retries, cancellation, errors, timings.

Ray Serve promises nothing for a request that a replica has accepted, and a deadline in the caller does
not stop the callee. So: every call of a request is kept track of, all that still run are cancelled when
the request ends, and a stage whose replica died runs again, since inference is idempotent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentResponse

from deployments.errors import DeadlineExceeded, ModelFailed, Overloaded, ServiceError
from deployments.messages import Span

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0
RETRY_PAUSE_S = 0.2


class Calls:
    """The calls of one request. Use as an async context manager; leaving it cancels what still runs."""

    def __init__(self, deadline_s: float, max_attempts: int) -> None:
        self._until = time.monotonic() + deadline_s
        self._max_attempts = max_attempts
        self._responses: list[DeploymentResponse[Any]] = []
        self.spans: list[Span] = []
        self._ended = False

    async def __aenter__(self) -> Calls:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        for response in self._responses:
            response.cancel()

    def begin(self, response: DeploymentResponse[Any]) -> DeploymentResponse[Any]:
        """Keeps track of a call that was just made, and returns it."""
        self._responses.append(response)
        return response

    async def run(self, stage: str, call: Callable[[int], DeploymentResponse[Any]]) -> Any:
        """The result of `call(attempt)`, which makes the call; attempt 0 first, again if a replica dies.

        Raises only ServiceErrors: the callee's own, `Overloaded` when its queue is full,
        `DeadlineExceeded` when the request's time is up, `ModelFailed` for all else.
        """
        start = time.time()
        try:
            return await self._run(stage, call)
        finally:
            self.spans.append(Span(stage, start, time.time()))

    def timings_s(self) -> dict[str, float]:
        """Seconds in which at least one call of the stage was under way."""
        stages = dict.fromkeys(span.name for span in self.spans)
        return {stage: _covered([span for span in self.spans if span.name == stage]) for stage in stages}

    async def _run(self, stage: str, call: Callable[[int], DeploymentResponse[Any]]) -> Any:
        for attempt in range(self._max_attempts):
            try:
                return await self._result(self.begin(call(attempt)))
            except BackPressureError as error:
                raise Overloaded("The service is busy.", error.retry_after_s or RETRY_AFTER_S) from None
            except ServiceError as error:
                # Across processes it arrives as a RayTaskError too, whose text is a traceback.
                raise getattr(error, "cause", None) or error from None
            except (RayActorError, RayServeException):
                if self._ended:  # cancelled with the request: nobody waits for another attempt
                    raise asyncio.CancelledError from None
                logger.warning("%s: lost its replica in attempt %d", stage, attempt + 1, exc_info=True)
                await asyncio.sleep(RETRY_PAUSE_S)
            except RayTaskError as error:
                logger.error("%s failed", stage, exc_info=True)
                raise ModelFailed(f"The stage {stage!r} failed.") from error
        raise ModelFailed(f"The stage {stage!r} lost its replica {self._max_attempts} times.")

    async def _result(self, response: DeploymentResponse[Any]) -> Any:
        left = self._until - time.monotonic()
        try:
            return await asyncio.wait_for(_awaited(response), timeout=max(0.0, left))
        except TimeoutError:
            raise DeadlineExceeded("The request took longer than it is allowed to.") from None


def _covered(spans: list[Span]) -> float:
    total = until = 0.0
    for span in sorted(spans, key=lambda span: span.start_s):
        total += max(0.0, span.end_s - max(span.start_s, until))
        until = max(until, span.end_s)
    return total


async def _awaited(response: DeploymentResponse[Any]) -> Any:
    return await response
