"""A client of Retouch, the service that edits pictures by words.

    from retouch import Retouch

    with Retouch() as client:
        result = client.edit("photo.jpg", "a lemon", target="the apple")
        result.image.save("edited.png")

`AsyncRetouch` has the same calls for asyncio.
"""

__version__ = "0.1.0"  # comes first, because `connection` imports it from here

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
from retouch.results import (
    Candidate,
    Edit,
    EditResult,
    InputTokens,
    Location,
    MarkupRead,
    MaskRead,
    PartialImage,
    Progress,
    Score,
    StreamEvent,
    Usage,
)

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
    "InputTokens",
    "InternalServerError",
    "InvalidResponse",
    "Location",
    "MarkupRead",
    "MaskRead",
    "NotFoundError",
    "PartialImage",
    "PermissionDeniedError",
    "Progress",
    "RateLimitError",
    "Retouch",
    "RetouchError",
    "Score",
    "StreamEvent",
    "TargetNotFound",
    "UnprocessableEntityError",
    "Usage",
    "__version__",
]
