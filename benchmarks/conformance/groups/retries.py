"""Retries: what the SDK sends when it tries again, and when it must not."""

from __future__ import annotations

import uuid

import openai

from benchmarks.conformance.answers import edited, edited_json
from benchmarks.conformance.rows import Group, check
from benchmarks.conformance.server import Server

ROWS = Group("retries", "Retries")


@ROWS.row
def first_try(server: Server) -> None:
    """An edit is answered at the first try"""
    raw = server.sdk.with_options(max_retries=2).images.with_raw_response.edit(**server.fields())
    edited(raw.parse())
    check(raw.retries_taken == 0, f"it took {raw.retries_taken} retries")


@ROWS.row
def second_try(server: Server) -> None:
    """A second try, with x-stainless-retry-count, is served like a first"""
    edited_json(server.post(headers={"x-stainless-retry-count": "1"}))


@ROWS.row
def idempotency_key(server: Server) -> None:
    """A request with an Idempotency-Key is served"""
    edited(server.edit(extra_headers={"Idempotency-Key": f"conformance-{uuid.uuid4().hex}"}))


@ROWS.row
def no_second_try(server: Server) -> None:
    """The SDK does not send a wrong request again"""
    sent: list[str] = []
    http = openai.DefaultHttpxClient(event_hooks={"request": [lambda request: sent.append(request.method)]})
    with server.patient(http) as patient:
        try:
            patient.images.edit(**server.fields(n=0))
        except openai.APIStatusError as error:
            check(len(sent) == 1, f"it was sent {len(sent)} times: status {error.status_code}")
            return
    check(False, "it was served")
