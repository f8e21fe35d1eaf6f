"""Edit pictures by words: a client of the Retouch service.

    from retouch import Retouch

    with Retouch() as client:
        result = client.edit("photo.jpg", "a lemon", target="the apple")
        result.image.save("edited.png")

`AsyncRetouch` is the same, awaited.
"""

from retouch.async_client import AsyncRetouch
from retouch.client import Retouch
from retouch.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ContentFiltered,
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
from retouch.results import Candidate, Edit, EditResult, Location, MaskRead, Score
from retouch.version import __version__

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncRetouch",
    "AuthenticationError",
    "BadRequestError",
    "Candidate",
    "ConflictError",
    "ContentFiltered",
    "Edit",
    "EditResult",
    "ImageInput",
    "InternalServerError",
    "InvalidResponse",
    "Location",
    "MaskRead",
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
