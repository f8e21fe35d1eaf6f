"""All groups of rows, in the order in which they are asked."""

from benchmarks.conformance.groups import (
    inputs,
    json_bodies,
    parameters,
    plain_http,
    refusals,
    retouch,
    retouch_retries,
    retouch_streams,
    retries,
    sdk,
    streams,
)
from benchmarks.conformance.rows import Group

GROUPS: tuple[Group, ...] = (
    sdk.ROWS,
    inputs.ROWS,
    parameters.ROWS,
    refusals.ROWS,
    plain_http.ROWS,
    json_bodies.ROWS,
    streams.ROWS,
    retries.ROWS,
    retouch.ROWS,
    retouch_streams.ROWS,
    retouch_retries.ROWS,
)
