"""How much work a second the service gets done, learnt from what is finished.

Of N requests that share a service equally each has had the Nth part of its time. So one request tells by itself what
the service is capable of: its work over its share of the time. That holds while others come and go, and needs no
window of time, in which the work of those who are not finished yet would be missing.
"""

from __future__ import annotations

from dataclasses import dataclass

MEMORY = 0.92  # how much of what is known counts when one more request has told what it knows: that is 12 requests
FEWEST = 4  # requests that have to be heard first


@dataclass
class _Mean:
    """Work over seconds, of which the newest count most."""

    work: float = 0.0
    seconds: float = 0.0
    heard: int = 0

    def hear(self, work: float, seconds: float) -> None:
        self.work = self.work * MEMORY + work
        self.seconds = self.seconds * MEMORY + seconds
        self.heard += 1

    @property
    def per_s(self) -> float:
        return self.work / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Reading:
    """The clocks of a `Rate`: the time that has passed, of it the time that was full, and one request's share of it."""

    seconds: float = 0.0
    full_s: float = 0.0
    share_s: float = 0.0


class Rate:
    """An estimate of the work per second that the service is capable of.

    It shows that only where there is always enough to do: that time is full. A request that was alone says how much the
    service does for one, which is less.
    """

    def __init__(self) -> None:
        self._full = _Mean()
        self._any = _Mean()
        self.now = Reading()

    def pass_time(self, seconds: float, requests: int, full: bool) -> None:
        """Let time go by in which so many requests were under way, enough to keep everything busy where `full`."""
        now = self.now
        share_s = now.share_s + (seconds / requests if requests else 0.0)
        self.now = Reading(now.seconds + seconds, now.full_s + (seconds if full else 0.0), share_s)

    def finish(self, work: float, begun: Reading) -> None:
        """Hear of work that is finished, and what the clocks said when it was begun."""
        share_s = self.now.share_s - begun.share_s
        if work <= 0 or share_s <= 0:
            return
        self._any.hear(work, share_s)
        if self.now.full_s - begun.full_s >= (self.now.seconds - begun.seconds) / 2:
            self._full.hear(work, share_s)

    @property
    def per_s(self) -> float:
        """The estimate; 0 as long as nothing is known."""
        return self._full.per_s if self._full.heard >= FEWEST else self._any.per_s
