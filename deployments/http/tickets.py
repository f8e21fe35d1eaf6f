"""Which requests may be sent again: those with an `Idempotency-Key`, and those that the OpenAI SDK counts.

The SDK sends a request again by itself where it got no answer, with `x-stainless-retry-count` above 0 and without a key
of its own. What such a request asks for is told from its fields and files, and not from its body: that has another
multipart boundary each time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import Any

from starlette.datastructures import Headers

from deployments.errors import InvalidInput
from deployments.http.forms import Form
from deployments.messages import Ticket

KEY = "Idempotency-Key"
RETRY_COUNT = "x-stainless-retry-count"
KEY_PATTERN = "[!-~]{1,255}"
_COUNT = re.compile(r"[0-9]{1,4}")


def may_come_again(headers: Headers) -> bool:
    """Return whether the request has a ticket. Raises InvalidInput for a key that none can have."""
    return key_of(headers) is not None or retry_count_of(headers) is not None


def ticket_of(headers: Headers, route: str, form: Form) -> Ticket:
    """Return the ticket of a request that may come again. It belongs to the caller who sent this Authorization alone.

    Takes a while for large files.
    """
    digest = _digest([route, headers.get("accept", ""), form])
    caller = [route, headers.get("authorization", "")]
    key = key_of(headers)
    if key is not None:
        return Ticket(_digest(["key", *caller, key]), digest, keeps=True, joins=True)
    return Ticket(_digest(["same", *caller, digest]), digest, keeps=False, joins=bool(retry_count_of(headers)))


def key_of(headers: Headers) -> str | None:
    """Return the `Idempotency-Key`, None without one. Raises InvalidInput for one that cannot be used."""
    keys = headers.getlist(KEY)
    if not keys:
        return None
    if len(keys) > 1 or not re.fullmatch(KEY_PATTERN, keys[0]):
        raise InvalidInput(f"`{KEY}` must be one text of 1 to 255 visible ASCII characters without spaces.", KEY)
    return keys[0]


def retry_count_of(headers: Headers) -> int | None:
    """Return how often the OpenAI SDK has sent this request before, None where it is not the SDK's."""
    count = headers.get(RETRY_COUNT, "")
    return int(count) if _COUNT.fullmatch(count) else None


def _digest(value: Any) -> str:
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    """Add a value to the digest, with its kind and its length, so that no two values look the same.

    The fields of a dataclass are added by name: a field that a form gets one day is part of its digest.
    """
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        value = sorted(value.items())
    if isinstance(value, (list, tuple)):
        digest.update(b"list %d " % len(value))
        for item in value:
            _feed(digest, item)
        return
    data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
    digest.update(b"%s %d " % (type(value).__name__.encode(), len(data)))
    digest.update(data)
