"""Every way a request can fail, each with its HTTP status and code.

    ServiceError
    ├── InvalidInput         400  a field has a value we cannot use
    │   ├── UnknownField     400  a field we do not know, so would have to ignore
    │   ├── InvalidImage     400  the picture cannot be read
    │   ├── UnsupportedImage 415  the file is no PNG, JPEG or WebP
    │   ├── ImageTooLarge    413  too many bytes or pixels
    │   ├── KeyReused        400  the Idempotency-Key belongs to a request that asked for something else
    │   ├── UnsupportedBody  415  the body is neither a multipart form nor JSON
    │   └── BrokenForm       400  the multipart form ends too early or cannot be taken apart
    ├── ModelNotFound        404  the request names a model that is not served here
    ├── TargetNotFound       422  the picture does not show what the text names
    ├── ContentFiltered      400  the safety checker holds back every picture that was painted
    ├── Overloaded           429  no room in the queue now; retry after `retry_after_s`
    ├── NotReady             503  some stages cannot work
    ├── DeadlineExceeded     504  the edit took longer than it was allowed to
    └── ModelFailed          500  a stage failed; the cause is in the log, never in the answer

Messages reach the caller, so none may quote a decoder, a traceback or a path. All arguments are
positional and go to `Exception.__init__`, so that errors survive the trip between processes.

A configuration fails in its own way, before any request: SettingError names the setting, and its subclass
NotOnThisMachine says that another machine may have what is missing here. StartFailed is what comes of it where only a
replica found out. Their messages are for the operator and may quote what the configuration says.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class ServiceError(Exception):
    """A failure with an answer for the caller. `param` names the request field at fault."""

    status = 500
    code = "internal_error"
    type = "server_error"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.message = message
        self.param = param

    def __str__(self) -> str:
        return self.message


class InvalidInput(ServiceError):
    """A field has a value we cannot use; the message says which values we can."""

    status = 400
    code = "invalid_value"
    type = "invalid_request_error"


class UnknownField(InvalidInput):
    """A field that we do not know. Nothing that is sent is ignored in silence."""

    code = "unknown_parameter"


class InvalidImage(InvalidInput):
    """The bytes are of a format we read, but no picture can be made of them."""

    code = "image_invalid"


class UnsupportedImage(InvalidInput):
    """The bytes are no PNG, JPEG or WebP, whatever their name or content type says."""

    status = 415
    code = "image_unsupported"


class ImageTooLarge(InvalidInput):
    """More bytes, pixels or a longer side than the limits allow."""

    status = 413
    code = "image_too_large"


class ModelNotFound(ServiceError):
    """The request names a model that is not served here."""

    status = 404
    code = "model_not_found"
    type = "invalid_request_error"


class UnsupportedBody(InvalidInput):
    """The body is neither a multipart form nor JSON, or not in UTF-8."""

    status = 415
    code = "unsupported_media_type"


class KeyReused(InvalidInput):
    """The Idempotency-Key came before with a request that asked for something else, so it has another answer."""

    code = "idempotency_key_reused"


class BrokenForm(InvalidInput):
    """The body says that it is a multipart form, and is none."""

    status = 400
    code = "invalid_multipart"


class TargetNotFound(ServiceError):
    """Nothing in the picture matches the text well enough; `location` (a `messages.Location`) has the best guess.

    `size` is (width, height) of the picture in pixels, in which the location's points and boxes lie.
    """

    status = 422
    code = "target_not_found"
    type = "invalid_request_error"

    def __init__(self, location: Any, size: tuple[int, int]) -> None:
        x, y = location.point_xy
        message = (
            f"Found nothing in the picture that matches {location.phrase!r}. "
            f"The best guess is at ({x}, {y}) with confidence {location.confidence:.2f}."
        )
        super().__init__(message, "target")
        self.args = (location, size)
        self.location = location
        self.size = size


class ContentFiltered(ServiceError):
    """The safety checker objects to every picture that was painted, so there is none to show.

    `details` say so in OpenAI's form: what was looked at, and which of its categories it fell into. The checker looks
    at what was painted, and knows no categories.
    """

    status = 400
    code = "moderation_blocked"
    type = "invalid_request_error"
    details: Mapping[str, Any] = MappingProxyType({"moderation_stage": "output", "categories": ()})

    def __init__(self, seeds: tuple[int, ...], removes: bool = False) -> None:
        other, param = ("seed, or `fill_method` classical,", "seed") if removes else ("prompt or seed", "prompt")
        super().__init__(f"The safety checker holds back what was painted. Another {other} may do.", param)
        self.args = (seeds, removes)
        self.seeds = seeds


class Overloaded(ServiceError):
    """The queue is full; the same request will be welcome after `retry_after_s` seconds."""

    status = 429
    code = "overloaded"
    type = "rate_limit_error"

    def __init__(self, message: str = "The service is busy.", retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.args = (message, retry_after_s)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(ServiceError):
    """The edit was stopped because its time was up."""

    status = 504
    code = "deadline_exceeded"


class NotReady(ServiceError):
    """Some stages cannot work yet, or not any more."""

    status = 503
    code = "not_ready"


class ModelFailed(ServiceError):
    """A stage raised something unforeseen. The caller learns the stage and nothing else."""

    code = "model_failed"


class OtherWeights(Exception):
    """An embedding came from other weights than those that should read it: SAM was updated between the two calls.

    No caller gets it as an answer: the driver has the picture seen anew.
    """


class SettingError(ValueError):
    """A setting that cannot be used: `setting` is its name, such as "sam.model", `problem` says why in a sentence."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}"


class NotOnThisMachine(SettingError):
    """A path or a device that is missing here. The machine that a replica runs on may have it.

    `missing` says what is missing, without a full stop, and `wish` what to give instead; `problem` is both.
    """

    def __init__(self, setting: str, missing: str, wish: str) -> None:
        super().__init__(setting, f"{missing}. {wish}")
        self.args = (setting, missing, wish)
        self.missing = missing


class StartFailed(RuntimeError):
    """The graph cannot start. `sentences` say why, one for each deployment that failed."""

    def __init__(self, causes: Mapping[str, str]) -> None:
        # A cause that starts with the name of a setting, such as "sam.model", names the deployment already.
        named = {stage: cause.startswith(f"{stage}.") for stage, cause in causes.items()}
        self.sentences = tuple(
            cause if named[stage] else f"{stage} cannot start: {cause}" for stage, cause in causes.items()
        )
        super().__init__(" ".join(self.sentences))
