"""When a request is sent again, and how long the client waits before that: the rule of the OpenAI SDK.

A request is sent again if it got no answer, or if it got 408, 409, 429 or 5xx. `x-should-retry` overrules that. The
client waits as long as `retry-after-ms` or `Retry-After` says, else half a second, which doubles up to eight seconds
and which chance shortens by up to a quarter. If the service asks for more than two minutes, the error is raised at
once.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

MAX_RETRIES = 2
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 8.0
LONGEST_RETRY_AFTER_S = 120.0
"""A service that asks for a longer wait does not get a second try."""

JITTER = 0.25
"""The largest share by which chance shortens a wait, so that clients do not all come back at once."""

Outcome = httpx.Response | httpx.RequestError
"""What sending a request led to: an answer, or the reason why there is none."""


@dataclass(frozen=True)
class RetryPolicy:
    """The rule above. `chance` returns 0 to 1 and `clock` the seconds since 1970; tests pass their own."""

    max_retries: int = MAX_RETRIES
    chance: Callable[[], float] = random.random
    clock: Callable[[], float] = time.time

    def wait_s(self, outcome: Outcome, retries_so_far: int) -> float | None:
        """Return the seconds to wait before the request is sent again, or None if it is not sent again."""
        if retries_so_far >= self.max_retries:
            return None
        if isinstance(outcome, httpx.RequestError):
            return self._own_wait_s(retries_so_far) if _may_pass(outcome) else None
        asked_s = asked_wait_s(outcome.headers, self.clock)
        if asked_s is not None and asked_s > LONGEST_RETRY_AFTER_S:
            return None
        if not _wants_retry(outcome):
            return None
        return asked_s if asked_s is not None and asked_s > 0 else self._own_wait_s(retries_so_far)

    def _own_wait_s(self, retries_so_far: int) -> float:
        doubled_s = min(FIRST_WAIT_S * 2.0 ** min(retries_so_far, 16), LONGEST_WAIT_S)
        return doubled_s * (1 - JITTER * self.chance())


def asked_wait_s(headers: Mapping[str, str], clock: Callable[[], float]) -> float | None:
    """Return the seconds that the service asks the client to wait, or None if it names none that can be read.

    The header may give milliseconds, seconds or a date.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
    try:
        return email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - clock()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _wants_retry(response: httpx.Response) -> bool:
    if response.is_success:
        return False
    said = response.headers.get("x-should-retry")
    if said in ("true", "false"):
        return bool(said == "true")
    return response.status_code in (408, 409, 429) or response.status_code >= 500


def _may_pass(error: httpx.RequestError) -> bool:
    """Return whether another try may succeed. What httpx itself refuses to send, it will refuse again."""
    return not isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError))
