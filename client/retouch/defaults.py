"""Every default of the client, in seconds where a name ends in `_s`."""

BASE_URL = "http://127.0.0.1:8000"

TIMEOUT_S = 600.0
"""How long an edit may take. Painting is slow, and a queue may be in front of it."""

CONNECT_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 10.0

MAX_RETRIES = 2
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 8.0
LONGEST_RETRY_AFTER_S = 120.0
"""A service that wants us back later than this does not get a second try."""

JITTER = 0.25
"""The largest share by which chance shortens a wait, so that clients do not come back all at once."""
