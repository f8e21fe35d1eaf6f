"""When a request is sent again, and how long the client waits before."""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import retouch
from retouch.retries import RetryPolicy

NOW = 1_700_000_000.0
POLICY = RetryPolicy(max_retries=2, chance=lambda: 0.0, clock=lambda: NOW)


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def date(seconds_from_now: float) -> str:
    return email.utils.formatdate(NOW + seconds_from_now, usegmt=True)


@pytest.mark.parametrize(
    ("outcome", "wait_s"),
    [
        *[(answer(status), None) for status in (200, 204, 302, 400, 401, 403, 404, 413, 415, 422)],
        *[(answer(status), 0.5) for status in (408, 409, 429, 500, 502, 503, 504, 529)],
        (httpx.ConnectError("refused"), 0.5),
        (httpx.ConnectTimeout("slow"), 0.5),
        (httpx.ReadTimeout("slow"), 0.5),
        (httpx.RemoteProtocolError("broke"), 0.5),
        (httpx.UnsupportedProtocol("gopher"), None),
        (httpx.LocalProtocolError("bad header"), None),
        (answer(422, x_should_retry="true"), 0.5),
        (answer(200, x_should_retry="true"), None),
        (answer(500, x_should_retry="false"), None),
        (answer(429, x_should_retry="maybe"), 0.5),
        (answer(429, retry_after="3"), 3),
        (answer(429, retry_after="0.25"), 0.25),
        (answer(429, retry_after_ms="1500"), 1.5),
        (answer(429, retry_after_ms="1500", retry_after="7"), 1.5),
        (answer(429, retry_after_ms="soon", retry_after="7"), 7),
        (answer(429, retry_after="120"), 120),
        (answer(429, retry_after="121"), None),
        (answer(429, retry_after_ms="120001"), None),
        (answer(429, retry_after="inf"), None),
        (answer(503, retry_after="121", x_should_retry="true"), None),
        (answer(422, retry_after="3"), None),
        (answer(429, retry_after="0"), 0.5),
        (answer(429, retry_after="-5"), 0.5),
        (answer(429, retry_after="nan"), 0.5),
        (answer(429, retry_after="soon"), 0.5),
        (answer(429, retry_after=""), 0.5),
        (answer(429, retry_after=date(9)), 9),
        (answer(429, retry_after=date(-9)), 0.5),
        (answer(429, retry_after=date(600)), None),
    ],
)
def test_the_rule(outcome: Any, wait_s: float | None) -> None:
    assert POLICY.wait_s(outcome, 0) == (None if wait_s is None else pytest.approx(wait_s))


def test_waits_double_up_to_eight_seconds() -> None:
    patient = RetryPolicy(max_retries=10_000, chance=lambda: 0.0)
    assert [patient.wait_s(answer(500), done) for done in range(6)] == [0.5, 1, 2, 4, 8, 8]
    assert patient.wait_s(answer(500), 9_999) == 8


@pytest.mark.parametrize(("chance", "wait_s"), [(0.0, 0.5), (0.5, 0.4375), (1.0, 0.375)])
def test_chance_shortens_a_wait_by_up_to_a_quarter(chance: float, wait_s: float) -> None:
    assert RetryPolicy(chance=lambda: chance).wait_s(answer(500), 0) == pytest.approx(wait_s)
    assert RetryPolicy(chance=lambda: chance).wait_s(answer(500, retry_after="2"), 0) == 2


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_no_more_retries_than_allowed(max_retries: int) -> None:
    policy = RetryPolicy(max_retries)
    waits = [policy.wait_s(answer(500), done) for done in range(max_retries + 1)]
    assert None not in waits[:-1]
    assert waits[-1] is None


def test_the_same_request_is_sent_until_it_succeeds(
    service: Any, service_error: Callable[..., httpx.Response], photo: Path
) -> None:
    service.instead = [httpx.ReadError("broke"), service_error(429, retry_after="3")]
    result = service.client().edit(photo, "a lemon", seed=5)
    assert result.seed == 5
    assert len(service.seen) == 3
    assert [seen.form["image"].content for seen in service.seen] == [photo.read_bytes()] * 3
    assert [seen.texts for seen in service.seen] == [service.seen[0].texts] * 3
    own, asked = service.sleeps
    assert 0.375 <= own <= 0.5
    assert asked == 3


def test_two_retries_and_then_the_last_error(
    service: Any, service_error: Callable[..., httpx.Response], photo: Path
) -> None:
    service.instead = [service_error(503), httpx.ReadError("broke"), service_error(500, "The last one.")]
    with pytest.raises(retouch.InternalServerError, match="The last one"):
        service.client().locate(photo, "the apple")
    assert len(service.seen) == 3
    assert len(service.sleeps) == 2


def test_what_cannot_succeed_later_is_sent_once(
    service: Any, service_error: Callable[..., httpx.Response], photo: Path
) -> None:
    service.instead = [service_error(422, code="target_not_found")]
    with pytest.raises(retouch.TargetNotFound):
        service.client().edit(photo, "a lemon")
    assert (len(service.seen), service.sleeps) == (1, [])
