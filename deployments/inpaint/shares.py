"""How far each request would be if all had equal shares of the steps: a clock that the real steps drive.

The requests are ordered by when that would finish them (Friedman and Henderson, Fairness and Efficiency in Web Server
Protocols, SIGMETRICS 2003; for packets: Demers, Keshav and Shenker, Analysis and Simulation of a Fair Queueing
Algorithm, SIGCOMM 1989). Whoever is served in that order hardly ever finishes later than with equal shares, and most
finish much sooner: the short ones do not wait for the long ones, and those cannot be overtaken without end.
"""

from __future__ import annotations

from bisect import insort


class EqualShares:
    """The imagined equal shares. Work is in rows of the UNet.

    `now` is how much work every request has been given that was there all the time.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._dues: list[float] = []  # of all that are unfinished here, which may be finished in truth; ascending

    def enter(self, work: float) -> float:
        """Let a request in, and return the value of `now` at which equal shares finish it."""
        due = self.now + work
        insort(self._dues, due)
        return due

    def advance(self, work: float) -> None:
        """Share out work that has been done, whoever it was done for, among all that are unfinished here."""
        while self._dues:
            until_first = (self._dues[0] - self.now) * len(self._dues)
            if work < until_first:
                self.now += work / len(self._dues)
                return
            work -= until_first
            self.now = self._dues.pop(0)

    def leave(self, due: float, undone: float) -> None:
        """Take out a request that ends early, with work undone in truth.

        What it was given here and not in truth goes to the others, so that no more work is left here than there.
        """
        if due > self.now:
            self._dues.remove(due)
        self.advance(max(0.0, undone - max(0.0, due - self.now)))
