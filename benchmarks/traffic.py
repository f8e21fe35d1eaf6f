"""A workload with the shape of production traffic: how many pictures, how often again, by whom, and when.

The shares are those of a published trace of 26,823 requests to an image service in 24 days (GenTD26): most ask for one
picture and some for eight, nine tenths take 30 steps, a third come from somebody who tries the same picture again, a
few users send most of them, and they come in bursts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from benchmarks.callers import Edit
from benchmarks.workload import STREAM, EditCase

SHARES = {1: 0.58, 2: 0.08, 4: 0.19, 8: 0.15}  # of requests, by the number of pictures they ask for
MEAN_PICTURES = sum(n * share for n, share in SHARES.items())
AGAIN = 0.35  # of requests are for the picture that the same user sent last
RECENT = 4  # as many users are recent enough to try again
USERS = 200
SKEW = 1.1  # Zipf's exponent: the busiest tenth of the users then sends seven tenths of what is new
# A gap between two requests is short with this chance, and then this share of the mean gap.
IN_BURST, SHORT_GAP = 0.6, 0.1


@dataclass(frozen=True)
class TimedEdit:
    """When the request comes, in seconds from the start, by whom, and for how many pictures of which picture.

    `picture` counts the different pictures of the trace from 0.
    """

    due_s: float
    user: int
    picture: int
    n: int


def trace(requests: int, pictures_per_s: float, seed: int) -> list[TimedEdit]:
    """Return that many requests, in the order in which they come; the same for the same seed."""
    rng = np.random.default_rng([STREAM, seed])
    due_s = bursts(requests, pictures_per_s / MEAN_PICTURES, rng)
    sizes = quotas(requests, rng)
    weights = np.arange(1, USERS + 1) ** -SKEW
    last: dict[int, int] = {}  # user -> picture, the most recent user last
    made: list[TimedEdit] = []
    pictures = count()
    for due, n in zip(due_s, sizes, strict=True):
        if last and rng.random() < AGAIN:
            user = int(rng.choice(list(last)[-RECENT:]))
            picture = last.pop(user)
        else:
            user = int(rng.choice(USERS, p=weights / weights.sum()))
            last.pop(user, None)
            picture = next(pictures)
        last[user] = picture
        made.append(TimedEdit(due, user, picture, n))
    return made


def quotas(requests: int, rng: np.random.Generator) -> list[int]:
    """Return the numbers of pictures in random order, in shares as near to SHARES as whole requests allow."""
    counts = {n: int(share * requests + 1e-9) for n, share in SHARES.items()}
    missing = sorted(SHARES, key=lambda n: counts[n] - SHARES[n] * requests)[: requests - sum(counts.values())]
    sizes = [n for n in SHARES for _ in range(counts[n] + (n in missing))]
    return [int(n) for n in rng.permutation(sizes)]


def bursts(requests: int, per_s: float, rng: np.random.Generator) -> list[float]:
    """Return when requests come: gaps are exponential as in a Poisson process, but of two means, short and long."""
    long_gap = (1 - IN_BURST * SHORT_GAP) / (1 - IN_BURST)
    means = np.where(rng.random(requests) < IN_BURST, SHORT_GAP, long_gap) / per_s
    return [float(due) for due in np.cumsum(rng.exponential(means))]


def edits(timed: Sequence[TimedEdit], known: Sequence[EditCase], first: int) -> list[Edit]:
    """Return what to ask for. Pictures and seeds are numbered from `first`, so that no earlier run has cached them."""
    return [
        Edit(
            known[(first + each.picture) % len(known)].marked(first + each.picture),
            first + 8 * index,
            each.n,
            f"user-{each.user}",
        )
        for index, each in enumerate(timed)
    ]
