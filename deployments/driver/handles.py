"""What the driver uses of Serve's handles: the stages' methods, and the responses of their calls.

Serve's own types leave open which methods a stage has and what they return. Here each stage names them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any, Protocol, TypeVar

import numpy as np

from deployments.messages import (
    Embedding,
    InpaintRequest,
    Masks,
    Painted,
    Preview,
    Progress,
    ScoreRequest,
    Search,
    SearchRequest,
    SegmentRequest,
    ViewsRequest,
)

Result = TypeVar("Result", covariant=True)
Request = TypeVar("Request", contravariant=True)


class Cancellable(Protocol):
    """A call that was made."""

    def cancel(self) -> object: ...


class Response(Cancellable, Protocol[Result]):
    """A call of which one result is awaited. Unresolved, it may be an argument of another call."""

    def __await__(self) -> Generator[Any, None, Result]: ...


class Stream(Cancellable, Protocol[Result]):
    """A call that gives several items, one after the other."""

    def __aiter__(self) -> AsyncIterator[Result]: ...


class Method(Protocol[Request, Result]):
    """A method of a stage that takes one request."""

    def remote(self, request: Request, /) -> Response[Result]: ...


class SegmentMethod(Protocol):
    """SAM's decoder. The embedding goes from replica to replica, as the response of the encoder's call."""

    def remote(self, embedding: Response[Embedding], request: SegmentRequest, /) -> Response[Masks]: ...


class CutOutMethod(Protocol):
    """SAM's encoder and decoder in one call."""

    def remote(self, image: np.ndarray, request: SegmentRequest, /) -> Response[Masks]: ...


class InpaintStream(Protocol):
    """The inpaint model's method that gives the progress of its steps, previews, and last what it painted."""

    def remote(self, request: InpaintRequest, previews: int, /) -> Stream[Progress | Preview | Painted]: ...


class ClipHandle(Protocol):
    """The handle of the stage that finds and scores."""

    @property
    def locate(self) -> Method[SearchRequest, Search]: ...

    @property
    def score(self) -> Method[ScoreRequest, float]: ...

    @property
    def score_views(self) -> Method[ViewsRequest, list[float]]: ...


class SamHandle(Protocol):
    """The handle of the stage that cuts out; pictures are HxWx3 uint8."""

    @property
    def encode(self) -> Method[np.ndarray, Embedding]: ...

    @property
    def segment(self) -> SegmentMethod: ...

    @property
    def cut_out(self) -> CutOutMethod: ...

    def options(self, *, session_id: str) -> SamHandle:
        """Return the handle whose calls go to the same replica each time, as long as that has room."""


class StreamingInpaintHandle(Protocol):
    """The handle of the stage that repaints, for calls that stream."""

    @property
    def inpaint_stream(self) -> InpaintStream: ...


class InpaintHandle(Protocol):
    """The handle of the stage that repaints."""

    @property
    def inpaint(self) -> Method[InpaintRequest, Painted]: ...

    def options(self, *, stream: bool) -> StreamingInpaintHandle: ...
