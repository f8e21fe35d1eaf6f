"""A service of known capacity and its callers, in simulated time: Poisson arrivals, and requests that come back."""

import heapq
from dataclasses import dataclass, field

import numpy as np

from deployments.admission.book import Book


@dataclass
class Outcome:
    """What became of the requests: seconds from admission to answer, and how refused ones fared when they came back."""

    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    came_back: int = 0
    then_admitted: int = 0
    waits: list[float] = field(default_factory=list)
    done_work: float = 0.0


@dataclass
class _Request:
    number: int
    work: float
    left: float = 0.0
    begun: float = 0.0
    tries: int = 0


class Service:
    """Shares `per_s` row-steps a second equally between the requests that the book lets in.

    A request that is alone takes `longest_s` at least: a part of it (finding, scoring) cannot be hurried.
    """

    def __init__(self, per_s, limit_s, seed=0, comes_back=True, jitter_s=0.3):
        self.now = 0.0
        self.per_s = per_s
        self.limit_s = limit_s
        self.book = Book(lambda: self.now)
        self.rng = np.random.default_rng(seed)
        self.comes_back, self.jitter_s = comes_back, jitter_s
        self.working = []
        self.outcome = Outcome()

    def run(self, arrivals_per_s, seconds, sizes=(100.0,)):
        """Let requests come for that long, and see all of them to their end."""
        events, number, due = [], 0, self.now
        end = self.now + seconds
        while (due := due + self.rng.exponential(1 / arrivals_per_s)) < end:
            heapq.heappush(events, (due, number, _Request(number, float(self.rng.choice(sizes)))))
            number += 1
        while events or self.working:
            self._work_until(events[0][0] if events else np.inf)
            if events and self.now >= events[0][0]:
                self._ask(heapq.heappop(events)[2], events)
        return self.outcome

    def _ask(self, request, events):
        self.outcome.came_back += request.tries > 0
        answer = self.book.enter(f"{request.number}/{request.tries}", str(request.number), request.work, self.limit_s)
        if answer.admitted:
            self.outcome.then_admitted += request.tries > 0
            request.left, request.begun = request.work, self.now
            self.working.append(request)
            return
        self.outcome.refused += 1
        self.outcome.waits.append(answer.retry_after_s)
        if self.comes_back:
            request.tries += 1
            later = self.now + answer.retry_after_s + self.rng.uniform(0, self.jitter_s)
            heapq.heappush(events, (later, request.number, request))

    def _work_until(self, due):
        while self.working and self.now < due:
            each = self.per_s / len(self.working)
            first = min(self.working, key=lambda one: one.left)
            step = min(first.left / each, due - self.now, 2.5)
            self.now += step
            for one in self.working:
                one.left -= step * each
            self.book.keep({f"{one.number}/{one.tries}": one.work for one in self.working})
            for one in [one for one in self.working if one.left <= 1e-6]:
                self.working.remove(one)
                self.book.leave(f"{one.number}/{one.tries}", one.work)
                self.outcome.latencies.append(self.now - one.begun)
                self.outcome.done_work += one.work
        if self.now < due < np.inf:
            self.now = due
