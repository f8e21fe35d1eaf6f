"""The client. It differs from the awaited one in how it sends, sleeps and closes; everything else is shared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import ParamSpec, TypeVar

import httpx

from retouch.calls import Call, edit_call, locate_call, ready_call, score_call
from retouch.choices import Fill, MaskMode, MaskShape, Mode
from retouch.connection import BASE_URL, TIMEOUT_S, BaseClient, Settings, build_request, conclude
from retouch.pictures import ImageInput
from retouch.results import Box, EditResult, Location, Point
from retouch.retries import MAX_RETRIES, Outcome

P = ParamSpec("P")
T = TypeVar("T")


class Retouch(BaseClient):
    """A client of the service at `base_url`. Close it, or use it in a `with` block. Threads may share it.

    `timeout_s` is how long one try may take, `max_retries` how often a try that may succeed later is
    repeated. `transport` and `sleep` replace how requests travel and how the waits between tries pass.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        api_key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(Settings(base_url, api_key, timeout_s, max_retries))
        self._http = httpx.Client(transport=transport, **self._settings.for_httpx())
        self._sleep = sleep

    def edit(
        self,
        image: ImageInput,
        prompt: str | None = None,
        *,
        target: str | None = None,
        avoid: str | None = None,
        all: bool | None = None,
        mode: Mode | None = None,
        points: Sequence[Point] | None = None,
        labels: Sequence[int] | None = None,
        box: Box | None = None,
        mask: ImageInput | None = None,
        mask_mode: MaskMode | None = None,
        candidate: int | None = None,
        mask_shape: MaskShape | None = None,
        dilation: float | None = None,
        negative_prompt: str | None = None,
        n: int | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        strength: float | None = None,
        fill: Fill | None = None,
        scheduler: str | None = None,
        min_score: float | None = None,
    ) -> EditResult:
        """Find `target` in `image` and repaint it as `prompt`; without `target` the prompt says what to find.

        What to repaint: nothing that `avoid` names is taken for the target. `all` repaints every one of the things that
        the target names, False only one; left out, its words say ("each lemon", "the dogs"). `points` (x, y), whose
        `labels` are 1 on it and 0 not on it (left out: all 1), or a `box` replace the search by words. A `mask` of the
        picture's size leaves nothing to search: repainted is what is transparent in it, or white if it has no alpha
        channel; `mask_mode` says which to go by. A `target` beside these has to name what lies there. `candidate` takes
        another of those that `locate` lists. `mask_shape` and `dilation` (a share of the region's longest side) say how
        much around it may be painted.

        How: `n` pictures are painted from different seeds and come best first. `strength` below 1 keeps more of what is
        there, and `fill` says what the painting starts from. While the best one scores below `min_score` in its region,
        others are painted from further seeds, as often as the service allows. `mode` "remove" is `remove`.

        What is left None is chosen by the service. Raises `TargetNotFound` if the picture does not show the target, and
        `ContentFiltered` if the safety checker holds back every picture.
        """
        return self._run(
            edit_call,
            image,
            prompt=prompt,
            target=target,
            avoid=avoid,
            all=all,
            mode=mode,
            points=points,
            labels=labels,
            box=box,
            mask=mask,
            mask_mode=mask_mode,
            candidate=candidate,
            mask_shape=mask_shape,
            dilation=dilation,
            negative_prompt=negative_prompt,
            n=n,
            seed=seed,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            strength=strength,
            fill=fill,
            scheduler=scheduler,
            min_score=min_score,
        )

    def remove(
        self,
        image: ImageInput,
        target: str | None = None,
        *,
        avoid: str | None = None,
        all: bool | None = None,
        points: Sequence[Point] | None = None,
        labels: Sequence[int] | None = None,
        box: Box | None = None,
        mask: ImageInput | None = None,
        mask_mode: MaskMode | None = None,
        candidate: int | None = None,
        mask_shape: MaskShape | None = None,
        dilation: float | None = None,
    ) -> EditResult:
        """Find `target` in `image` and fill its place from the surroundings, by a classical method without a model.

        The options are those of `edit` that say what is meant.
        """
        return self._run(
            edit_call,
            image,
            mode="remove",
            target=target,
            avoid=avoid,
            all=all,
            points=points,
            labels=labels,
            box=box,
            mask=mask,
            mask_mode=mask_mode,
            candidate=candidate,
            mask_shape=mask_shape,
            dilation=dilation,
        )

    def locate(
        self,
        image: ImageInput,
        target: str | None = None,
        *,
        avoid: str | None = None,
        all: bool | None = None,
        points: Sequence[Point] | None = None,
        labels: Sequence[int] | None = None,
        box: Box | None = None,
    ) -> Location:
        """Find `target` in `image` without painting, or cut out what `points` or a `box` mean; options as in `edit`.

        What is not there has `found` False and raises nothing.
        """
        return self._run(
            locate_call,
            image,
            target=target,
            avoid=avoid,
            all=all,
            points=points,
            labels=labels,
            box=box,
        )

    def score(self, image: ImageInput, text: str) -> float:
        """How well `text` describes `image`: CLIP's cosine, -1..1; 0.2 to 0.35 is usual for a good match."""
        return self._run(score_call, image, text)

    def ready(self) -> bool:
        """Whether the service takes work now. Asked once, without retries."""
        return self._run(ready_call)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Retouch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, build: Callable[P, Call[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        call = build(*args, **kwargs)
        retries = 0
        outcome = self._send(call)
        while (wait_s := self._wait_s(call, outcome, retries)) is not None:
            self._sleep(wait_s)
            retries += 1
            outcome = self._send(call)
        return conclude(call, outcome, self._settings)

    def _send(self, call: Call[T]) -> Outcome:
        try:
            return self._http.send(build_request(self._http, call))
        except httpx.RequestError as error:
            return error
