"""What is sent: kinds of requests in their shares, numbers of pictures as in production, abuse in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from benchmarks.traffic import quotas

ABUSIVE = 0.1  # of all requests
STREAMED, KEYED = 0.15, 0.1  # of the good ones
STEPS = (2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Request:
    """The request of this number: an `edit`, a `stream`, an edit with a `key` that is sent twice, or `abuse`.

    `abuse` is the name of the case, and empty for good requests, which ask for `n` pictures of so many steps.
    """

    number: int
    kind: str
    n: int = 1
    steps: int = STEPS[0]
    abuse: str = ""


def plan(requests: int, abuses: Sequence[str], seed: int = 0) -> list[Request]:
    """Return that many requests in random order; the same for the same seed. Every abuse comes as often as the others.

    What comes in what order matters: it is drawn anew for the whole plan, so that abuse lies beside all kinds.
    """
    rng = np.random.default_rng(seed)
    bad = round(ABUSIVE * requests)
    good = requests - bad
    streamed, keyed = round(STREAMED * good), round(KEYED * good)
    kinds = ["stream"] * streamed + ["key"] * keyed + ["edit"] * (good - streamed - keyed)
    numbers_of_pictures = quotas(good, rng)
    rng.shuffle(kinds)
    made = [Request(0, kind, n, int(rng.choice(STEPS))) for kind, n in zip(kinds, numbers_of_pictures, strict=True)]
    made += [Request(0, "abuse", abuse=name) for name in islice(cycle(abuses), bad)]
    return [
        Request(number, each.kind, each.n, each.steps, each.abuse)
        for number, each in enumerate(made[int(place)] for place in rng.permutation(requests))
    ]


def shared_out(requests: Sequence[Request], slow: Sequence[str]) -> tuple[list[Request], list[Request]]:
    """Return the requests without those that only wait, and those: callers of their own take them."""
    return (
        [each for each in requests if each.abuse not in slow],
        [each for each in requests if each.abuse in slow],
    )
