"""The errors of a call.

    RetouchError
    ├── APIConnectionError               no answer came; the request may be sent again
    │   └── APITimeoutError              no answer came in time
    ├── APIStatusError                   an answer other than 2xx, such as 413 or 415 for a picture that it cannot take
    │   ├── BadRequestError         400  a field has a value that the service refuses
    │   │   └── ContentFiltered     400  the safety checker holds back every picture that was painted
    │   ├── AuthenticationError     401
    │   ├── PermissionDeniedError   403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── UnprocessableEntityError 422
    │   │   └── TargetNotFound      422  the picture does not show what the text names
    │   ├── RateLimitError          429  the service is busy, or the key has used up its share
    │   └── InternalServerError   >=500
    └── InvalidResponse                  2xx, but not an answer to the request

A picture that cannot be read on this side raises the error of Python: `OSError` or `TypeError`.
"""

from __future__ import annotations

from typing import Any

from retouch.results import Location


class RetouchError(Exception):
    """The base of all errors of this package. `message` says in one or two sentences what went wrong."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(message, *details)
        self.message = message

    def __str__(self) -> str:
        return self.message


class APIConnectionError(RetouchError):
    """The service at `base_url` could not be reached, or the connection broke before it had answered."""

    def __init__(self, message: str, base_url: str) -> None:
        super().__init__(message, base_url)
        self.base_url = base_url


class APITimeoutError(APIConnectionError):
    """The service did not answer in time."""


class InvalidResponse(RetouchError):
    """The service answered 2xx, but a key of the answer is missing or holds a wrong value."""

    def __init__(self, message: str, request_id: str | None = None) -> None:
        super().__init__(message, request_id)
        self.request_id = request_id


class APIStatusError(RetouchError):
    """The service answered with an error, or ended a stream with one.

    `code` names the error for programs, and `param` names the field of the request that is at fault. The people who
    run the service find the request in their log by its `request_id`. `body` is the answer, as JSON if it is JSON, else
    as text.

    An error in a stream comes after the status of the answer, which is 200. Its `status_code` and its class are those
    that the error has elsewhere, by its code or else by its type. An error of neither a known code nor a known type is
    an `APIStatusError` with the status 200.
    """

    def __init__(
        self,
        message: str,
        status_code: int,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message, status_code, code, param, request_id, body)
        self.status_code = status_code
        self.code = code
        self.param = param
        self.request_id = request_id
        self.body = body

    @property
    def reference(self) -> str:
        """The status, the code and the request id on one line, for a log or a report."""
        words = [str(self.status_code), self.code or "", f"request {self.request_id}" if self.request_id else ""]
        return ", ".join(filter(None, [" ".join(filter(None, words[:2])), words[2]]))

    def __str__(self) -> str:
        return f"{self.message} ({self.reference})"


class BadRequestError(APIStatusError):
    """400: the request is malformed, or a field has a value that the service refuses; `param` names it."""


class AuthenticationError(APIStatusError):
    """401: the request has no API key, or a wrong one."""


class PermissionDeniedError(APIStatusError):
    """403: the key is known but may not do this."""


class NotFoundError(APIStatusError):
    """404: the service has no such address or model."""


class ConflictError(APIStatusError):
    """409: the request collides with another one."""


class UnprocessableEntityError(APIStatusError):
    """422: the request is right in itself, but cannot be done."""


class TargetNotFound(UnprocessableEntityError):
    """422 `target_not_found`: nothing in the picture matches the text well enough to repaint it.

    `location` has the best guess and the heat map, or is None if the answer has none.
    """

    location: Location | None = None


class ContentFiltered(BadRequestError):
    """400 `moderation_blocked`: the safety checker holds back every picture that was painted."""


class RateLimitError(APIStatusError):
    """429: the service has too many requests now. The same request may succeed later."""


class InternalServerError(APIStatusError):
    """500 and above: the service failed, or ran out of time."""


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}

_BY_CODE: dict[tuple[int, str | None], type[APIStatusError]] = {
    (400, "moderation_blocked"): ContentFiltered,
    (422, "target_not_found"): TargetNotFound,
}


def status_error_class(status_code: int, code: str | None) -> type[APIStatusError]:
    """Return the class of the error for an answer with this status and code."""
    if (status_code, code) in _BY_CODE:
        return _BY_CODE[status_code, code]
    if status_code >= 500:
        return InternalServerError
    return _BY_STATUS.get(status_code, APIStatusError)


_STATUS_BY_CODE: dict[str | None, int] = {
    "model_not_found": 404,
    "image_too_large": 413,
    "image_unsupported": 415,
    "unsupported_media_type": 415,
    "target_not_found": 422,
    "not_ready": 503,
    "deadline_exceeded": 504,
}
"""The statuses of the errors that have another one than their type stands for."""

_STATUS_BY_TYPE: dict[str | None, int] = {
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "server_error": 500,
}


def status_in_stream(code: str | None, type_name: str | None) -> int | None:
    """Return the status that an error has outside of a stream, or None if neither its code nor its type is known."""
    return _STATUS_BY_CODE.get(code, _STATUS_BY_TYPE.get(type_name))
