"""The calls the service understands, as values: what is sent, and how the answer is read.

Nothing here sends anything, so both clients share it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NoReturn, TypeVar

import httpx

from retouch.answers import read_edit, read_location, read_score
from retouch.defaults import READY_TIMEOUT_S
from retouch.errors import APIConnectionError, InternalServerError, RateLimitError, RetouchError
from retouch.pictures import ImageInput, Picture, read_picture
from retouch.results import EditResult, Location

T = TypeVar("T")


def give_up(error: RetouchError) -> NoReturn:
    """What most calls do about an error."""
    raise error


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how to understand what comes back.

    `read` turns a 2xx answer into the result, `excuse` turns a failure into a result or raises it.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    fields: Mapping[str, str] = field(default_factory=dict)
    picture: Picture | None = None
    excuse: Callable[[RetouchError], T] = give_up
    is_retried: bool = True
    timeout_s: float | None = None

    @property
    def files(self) -> dict[str, tuple[str, bytes, str]]:
        """The file parts of the form, as httpx wants them."""
        if self.picture is None:
            return {}
        return {"image": (self.picture.file_name, self.picture.content, self.picture.media_type)}


def edit_call(
    image: ImageInput,
    prompt: str,
    target: str | None = None,
    negative_prompt: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    strength: float | None = None,
    scheduler: str | None = None,
) -> Call[EditResult]:
    """Find `target`, repaint it as `prompt`."""
    fields = _set_fields(
        prompt=prompt,
        target=target,
        negative_prompt=negative_prompt,
        n=n,
        seed=seed,
        num_inference_steps=num_inference_steps,
        guidance_scale=guidance_scale,
        strength=strength,
        scheduler=scheduler,
        response_format="b64_json",
    )
    return Call("POST", "/v1/images/edits", read_edit, fields, read_picture(image))


def locate_call(image: ImageInput, target: str) -> Call[Location]:
    """Say where `target` is."""
    return Call("POST", "/v1/locate", read_location, _set_fields(target=target), read_picture(image))


def score_call(image: ImageInput, text: str) -> Call[float]:
    """Say how well `text` describes the picture."""
    return Call("POST", "/v1/score", read_score, _set_fields(text=text), read_picture(image))


def ready_call() -> Call[bool]:
    """Ask, once and briefly, whether the service can take work."""
    return Call("GET", "/readyz", _yes, excuse=_not_now, is_retried=False, timeout_s=READY_TIMEOUT_S)


def _set_fields(**fields: str | int | float | None) -> dict[str, str]:
    return {name: str(value) for name, value in fields.items() if value is not None}


def _yes(response: httpx.Response) -> bool:
    return True


def _not_now(error: RetouchError) -> bool:
    """Away, starting or busy is an answer to "are you ready?"; a wrong key or address is not."""
    if isinstance(error, (APIConnectionError, InternalServerError, RateLimitError)):
        return False
    raise error
