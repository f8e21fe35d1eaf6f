"""A request on its way through the engine: its paintings, what is finished of them, and the answer made of that."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from deployments.inpaint.painting import Painting
from deployments.inpaint.policy import rows_left
from deployments.messages import InpaintRequest, Painted, Span


@dataclass(frozen=True, eq=False)
class StepTaken:
    """One step of a painting: number `painting` of a request, as `Job` counts them, has taken `step` of `steps`.

    `preview` SxSx3 uint8 is how it would look if it were finished now, where one was asked for and may be shown. Only
    paintings of the first seed have previews; they are those whose number is the index of their square.
    """

    painting: int
    step: int
    steps: int
    preview: np.ndarray | None = None


OnProgress = Callable[[StepTaken], None]


class Job:
    """A request under way. `future` has its `Painted`, or the error; it is cancelled with the job.

    Its paintings are numbered from 0: all squares of the first seed, then all of the second, and so on.
    """

    def __init__(self, request: InpaintRequest, on_progress: OnProgress | None, previews: int) -> None:
        self.request = request
        self.on_progress = on_progress
        self.previews = previews
        self.future: Future[Painted] = Future()
        self.paintings: list[Painting] = []
        self.pictures: dict[int, np.ndarray] = {}  # by the number of the painting
        self.flagged: set[int] = set()  # indices of seeds
        self.hides_previews = False
        self.held_bytes = sum(square.image.nbytes for square in request.squares) * (1 + len(request.seeds))
        self.text_tokens = 0
        self.execution = ""  # how all steps of all its paintings are run
        self.precision = ""
        self.prepared_s = (0.0, 0.0)
        self.ended_s = 0.0

    @property
    def size(self) -> int:
        """Return how many paintings the request asks for."""
        return len(self.request.squares) * len(self.request.seeds)

    @property
    def row_steps_left(self) -> int:
        """What is still to be done. Before the job is prepared its pictures are taken for guided ones, of two rows."""
        if self.paintings:
            return sum(map(rows_left, self.paintings))
        return 2 * self.size * (self.request.options.num_inference_steps or 0)

    def seed_of(self, painting: int) -> int:
        """Return the index of the seed that a painting belongs to."""
        return painting // len(self.request.squares)

    def side_of(self, painting: int) -> int:
        """Return the side in pixels of the square that a painting belongs to."""
        return int(self.request.squares[painting % len(self.request.squares)].image.shape[0])

    def painted(self) -> Painted:
        """Return the answer, once all paintings are finished."""
        squares, seeds = len(self.request.squares), range(len(self.request.seeds))
        return Painted(
            images=tuple(np.stack([self.pictures[seed * squares + j] for seed in seeds]) for j in range(squares)),
            guidance_scale=self.paintings[0].guidance_scale,
            flagged=tuple(seed in self.flagged for seed in seeds),
            execution=self.execution,
            precision=self.precision,
            row_steps=sum(painting.rows * painting.taken for painting in self.paintings),
            text_tokens=self.text_tokens,
            spans=self._spans(),
        )

    def _spans(self) -> tuple[Span, ...]:
        joined = min(painting.joined_s for painting in self.paintings)
        return (
            Span("inpaint.prepare", *self.prepared_s),
            Span("inpaint.wait", self.prepared_s[1], joined),
            Span("inpaint.steps", joined, self.ended_s),
            Span("inpaint.decode", self.ended_s, time.time()),
        )
