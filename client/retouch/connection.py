"""What both clients share: checked settings, a base class, the request for httpx, and how a call ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from retouch import __version__
from retouch.answers import read_error
from retouch.calls import Call
from retouch.errors import APIConnectionError, APITimeoutError, RetouchError
from retouch.retries import Outcome, RetryPolicy
from retouch.streams import Attempt

T = TypeVar("T")
BASE_URL = "http://127.0.0.1:8000"
TIMEOUT_S = 600.0
"""How long one try may take. Painting is slow, and other requests may wait in front of it."""

CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Settings:
    """Where the service is, the key, and the limits. Wrong values raise `ValueError`; the key is never shown."""

    base_url: str
    api_key: str | None = field(repr=False)
    timeout_s: float
    max_retries: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _clean_url(self.base_url))
        object.__setattr__(self, "api_key", _clean_key(self.api_key))
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be more than 0, not {self.timeout_s!r}")
        if self.max_retries < 0:
            raise ValueError(f"max_retries must be 0 or more, not {self.max_retries!r}")

    def __str__(self) -> str:
        key = "'***'" if self.api_key else None
        limits = f"timeout_s={self.timeout_s!r}, max_retries={self.max_retries!r}"
        return f"(base_url={self.base_url!r}, api_key={key}, {limits})"

    def for_httpx(self) -> dict[str, Any]:
        """Return the arguments that both clients of httpx take."""
        headers = {"accept": "application/json", "user-agent": f"retouch-client/{__version__}"}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        return {"base_url": self.base_url, "headers": headers, "timeout": _limits(self.timeout_s)}


class BaseClient:
    """A client before it sends anything: its settings and its rule for retries."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._policy = RetryPolicy(settings.max_retries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self._settings}"

    @property
    def base_url(self) -> str:
        """The address of the service, without `/v1`."""
        return self._settings.base_url

    def _wait_s(self, call: Call[T], outcome: Outcome, retries_so_far: int) -> float | None:
        return self._policy.wait_s(outcome, retries_so_far) if call.is_retried else None

    def _wait_for_stream_s(self, call: Call[T], attempt: Attempt, retries_so_far: int) -> float | None:
        """Return the same for a streamed call, which is not sent again once its caller has got something of it."""
        return None if attempt.has_begun else self._wait_s(call, attempt.outcome, retries_so_far)


def build_request(http: httpx.Client | httpx.AsyncClient, call: Call[T]) -> httpx.Request:
    """Return the request of `call`. Each try needs one of its own, as sending one uses it up."""
    timeout = http.timeout if call.timeout_s is None else _limits(call.timeout_s)
    return http.build_request(
        call.method,
        call.path,
        data=dict(call.fields) or None,
        files=call.files or None,
        headers=dict(call.headers),
        timeout=timeout,
    )


def conclude(call: Call[T], outcome: Outcome, settings: Settings) -> T:
    """Return the result of `call`, or raise the error that its last try ended with."""
    if isinstance(outcome, httpx.RequestError):
        failure: RetouchError = _connection_error(outcome, settings.base_url)
        failure.__cause__ = outcome
    elif outcome.is_success:
        return call.read(outcome)
    else:
        failure = read_error(outcome)
    return call.excuse(failure)


def _connection_error(cause: httpx.RequestError, base_url: str) -> APIConnectionError:
    if isinstance(cause, httpx.ConnectTimeout):
        return APITimeoutError(f"Could not connect to {base_url} in time.", base_url)
    if isinstance(cause, httpx.TimeoutException):
        return APITimeoutError(f"{base_url} did not answer in time.", base_url)
    reason = str(cause) or type(cause).__name__
    if isinstance(cause, httpx.ConnectError):
        return APIConnectionError(f"Could not connect to {base_url}: {reason}.", base_url)
    return APIConnectionError(f"The connection to {base_url} broke: {reason}.", base_url)


def _limits(timeout_s: float) -> httpx.Timeout:
    return httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))


def _clean_url(base_url: str) -> str:
    """Remove the `/v1` that other clients want at the end. Errors do not quote the URL: it may hold a password."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as cause:
        raise ValueError(f"base_url is no URL: {cause}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("base_url must look like http://host:port")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("base_url must be without user name, password, query and fragment; a key goes to api_key")
    return str(url).rstrip("/").removesuffix("/v1").rstrip("/")


def _clean_key(api_key: str | None) -> str | None:
    """Remove the line end that a key read from a file has. Errors do not quote the key."""
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("api_key may hold only printable ASCII characters, no spaces")
    return key or None
