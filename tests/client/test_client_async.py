"""The awaited client does what the other one does."""

from __future__ import annotations

import asyncio
import inspect
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import retouch
from PIL import Image
from retouch import AsyncRetouch, Retouch

CALLS: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("edit", ("a lemon",), {}),
    ("edit", ("a lemon",), {"target": "the apple", "n": 2, "seed": 3, "num_inference_steps": 9, "guidance_scale": 2.5}),
    ("edit", ("a lemon",), {"negative_prompt": "blur", "strength": 0.4, "scheduler": "euler"}),
    ("edit", ("a lemon",), {"points": [(20, 10), (5, 6)], "labels": [1, 0], "box": (1, 2, 30, 20), "fill": "blur"}),
    ("edit", ("a lemon",), {"mask": Image.new("L", (48, 32), 255), "mask_mode": "luminance", "min_score": 0.2}),
    ("edit", ("a lemon",), {"markup": Image.new("RGBA", (48, 32)), "quality": "max", "idempotency_key": "edit-7"}),
    ("remove", ("the apple",), {"avoid": "the pear", "candidate": 1, "mask_shape": "box", "dilation": 0.1}),
    ("remove", ("the apple",), {"fill_method": "painter", "n": 2, "seed": 3}),
    ("locate", ("the apple",), {"avoid": "the pear"}),
    ("locate", (), {"points": [(20, 10)]}),
    ("score", ("a lemon",), {}),
]


def both(service: Any, name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """What the two clients return for the same call."""

    async def awaited() -> Any:
        async with service.async_client() as client:
            return await getattr(client, name)(*args, **options)

    with service.client() as client:
        plain = getattr(client, name)(*args, **options)
    return plain, asyncio.run(awaited())


@pytest.mark.parametrize(("name", "texts", "options"), CALLS)
def test_same_request_same_result(
    service: Any, photo: Path, name: str, texts: tuple[str, ...], options: dict[str, Any]
) -> None:
    plain, awaited = both(service, name, photo, *texts, **options)
    assert plain == awaited
    first, second = service.seen
    assert (first.method, first.path, first.form, first.timeout) == (
        second.method,
        second.path,
        second.form,
        second.timeout,
    )


def test_both_are_ready(service: Any) -> None:
    assert both(service, "ready") == (True, True)


def test_a_closed_client_sends_nothing(service: Any) -> None:
    async def closed() -> None:
        async with service.async_client() as client:
            assert await client.ready()
        await client.ready()

    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(closed())
    assert len(service.seen) == 1


def test_retries_and_then_succeeds(service: Any, service_error: Callable[..., httpx.Response], photo: Path) -> None:
    async def edit() -> retouch.EditResult:
        async with service.async_client() as client:
            result: retouch.EditResult = await client.edit(photo, "a lemon")
            return result

    service.instead = [httpx.ConnectError("refused"), service_error(429, retry_after="3")]
    assert asyncio.run(edit()).target == "a lemon"
    assert (len(service.seen), service.sleeps[1]) == (3, 3)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(422, "target_not_found", retouch.TargetNotFound), (401, "invalid_api_key", retouch.AuthenticationError)],
)
def test_raises_the_same_errors(
    service: Any,
    service_error: Callable[..., httpx.Response],
    photo: Path,
    status: int,
    code: str,
    kind: type[Exception],
) -> None:
    async def edit() -> None:
        async with service.async_client() as client:
            await client.edit(photo, "a lemon")

    service.instead = [service_error(status, code=code)]
    with pytest.raises(kind):
        asyncio.run(edit())


def test_pictures_are_read_off_the_event_loop(service: Any, photo: Path) -> None:
    threads: list[int] = []
    content = photo.read_bytes()

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            threads.append(threading.get_ident())
            return super().read(size)

    async def score() -> int:
        async with service.async_client() as client:
            await client.score(Watched(content), "a lemon")
        return threading.get_ident()

    loop_thread = asyncio.run(score())
    assert threads
    assert loop_thread not in threads


def test_cancelling_stops_the_wait(service: Any, service_error: Callable[..., httpx.Response], photo: Path) -> None:
    async def cancelled() -> None:
        async with AsyncRetouch(transport=httpx.MockTransport(service)) as client:
            await asyncio.wait_for(client.score(photo, "a lemon"), timeout=0.2)

    service.instead = [service_error(429, retry_after="100")]
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(cancelled())
    assert len(service.seen) == 1


def test_the_twins_have_the_same_calls() -> None:
    def signatures(kind: type) -> dict[str, inspect.Signature]:
        calls = {name: call for name, call in vars(kind).items() if inspect.isfunction(call) and name[0] != "_"}
        return {name.replace("aclose", "close"): inspect.signature(call) for name, call in calls.items()}

    plain, awaited = signatures(Retouch), signatures(AsyncRetouch)
    streams = [twins.pop("edit_stream") for twins in (plain, awaited)]
    assert plain == awaited
    assert streams[0].parameters == streams[1].parameters
    assert [each.return_annotation for each in streams] == [
        "Generator[StreamEvent, None, None]",
        "AsyncGenerator[StreamEvent, None]",
    ]
    options = [set(inspect.signature(kind).parameters) for kind in (Retouch, AsyncRetouch)]
    assert options[0] == options[1]
