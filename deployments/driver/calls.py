"""The calls that one request makes to other deployments: deadline, retries, cancellation, errors, timings.

Ray Serve promises nothing for a request that a replica has accepted, and a deadline in the caller does not stop the
callee. Therefore every call of a request is recorded here, those that still run are cancelled when the request ends,
and a stage whose replica died runs again, since inference is idempotent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from deployments.driver import ray_errors
from deployments.driver.handles import Cancellable, Response, Stream
from deployments.errors import DeadlineExceeded, ModelFailed, OtherWeights, Overloaded, ServiceError
from deployments.messages import News, Span

Result = TypeVar("Result")
Call = TypeVar("Call", bound=Cancellable)
OnNews = Callable[[News], None]

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0
RETRY_PAUSE_S = 0.2


class Calls:
    """The calls of one request. Use as an async context manager; leaving it cancels what still runs.

    `deadline_s` None sets no limit. `on_news` is called with the progress of the request and with its previews; it must
    return at once.
    """

    def __init__(self, deadline_s: float | None, max_attempts: int, on_news: OnNews | None = None) -> None:
        self._until = None if deadline_s is None else time.monotonic() + deadline_s
        self._max_attempts = max_attempts
        self._responses: list[Cancellable] = []
        self._on_news = on_news
        self.spans: list[Span] = []
        self._ended = False

    async def __aenter__(self) -> Calls:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        for response in self._responses:
            _cancel(response)

    @property
    def watched(self) -> bool:
        """Whether anybody wants to know the progress of the request."""
        return self._on_news is not None

    def report(self, news: News) -> None:
        """Pass the progress or a preview on to whoever wants to know it."""
        if self._on_news is not None:
            self._on_news(news)

    def begin(self, response: Call) -> Call:
        """Keep track of a call that was just made, and return it."""
        self._responses.append(response)
        return response

    async def run(self, stage: str, call: Callable[[int], Response[Result]]) -> Result:
        """Return the result of `call(attempt)`, which makes the call: attempt 0 first, and again if a replica dies.

        Raises only ServiceErrors: the callee's own, `Overloaded` when its queue is full,
        `DeadlineExceeded` when the request's time is up, `ModelFailed` for all else.
        """
        return await self._timed(stage, call, _result_of)

    async def run_stream(
        self, stage: str, call: Callable[[int], Stream[Result]], on_item: Callable[[Result], Awaitable[None]]
    ) -> Result | None:
        """Run a call that streams, as `run` does: `on_item` gets every item, and the last item is the result."""

        async def last_of(stream: Stream[Result]) -> Result | None:
            item = None
            async for item in stream:
                await on_item(item)
            return item

        return await self._timed(stage, call, last_of)

    def timings_s(self) -> dict[str, float]:
        """Return for each stage the seconds in which at least one of its calls was under way."""
        stages = dict.fromkeys(span.name for span in self.spans)
        return {stage: _covered([span for span in self.spans if span.name == stage]) for stage in stages}

    async def _timed(
        self, stage: str, call: Callable[[int], Call], read: Callable[[Call], Awaitable[Result]]
    ) -> Result:
        start = time.time()
        try:
            return await self._run(stage, call, read)
        finally:
            self.spans.append(Span(stage, start, time.time()))

    async def _run(self, stage: str, call: Callable[[int], Call], read: Callable[[Call], Awaitable[Result]]) -> Result:
        for attempt in range(self._max_attempts):
            if self._ended:  # nobody waits for the request any more, and nobody would cancel this call
                raise asyncio.CancelledError
            try:
                return await self._result(call(attempt), read)
            except ray_errors.QUEUE_FULL as error:
                raise Overloaded("The service is busy.", error.retry_after_s or RETRY_AFTER_S) from None
            except ray_errors.NOT_STARTED as error:
                raise ModelFailed(f"The stage {stage!r} could not be started.") from error
            except ServiceError as error:
                # Across processes it arrives as a RayTaskError too, whose text is a traceback.
                raise getattr(error, "cause", None) or error from None
            except (*ray_errors.LOST, OtherWeights):
                if not self._ended:
                    logger.warning("%s: lost its replica in attempt %d", stage, attempt + 1, exc_info=True)
                    await asyncio.sleep(RETRY_PAUSE_S)
            except ray_errors.ANY as error:
                logger.error("%s failed", stage, exc_info=True)
                raise ModelFailed(f"The stage {stage!r} failed.") from error
        raise ModelFailed(f"The stage {stage!r} lost its replica {self._max_attempts} times.")

    async def _result(self, response: Call, read: Callable[[Call], Awaitable[Result]]) -> Result:
        self._responses.append(response)
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        try:
            # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with the result, and a request
            # whose client has left would go on to its next stage.
            async with asyncio.timeout(left):
                return await asyncio.ensure_future(read(response))
        except TimeoutError:
            raise DeadlineExceeded("The request took longer than it is allowed to.") from None


def _cancel(response: Cancellable) -> None:
    """Cancel a call, whatever has become of it.

    Serve raises the call's own failure here if the call never reached a replica. At this point nobody waits for the
    call any more, and its failure must not take the place of the request's result.
    """
    try:
        response.cancel()
    except Exception:
        logger.debug("a call that was to be cancelled had failed", exc_info=True)


def _covered(spans: list[Span]) -> float:
    total = until = 0.0
    for span in sorted(spans, key=lambda span: span.start_s):
        total += max(0.0, span.end_s - max(span.start_s, until))
        until = max(until, span.end_s)
    return total


async def _result_of(response: Response[Result]) -> Result:
    return await response
