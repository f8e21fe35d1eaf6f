"""The ledger and its book as the replicas of the driver reach them: through a handle, and for no longer than they are
worth.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from deployments.messages import Admission, StoredAnswer, Ticket, Verdict

PATIENCE_S = 2.0  # a call takes milliseconds; a ledger that is being started again answers none for some seconds
LARGE_S = 10.0  # more for a call that carries an answer of many megabytes; no caller waits for it
PAUSE_S = 5.0  # in which a ledger that did not answer is not asked, so that not every request waits for it

_T = TypeVar("_T", covariant=True)
logger = logging.getLogger(__name__)


class LedgerUnreachable(Exception):
    """The ledger did not answer. To work on a request twice does no harm, so whoever asked goes on without it."""


class Records(Protocol):
    """What a ledger can do, in this process or in another one; `Ledger` describes it."""

    async def claim(self, ticket: Ticket, me: str, patience_s: float = 0.0) -> Verdict: ...

    async def renew(self, ticket: Ticket, me: str) -> None: ...

    async def settle(self, ticket: Ticket, me: str, answer: StoredAnswer) -> None: ...

    async def release(self, ticket: Ticket, me: str) -> None: ...

    async def end_if_deserted(self, ticket: Ticket, me: str, patience_s: float = 0.0) -> bool: ...


class RemoteResponse(Protocol[_T]):
    """A call of the ledger's deployment."""

    def __await__(self) -> Generator[Any, None, _T]: ...

    def cancel(self) -> object: ...


class _Remote:
    """Calls methods of the ledger's deployment. Where it did not answer, it is left alone for a while."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._unreachable_until = 0.0

    async def _called(self, method: str, patience_s: float, *args: Any) -> Any:
        if time.monotonic() < self._unreachable_until:
            raise LedgerUnreachable(method)
        try:
            return await _result(getattr(self._handle, method).remote(*args), patience_s + PATIENCE_S)
        except Exception as error:  # whatever it is: Ray has many errors for a call that was not answered
            logger.warning("the ledger did not answer `%s`; requests go on without it", method, exc_info=True)
            self._unreachable_until = time.monotonic() + PAUSE_S
            raise LedgerUnreachable(method) from error


class RemoteLedger(_Remote):
    """Calls the ledger through a handle of its deployment. Every method may raise LedgerUnreachable."""

    async def claim(self, ticket: Ticket, me: str, patience_s: float = 0.0) -> Verdict:
        """See `Ledger.claim`."""
        return await self._called("claim", patience_s, ticket, me, patience_s)

    async def renew(self, ticket: Ticket, me: str) -> None:
        """See `Ledger.renew`."""
        await self._called("renew", 0.0, ticket, me)

    async def settle(self, ticket: Ticket, me: str, answer: StoredAnswer) -> None:
        """See `Ledger.settle`."""
        await self._called("settle", LARGE_S, ticket, me, answer)

    async def release(self, ticket: Ticket, me: str) -> None:
        """See `Ledger.release`."""
        await self._called("release", 0.0, ticket, me)

    async def end_if_deserted(self, ticket: Ticket, me: str, patience_s: float = 0.0) -> bool:
        """See `Ledger.end_if_deserted`."""
        return await self._called("end_if_deserted", patience_s, ticket, me, patience_s)


class RemoteBook(_Remote):
    """Calls the book of the work under way through the same handle."""

    async def enter(self, name: str, key: str, work: float, limit_s: float) -> Admission | None:
        """See `Book.enter`; return None where the book cannot be asked."""
        with suppress(LedgerUnreachable):
            admission: Admission = await self._called("enter", 0.0, name, key, work, limit_s)
            return admission
        return None

    async def keep(self, working: Mapping[str, float]) -> None:
        """See `Book.keep`."""
        with suppress(LedgerUnreachable):
            await self._called("keep", 0.0, working)

    async def leave(self, name: str, done: float) -> None:
        """See `Book.leave`. One that is not heard of is forgotten after its lease."""
        with suppress(LedgerUnreachable):
            await self._called("leave", 0.0, name, done)


async def _result(response: RemoteResponse[_T], patience_s: float) -> _T:
    """Return the result of a call, which ends where nobody waits for it any more."""
    try:
        async with asyncio.timeout(patience_s):
            return await response
    except BaseException:
        with suppress(Exception):  # a call that never reached the ledger raises here why
            response.cancel()
        raise
