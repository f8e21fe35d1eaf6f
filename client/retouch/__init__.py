"""Edit pictures by words: a client of the Retouch service.

    from retouch import Retouch

    with Retouch() as client:
        result = client.edit("photo.jpg", "a lemon", target="the apple")
        result.image.save("edited.png")

`AsyncRetouch` is the same, awaited.
"""

from retouch.client import AsyncRetouch, Retouch
from retouch.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    InvalidResponse,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RetouchError,
    TargetNotFound,
    UnprocessableEntityError,
)
from retouch.pictures import ImageInput
from retouch.results import Edit, EditResult, Location, Score
from retouch.version import __version__

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncRetouch",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "Edit",
    "EditResult",
    "ImageInput",
    "InternalServerError",
    "InvalidResponse",
    "Location",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "Retouch",
    "RetouchError",
    "Score",
    "TargetNotFound",
    "UnprocessableEntityError",
    "__version__",
]
