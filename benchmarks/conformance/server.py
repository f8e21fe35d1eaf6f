"""The server under test, and the two ways in which rows ask it: by the OpenAI SDK, and by plain HTTP as curl does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import httpx
import openai
from openai.types import ImagesResponse

from benchmarks.conformance import pictures
from benchmarks.conformance.rows import NotAsked

EDITS = "/images/edits"
PROMPT = "a lemon"
TIMEOUT_S = 300.0
SDK_PARAMETERS = inspect.signature(openai.resources.Images.edit).parameters.keys()
# A server may close a connection that rests, at the moment when the next row uses it: that would be its failure.
FRESH = {"connection": "close"}


class Server:
    """A server at `base_url`, such as http://127.0.0.1:8000/v1. Use it in a `with` block.

    `model` is sent with each request, unless it is None. `reused` keeps what several rows look at.
    """

    def __init__(self, base_url: str, api_key: str = "none", model: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self._kept: dict[str, Any] = {}
        self._options: dict[str, Any] = {
            "base_url": self.base_url,
            "api_key": api_key,
            "max_retries": 0,
            "timeout": TIMEOUT_S,
            "default_headers": FRESH,
        }
        self.sdk = openai.OpenAI(**self._options)
        headers = FRESH | {"authorization": f"Bearer {api_key}"}
        self.http = httpx.Client(base_url=self.base_url, headers=headers, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sdk.close()
        self.http.close()

    def async_sdk(self) -> openai.AsyncOpenAI:
        """Return the SDK's asynchronous client. The caller closes it."""
        return openai.AsyncOpenAI(**self._options)

    def stranger(self) -> openai.OpenAI:
        """Return the SDK's client with a key that nobody has. The caller closes it."""
        return openai.OpenAI(**self._options | {"api_key": "not-a-key"})

    def patient(self, http_client: Any) -> openai.OpenAI:
        """Return the SDK's client that tries three times, over this HTTP client. The caller closes it."""
        return openai.OpenAI(**self._options | {"max_retries": 2, "http_client": http_client})

    def edit(self, **fields: Any) -> ImagesResponse:
        """Return the SDK's answer to the usual edit with these fields changed or added; None takes a field away."""
        answer: ImagesResponse = self.sdk.images.edit(**self.fields(**fields))
        return answer

    def fields(self, **fields: Any) -> dict[str, Any]:
        """Return the usual edit, for the SDK, with these fields changed or added; None takes a field away.

        Raises NotAsked where the installed SDK is too old to have one of them.
        """
        if lacking := sorted(fields.keys() - SDK_PARAMETERS):
            raise NotAsked(f"the installed SDK, openai {openai.__version__}, lacks {', '.join(lacking)}")
        usual = {
            "image": ("picture.png", pictures.picture(), "image/png"),
            "mask": ("mask.png", pictures.mask(), "image/png"),
            **self.texts(),
        }
        return {name: value for name, value in (usual | fields).items() if value is not None}

    def texts(self, **fields: str | None) -> dict[str, str]:
        """Return the texts of the usual edit with these changed or added; None takes one away."""
        usual = {"prompt": PROMPT, "quality": "low", "model": self.model}
        return {name: value for name, value in (usual | fields).items() if value is not None}

    def files(self) -> dict[str, Any]:
        """Return the files of the usual edit, for httpx."""
        return {
            "image": ("picture.png", pictures.picture(), "image/png"),
            "mask": ("mask.png", pictures.mask(), "image/png"),
        }

    def body(self, **fields: Any) -> dict[str, Any]:
        """Return the usual edit as a JSON body with these fields changed or added; None takes one away."""
        usual: dict[str, Any] = {
            "images": [{"image_url": pictures.data_url(pictures.picture())}],
            "mask": {"image_url": pictures.data_url(pictures.mask())},
            **self.texts(),
        }
        return {name: value for name, value in (usual | fields).items() if value is not None}

    def post(self, headers: Mapping[str, str] | None = None, **fields: str | None) -> httpx.Response:
        """Send the usual edit as a multipart form with these texts changed or added, and return the answer."""
        return self.http.post(EDITS, data=self.texts(**fields), files=self.files(), headers=headers)

    def post_json(self, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx.Response:
        """Send the usual edit as JSON with these fields changed or added, and return the answer."""
        return self.http.post(EDITS, json=self.body(**fields), headers=headers)

    def reused(self, what: str, make: Callable[[], Any]) -> Any:
        """Return what `make` made when `what` was first asked for, so that rows may look at one answer."""
        if what not in self._kept:
            self._kept[what] = make()
        return self._kept[what]
