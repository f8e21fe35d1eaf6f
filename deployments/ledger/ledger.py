"""The ledger: which requests are being answered at the moment, and the answers of those that may be sent again.

One ledger serves all replicas of the driver, so a request that is sent again finds its answer through any of them. It
keeps everything in memory. After a restart it knows nothing, and whoever still works on a request enters it again when
the claim is renewed.

    claim -> run -> renew ... -> settle
          -> wait (ask again) -> answer, or run where the one who worked has given up or died
          -> answer | mismatch | alone
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from deployments.config import LedgerSettings
from deployments.messages import StoredAnswer, Ticket, Verdict

MB = 10**6
SUCCESSES = range(200, 300)


@dataclass(eq=False)
class _Running:
    """Work under way: the request that does it, until when its claim holds, and until when each other one waits."""

    digest: str
    owner: str
    until: float
    waiting: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def stir(self) -> None:
        """Wake everyone who waits for a change."""
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(frozen=True)
class _Kept:
    digest: str
    answer: StoredAnswer
    until: float


class Ledger:
    """Knows who answers what. All calls belong on one event loop. `clock` returns seconds.

    Each request is known by a name of its own, which no other request has: `me` in the methods below.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # the one that was asked for last comes last
        self._bytes = 0
        self._due: dict[str, tuple[StoredAnswer, float]] = {}  # what waiting requests have yet to fetch, and until when
        self.settings = LedgerSettings()

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take new `LedgerSettings`."""
        self.settings = LedgerSettings.model_validate(user_config)
        self._forget_old()

    async def claim(self, ticket: Ticket, me: str, patience_s: float = 0.0) -> Verdict:
        """Return what the request `me` is to do. Where another one works, wait up to `patience_s` for its answer.

        A request that waits has to ask again before `LedgerSettings.lease_s` seconds have passed, or counts as gone.
        """
        claim = self._claim(ticket, me)
        if claim.turn != "wait" or patience_s <= 0:
            return claim
        running = self._running[ticket.key]
        try:
            await _change(running, patience_s, lambda: self._running.get(ticket.key) is not running)
        except asyncio.CancelledError:
            self._stop_waiting(running, me)
            raise
        return self._claim(ticket, me)

    async def renew(self, ticket: Ticket, me: str) -> None:
        """Go on holding a claim. A ledger that was restarted learns of the work again."""
        running = self._running.get(ticket.key)
        if running is None and ticket.key not in self._kept:
            self._begin(ticket, me)
        elif running is not None and running.owner == me:
            running.until = self._clock() + self.settings.lease_s

    async def settle(self, ticket: Ticket, me: str, answer: StoredAnswer) -> None:
        """Hand the answer to everyone who waits for it. Keep it, if the ticket says so and it is a success."""
        running = self._running.get(ticket.key)
        succeeded = answer.status in SUCCESSES and not answer.failed
        # The answer of a request that lost its claim, as by a pause of its process, is as good. Its failure is not.
        if running is not None and running.digest == ticket.digest and (succeeded or running.owner == me):
            self._hand_out(running, answer)
            del self._running[ticket.key]
            running.stir()
        if succeeded and ticket.keeps and ticket.key not in self._running:
            self._keep(ticket, answer)

    async def release(self, ticket: Ticket, me: str) -> None:
        """Give up a claim, or stop waiting. One of those who wait does the work then."""
        running = self._running.get(ticket.key)
        self._due.pop(me, None)
        if running is not None and running.owner == me:
            running.until = self._clock()
            running.owner = ""
            running.stir()
            self._drop_if_empty(ticket.key)
        elif running is not None:
            self._stop_waiting(running, me)

    async def end_if_deserted(self, ticket: Ticket, me: str, patience_s: float = 0.0) -> bool:
        """End the claim of `me` if nobody waits for its work, or if nobody does within `patience_s`; return whether.

        Whoever comes after that starts anew.
        """
        running = self._running.get(ticket.key)
        if running is None or running.owner != me:
            return True
        if self._waiting(running) and patience_s > 0:
            await _change(running, patience_s, lambda: not self._waiting(running))
        if self._waiting(running):
            return False
        if self._running.get(ticket.key) is running:
            del self._running[ticket.key]
        return True

    async def running(self) -> int:
        """Return how many requests are being worked on, as far as their claims have not run out."""
        self._forget_old()
        return len(self._running)

    def _claim(self, ticket: Ticket, me: str) -> Verdict:
        self._forget_old()
        if me in self._due:
            return Verdict("answer", self._due.pop(me)[0])
        kept = self._kept.get(ticket.key)
        if kept is not None:
            self._kept.move_to_end(ticket.key)
            return Verdict("answer", kept.answer) if kept.digest == ticket.digest else Verdict("mismatch")
        running = self._running.get(ticket.key)
        if running is None or running.until <= self._clock():
            return self._begin(ticket, me)
        if running.digest != ticket.digest:
            return Verdict("mismatch")
        if not ticket.joins:
            return Verdict("alone")
        running.waiting[me] = self._clock() + self.settings.lease_s
        return Verdict("wait", lease_s=self.settings.lease_s)

    def _begin(self, ticket: Ticket, me: str) -> Verdict:
        """Make `me` the one who works. Those who waited for another one, which is gone, wait for `me` now."""
        before = self._running.get(ticket.key)
        until = self._clock() + self.settings.lease_s
        self._running[ticket.key] = running = _Running(ticket.digest, me, until)
        if before is not None:
            if before.digest == ticket.digest:
                running.waiting = {name: end for name, end in before.waiting.items() if name != me}
            before.stir()
        return Verdict("run", lease_s=self.settings.lease_s)

    def _hand_out(self, running: _Running, answer: StoredAnswer) -> None:
        until = self._clock() + self.settings.lease_s
        self._due |= dict.fromkeys(self._waiting(running), (answer, until))
        asyncio.get_running_loop().call_later(self.settings.lease_s, self._forget_old)

    def _keep(self, ticket: Ticket, answer: StoredAnswer) -> None:
        """Keep an answer that is not larger than all that may be kept, and forget what there is no room for then."""
        settings = self.settings
        if answer.size > settings.max_mb * MB:
            return
        self._forget(ticket.key)
        self._kept[ticket.key] = _Kept(ticket.digest, answer, self._clock() + settings.keep_s)
        self._bytes += answer.size
        while len(self._kept) > settings.max_answers or self._bytes > settings.max_mb * MB:
            self._forget(next(iter(self._kept)))
        # A ledger that nobody asks any more gives its memory back too.
        asyncio.get_running_loop().call_later(settings.keep_s, self._forget_old)

    def _forget(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        self._bytes -= kept.answer.size if kept else 0

    def _forget_old(self) -> None:
        now = self._clock()
        for key in [key for key, kept in self._kept.items() if kept.until <= now]:
            self._forget(key)
        self._due = {name: due for name, due in self._due.items() if due[1] > now}
        for key in list(self._running):
            self._drop_if_empty(key)

    def _drop_if_empty(self, key: str) -> None:
        """Forget work whose claim has ended and for which nobody waits."""
        running = self._running[key]
        if running.until <= self._clock() and not self._waiting(running):
            del self._running[key]

    def _waiting(self, running: _Running) -> list[str]:
        """Return the requests that wait, without those that have not asked again in time."""
        now = self._clock()
        running.waiting = {name: until for name, until in running.waiting.items() if until > now}
        return list(running.waiting)

    def _stop_waiting(self, running: _Running, me: str) -> None:
        if running.waiting.pop(me, None) is not None:
            running.stir()


async def _change(running: _Running, patience_s: float, happened: Callable[[], bool]) -> None:
    """Wait until the work has changed in such a way that `happened()`, or its claim was given up, or time is up."""
    with suppress(TimeoutError):
        # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with the event.
        async with asyncio.timeout(patience_s):
            while running.owner and not happened():
                await running.changed.wait()
