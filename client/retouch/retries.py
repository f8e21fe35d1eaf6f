"""When a request is sent again and how long to wait before: the rule of the OpenAI SDK.

Sent again is what got no answer, and what got 408, 409, 429 or 5xx. `x-should-retry` overrules that. The
wait is what `retry-after-ms` or `Retry-After` says, else half a second that doubles up to eight, shortened
by chance by up to a quarter. A service that wants us back in more than two minutes is taken at its word:
the error is raised at once.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from retouch.defaults import FIRST_WAIT_S, JITTER, LONGEST_RETRY_AFTER_S, LONGEST_WAIT_S, MAX_RETRIES

Outcome = httpx.Response | httpx.RequestError
"""What came of sending a request: an answer, or the reason why there is none."""


@dataclass(frozen=True)
class RetryPolicy:
    """The rule above. `chance` gives 0..1 and `clock` seconds since 1970; tests put their own."""

    max_retries: int = MAX_RETRIES
    chance: Callable[[], float] = random.random
    clock: Callable[[], float] = time.time

    def wait_s(self, outcome: Outcome, retries_so_far: int) -> float | None:
        """Seconds to wait before the request is sent again; None if it shall not be."""
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
    """How long the service asks us to stay away: milliseconds, seconds or a date; None if it says nothing usable."""
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
    """A request that httpx itself refuses to send will be refused again."""
    return not isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError))
