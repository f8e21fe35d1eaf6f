"""What the HTTP face and the ledger say to each other about requests that may be sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Turn = Literal["run", "wait", "answer", "mismatch", "alone"]


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An HTTP answer as it is handed to other requests: its status, its headers and its whole body.

    A streamed answer has only the events that end it in its body. It has `failed` where one of them is an error,
    although its status is 200.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    failed: bool = False

    @property
    def size(self) -> int:
        """The bytes that the answer takes."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a request asks for: requests with the same `key` share one answer, if their `digest` is the same too.

    `digest` is made from all that was sent. So is `key`, where the caller sent none. With `keeps` a success is kept for
    requests that come later. With `joins` the request may get an answer that another one works on; without it, the
    request only lets others join.
    """

    key: str
    digest: str
    keeps: bool
    joins: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a request that has made a claim is to do.

    `run`: work, renew the claim before `lease_s` seconds have passed, and settle it. `wait`: another request works on
    it, ask again. `answer`: here it is. `mismatch`: the key belongs to a request that asked for something else.
    `alone`: work, and keep the answer to yourself.
    """

    turn: Turn
    answer: StoredAnswer | None = None
    lease_s: float = 0.0
