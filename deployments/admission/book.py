"""The book of the work under way: it lets a request begin, or says when it may.

A request is let in by how long the work before it takes, which is the work over the work per second. By Little's law
(Operations Research 9, 1961) that is the time a request spends here. The painter shares its steps equally between
requests, so that of a larger request before it only as much counts as it asks for itself.

    enter -> let in -> keep ... -> leave
          -> refused: its place is kept, and it finds it when it comes back

Whoever is refused comes back at a time when others come too. For its wait to be true the place is kept: newcomers are
judged as if all who are to come back were here already. A place that nobody takes is given away soon after its time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from deployments.admission.rate import Rate, Reading
from deployments.messages import Admission

LEASE_S = 10.0  # how long a request is under way that nobody has spoken of: its driver has died
# As many requests of its own size may always be before it: on a slow machine one alone takes longer than the limit.
FEW = 4
SHORTEST_WAIT_S = 0.2
# How much later than its time a request may come back: the network, and a client that counts in whole seconds.
GRACE_S, GRACE_SHARE = 2.0, 0.25
SLACK = 1.5  # how much more than the limit may be under way before somebody whose place is due is sent away again
LEARNING = 0.15  # how much one caller who comes back, or does not, says about the others
MOST_PLACES = 2_000  # that are kept; each newcomer looks at all of them


@dataclass
class _Working:
    """A request under way: its work, what the clocks of the rate said when it began, and when to forget it."""

    work: float
    begun: Reading
    until: float


@dataclass(frozen=True)
class _Place:
    """A place that is kept: for how much work, when it is due, and until when it is kept."""

    work: float
    due: float
    until: float


class Book:
    """Knows what work is under way, and for whom a place is kept. Work is in row-steps; `clock` returns seconds.

    `name` is a request's own, which no other has. `key` is the same when a client sends the same request again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._working: dict[str, _Working] = {}
        self._places: dict[str, _Place] = {}  # in the order in which they were given
        self._rate = Rate()
        self._faith = 1.0  # the share of those sent away who come back
        self._seen = clock()
        self._limit_s = math.inf

    def enter(self, name: str, key: str, work: float, limit_s: float) -> Admission:
        """Let the request begin if the work before it takes at most `limit_s`, or if its place is due."""
        self._catch_up(limit_s)
        place = self._places.get(key)
        wait_s = self._wait_s(work, place)
        if wait_s <= 0:
            self._give(key, place)
            self._begin(name, work)
            return Admission(True)
        return Admission(False, self._keep_place(key, place, work, wait_s))

    def keep(self, working: Mapping[str, float]) -> None:
        """Hear that these requests are still under way, and how much work each is. A new book learns of them."""
        self._catch_up()
        for name, work in working.items():
            one = self._working.get(name) or self._begin(name, work)
            one.work, one.until = work, self._clock() + LEASE_S

    def leave(self, name: str, done: float) -> None:
        """Hear that the request has ended, and how much work was finished for it."""
        self._catch_up()
        one = self._working.pop(name, None)
        if one is not None:
            self._rate.finish(done, one.begun)

    def _begin(self, name: str, work: float) -> _Working:
        self._working[name] = one = _Working(work, self._rate.now, self._clock() + LEASE_S)
        return one

    @property
    def backlog_s(self) -> float:
        """How long all that is under way takes; 0 as long as nothing is known."""
        under_way = sum(one.work for one in self._working.values())
        return under_way / self._rate.per_s if self._rate.per_s else 0.0

    def _wait_s(self, work: float, mine: _Place | None) -> float:
        """Return after how many seconds little enough is left before the request; 0 or less if it may begin."""
        due = mine is not None and mine.due <= self._clock()
        earlier = () if due else takewhile(lambda place: place is not mine, self._places.values())
        before = [one.work for one in self._working.values()]
        before += [place.work * self._faith for place in earlier]
        ahead = sum(min(other, work) for other in before)
        room = max(self._limit_s * self._rate.per_s, FEW * work) * (SLACK if due else 1)
        if ahead <= room:
            return 0.0
        # What is ahead shrinks with all of the work, of which it is a part.
        return (ahead - room) * sum(before) / (ahead * self._rate.per_s) if self._rate.per_s else 1.0

    def _give(self, key: str, place: _Place | None) -> None:
        """Take the place back from who has come for it."""
        if place is not None:
            del self._places[key]
            self._faith += (1 - self._faith) * LEARNING

    def _keep_place(self, key: str, place: _Place | None, work: float, wait_s: float) -> float:
        """Keep a place for who is refused, and return when to come back. Who comes too early still has its place."""
        now = self._clock()
        if place is None or place.due <= now:
            wait_s = max(wait_s, SHORTEST_WAIT_S)
            place = _Place(work, now + wait_s, now + wait_s + max(GRACE_S, GRACE_SHARE * wait_s))
            if len(self._places) < MOST_PLACES:
                self._places[key] = place
        return max(place.due - now, SHORTEST_WAIT_S)

    def _catch_up(self, limit_s: float | None = None) -> None:
        """Let the time since the last call go by, and forget what has ended in it."""
        now = self._clock()
        self._rate.pass_time(now - self._seen, len(self._working), self._full())
        self._seen = now
        self._limit_s = self._limit_s if limit_s is None else limit_s
        self._working = {name: one for name, one in self._working.items() if one.until > now}
        for key, place in list(self._places.items()):
            if place.until <= now:
                del self._places[key]
                self._faith += (0 - self._faith) * LEARNING

    def _full(self) -> bool:
        """Tell whether there is enough to do to keep everything busy."""
        return len(self._working) > 1 and self.backlog_s >= self._limit_s / 2
