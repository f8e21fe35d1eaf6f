"""The Hugging Face hub: what its local cache holds, and small files that are read from it within a short time.

`huggingface_hub` itself tries again for 23 seconds where there is no network. It is imported only when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from deployments.serving.checkpoints.reasons import reason

T = TypeVar("T")

PATIENCE_S = 3.0  # of someone who waits for a start
LOADING_PATIENCE_S = 15.0  # of a replica, which waits for gigabytes anyway


class Unreachable(Exception):
    """The hub gives no answer; the message says why."""


class NotReadable(Exception):
    """The hub has no such model, or does not let this machine read it."""


class NoSuchRevision(Exception):
    """The hub has the model, but not the revision that is asked for."""


def cached(repo: str, file: str, revision: str | None) -> Path | None:
    """Return where the local cache has a file of the hub. Raises ValueError when `repo` cannot be an id of the hub."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


class Hub:
    """The hub, asked with a time limit of `patience_s`. Once it could not be reached, it is not asked again."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._unreachable: Unreachable | None = None

    def read(self, repo: str, file: str, revision: str | None) -> bytes | None:
        """Return the content of a small file; None when the model has no such file."""
        from huggingface_hub import errors

        try:
            return self._ask(lambda: _download(repo, file, revision, self._patience_s))
        except errors.EntryNotFoundError:
            return None

    def files(self, repo: str) -> list[str]:
        """Return the names of all files of a model."""
        from huggingface_hub import HfApi

        info = self._ask(lambda: HfApi().model_info(repo, timeout=self._patience_s))
        return [sibling.rfilename for sibling in info.siblings or ()]

    def _ask(self, question: Callable[[], T]) -> T:
        from huggingface_hub import errors

        if self._unreachable:
            raise self._unreachable
        try:
            return self._in_time(question)
        except errors.EntryNotFoundError:
            raise
        except errors.RevisionNotFoundError as error:
            raise NoSuchRevision from error
        except Exception as error:
            if _denied(error):
                raise NotReadable from error
            self._unreachable = Unreachable(_why(error))
            raise self._unreachable from error

    def _in_time(self, question: Callable[[], T]) -> T:
        """Return the answer or raise TimeoutError: looking a name up on the network has no time limit of its own."""
        answers: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()
        Thread(target=lambda: answers.put(_attempt(question)), name="hub", daemon=True).start()
        try:
            answer, error = answers.get(timeout=self._patience_s + 0.2)
        except Empty:
            raise TimeoutError(f"no answer within {self._patience_s:g} s") from None
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]


def _attempt(question: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return question(), None
    except Exception as error:
        return None, error


def _download(repo: str, file: str, revision: str | None, timeout_s: float) -> bytes:
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

    url = hf_hub_url(repo, file, revision=revision)
    response = get_session().get(url, headers=build_hf_headers(), timeout=timeout_s)
    hf_raise_for_status(response)
    return bytes(response.content)


def _denied(error: Exception) -> bool:
    from huggingface_hub import errors

    if isinstance(error, errors.RepositoryNotFoundError):
        return True
    return isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403, 404)


def _why(error: Exception) -> str:
    from huggingface_hub import errors

    return "HF_HUB_OFFLINE is set" if isinstance(error, errors.OfflineModeIsEnabled) else reason(error)
