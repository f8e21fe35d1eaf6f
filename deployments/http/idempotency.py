"""Requests that may be sent again: each is worked on once, whichever replica it reaches and however often it comes.

A request with an `Idempotency-Key` is worked on to its end although its client leaves, and its answer is kept. A
request that the OpenAI SDK sends again by itself joins the first one, if that is still being worked on. There the work
ends when nobody waits for it any more. Other requests pass through here untouched.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from deployments.errors import KeyReused
from deployments.http.forms import Form
from deployments.http.middleware import request_id_of
from deployments.http.relays import Relay, replayed, stored
from deployments.http.streaming import EditStream
from deployments.http.tickets import KEY, may_come_again, ticket_of
from deployments.ledger.remote import LedgerUnreachable, Records
from deployments.messages import StoredAnswer, Ticket, Verdict
from deployments.serving.background import Background

RENEW_S = 3.0  # how often a claim is renewed that the ledger does not know of yet
MOST_LEFT = 64  # requests with a key that are worked on in this process although their client has left
ATTEMPTS = 10  # to give an answer to a ledger that cannot be reached, with the same time between them

Work = Callable[[], Awaitable[Response]]
OnFailure = Callable[[Exception, str], Awaitable[Response]]  # makes an answer of an error and the request's id
logger = logging.getLogger(__name__)


class Idempotency:
    """Answers requests by way of the ledger. All calls belong on one event loop."""

    def __init__(self, ledger: Records, on_failure: OnFailure) -> None:
        self._ledger = ledger
        self._on_failure = on_failure
        self._background = Background()
        self._left: set[asyncio.Task[None]] = set()  # those of them that go on for clients who have left

    async def answer(self, request: Request, form: Form, work: Work) -> Response:
        """Return what `work` returns, or the answer that another request with the same ticket got.

        Raises KeyReused where the key came before with another request.
        """
        if not may_come_again(request.headers):
            return await work()
        ticket = await asyncio.to_thread(ticket_of, request.headers, request.url.path, form)
        me = uuid.uuid4().hex
        try:
            verdict = await self._turn(ticket, me)
        except asyncio.CancelledError:
            # The ledger may have answered already. Nobody else is to wait for a request that has gone.
            self._background.begin(self._release(ticket, me))
            raise
        if verdict.turn == "mismatch":
            raise KeyReused(f"This `{KEY}` was sent with another request. Send a new key with each new request.", KEY)
        if verdict.answer is not None:
            logger.info("request %s got the answer of an earlier request", request_id_of(request.scope))
            return replayed(verdict.answer)
        if verdict.turn == "alone":
            return await work()
        return await self._worked(_Job(ticket, me, verdict.lease_s, request_id_of(request.scope)), work)

    async def drained(self) -> None:
        """Return when no work is under way for a client that has left, and all answers are with the ledger."""
        await self._background.ended()

    async def _turn(self, ticket: Ticket, me: str) -> Verdict:
        """Return what to do, after waiting for the answer of another request where there is one."""
        try:
            verdict = await self._ledger.claim(ticket, me)
            while verdict.turn == "wait":
                verdict = await self._ledger.claim(ticket, me, verdict.lease_s / 2)
        except LedgerUnreachable:
            return Verdict("run" if ticket.keeps else "alone")
        return verdict

    async def _worked(self, job: _Job, work: Work) -> Response:
        """Return the answer to a request that is worked on here. The work does not end with the request."""
        job.task = self._background.begin(self._carry_out(job, work))
        try:
            return await asyncio.shield(job.answered)
        except asyncio.CancelledError:
            self._client_left(job)
            raise

    async def _carry_out(self, job: _Job, work: Work) -> None:
        renewal = asyncio.create_task(self._renew(job))
        try:
            response = await self._response(job, work)
            if isinstance(response, EditStream):
                relay = Relay(response, lambda: self._client_left(job), has_reader=job.has_client)
                job.answered.set_result(relay.live())
                answer = await relay.run()
            else:
                job.answered.set_result(response)
                answer = stored(response)
            renewal.cancel()  # or it might begin anew what the ledger has just forgotten
            await self._hand_over(job, answer)
        except Exception as error:
            logger.exception("request %s: its answer could not be made", job.request_id)
            if not job.answered.done():
                job.answered.set_exception(error)
            await self._release(job.ticket, job.me)
        except asyncio.CancelledError:
            job.answered.cancel()
            raise
        finally:
            renewal.cancel()

    async def _response(self, job: _Job, work: Work) -> Response:
        try:
            return await work()
        except Exception as error:  # it is the answer of all who wait for one
            return await self._on_failure(error, job.request_id)

    async def _hand_over(self, job: _Job, answer: StoredAnswer) -> None:
        """Give the answer to the ledger if it is to be kept, or if anybody waits for it."""
        for attempt in range(ATTEMPTS if job.ticket.keeps else 1):
            if attempt:
                await asyncio.sleep(job.renew_s)  # it may be being started again
            with suppress(LedgerUnreachable):
                if job.ticket.keeps or not await self._ledger.end_if_deserted(job.ticket, job.me):
                    await self._ledger.settle(job.ticket, job.me, answer)
                return

    def _client_left(self, job: _Job) -> None:
        """See to it that work without a key ends when nobody waits for it. With a key it goes on in any case.

        Serve counts a request as ended when its client leaves, so here is the limit to how many go on.
        """
        job.has_client = False
        if job.task is None or job.task.done():
            return
        if job.ticket.keeps and len(self._left) < MOST_LEFT:
            logger.info("request %s: its client has left, and its work goes on", job.request_id)
            self._left.add(job.task)
            job.task.add_done_callback(self._left.discard)
        else:
            self._background.begin(self._stop_when_deserted(job, job.task))

    async def _stop_when_deserted(self, job: _Job, task: asyncio.Task[None]) -> None:
        with suppress(LedgerUnreachable):
            while not await self._ledger.end_if_deserted(job.ticket, job.me, job.renew_s):
                pass
        task.cancel()

    async def _renew(self, job: _Job) -> None:
        while True:
            await asyncio.sleep(job.renew_s)
            with suppress(LedgerUnreachable):
                await self._ledger.renew(job.ticket, job.me)

    async def _release(self, ticket: Ticket, me: str) -> None:
        with suppress(LedgerUnreachable):
            await self._ledger.release(ticket, me)


class _Job:
    """Work on one request: who does it, and its answer for the client."""

    def __init__(self, ticket: Ticket, me: str, lease_s: float, request_id: str) -> None:
        self.ticket = ticket
        self.me = me
        self.renew_s = lease_s / 3 or RENEW_S
        self.request_id = request_id
        self.answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.has_client = True
