"""The painting of a plan: its regions are painted for each seed, or filled from their surroundings; the result is put
back into the picture and scored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from deployments.config import PaintingSettings
from deployments.driver.calls import Calls
from deployments.driver.handles import ClipHandle, InpaintHandle
from deployments.driver.jobs import EditJob
from deployments.driver.previews import Previews
from deployments.errors import ContentFiltered
from deployments.limits import SEED_LIMIT
from deployments.messages import Edit, InpaintRequest, Painted, Preview, Progress, Score, Span, ViewsRequest
from deployments.pixels import colours, pasting, removal
from deployments.pixels.regions import Plan

MOST_SCORED_AT_ONCE = 32  # pictures and crops of a request; all those of many regions would fill CLIP's queue
Scores = tuple[float, float]  # of a whole picture and, on the mean, of its regions


@dataclass(frozen=True)
class Finished:
    """The pictures, best first; whether the best is better than the unedited one; and the filtered seeds.

    `guidance_scale` is the one they were painted with, and `row_steps` and `text_tokens` are those of `EditResult`; all
    are 0 where nothing was painted.
    """

    edits: tuple[Edit, ...]
    improved: bool
    guidance_scale: float
    filtered_seeds: tuple[int, ...] = ()
    row_steps: int = 0
    text_tokens: int = 0


@dataclass(frozen=True, eq=False)
class _Picture:
    image: np.ndarray
    seed: int | None
    seam: float
    scores: Scores | None
    execution: str | None = None
    precision: str | None = None

    def edit(self, before: Scores | None) -> Edit:
        score = _score(before, self.scores)
        return Edit(self.image, self.seed, score, self.seam, self.execution, self.precision)


class Painter:
    """The painter of one request. `clip` and `inpaint` are handles; work on pixels runs in threads.

    Where the calls are watched, `partial_images` previews are reported, fewer where there are fewer steps.
    """

    def __init__(
        self,
        clip: ClipHandle,
        inpaint: InpaintHandle,
        calls: Calls,
        settings: PaintingSettings,
        partial_images: int = 0,
    ) -> None:
        self._clip = clip
        self._inpaint = inpaint
        self._calls = calls
        self._settings = settings
        self._partial_images = partial_images
        self.spans: list[Span] = []
        self._guidance_scale = 0.0
        self._row_steps = self._text_tokens = 0

    async def paint(self, job: EditJob, plan: Plan) -> Finished:
        """Return as many pictures as there are seeds, the best of all that were painted.

        Raises ContentFiltered if none may be shown. The unedited picture competes: where no painting matches the prompt
        better, or none of a removal the name of what was removed less, nothing was improved.
        """
        # The picture is scored as it was while it is being repainted. A prompt that CLIP cannot read to its end is
        # refused then and there: the painting is left when this raises.
        (before,), (pictures, filtered) = await asyncio.gather(
            self._scores(job, [job.image], plan), self._round(job, plan, job.seeds)
        )
        for number in range(1, self._rounds(job)):
            if pictures and pictures[0].scores and pictures[0].scores[1] >= (job.min_score or 0.0):
                break
            seeds = tuple((seed + number * len(job.seeds)) % SEED_LIMIT for seed in job.seeds)
            more, held_back = await self._round(job, plan, seeds)
            pictures, filtered = _ranked(job, [*pictures, *more]), filtered + held_back
        if not pictures:
            raise ContentFiltered(filtered, removes=job.mode == "remove")
        edits = tuple(picture.edit(before) for picture in pictures[: len(job.seeds)])
        improved = _improves(job, pictures[0].scores, before)
        return Finished(edits, improved, self._guidance_scale, filtered, self._row_steps, self._text_tokens)

    async def remove(self, job: EditJob, plan: Plan) -> Finished:
        """Return what `paint` does where the painter fills the regions.

        Otherwise return one picture, its regions closed from their surroundings without a model.
        """
        if job.fill_method == "painter":
            return await self.paint(job, plan)
        self._calls.report(Progress("fill"))
        (before,), (image, seam) = await asyncio.gather(
            self._scores(job, [job.image], plan), asyncio.to_thread(_closed, job.image, plan)
        )
        (after,) = await self._scores(job, [image], plan)
        picture = _Picture(image, None, seam, after)
        return Finished((picture.edit(before),), _improves(job, after, before), 0.0)

    def _rounds(self, job: EditJob) -> int:
        return 1 if job.min_score is None else 1 + self._settings.max_retries

    async def _round(self, job: EditJob, plan: Plan, seeds: tuple[int, ...]) -> tuple[list[_Picture], tuple[int, ...]]:
        """Return a picture for each seed, best first, and the seeds whose pictures may not be shown."""
        painted = await self._repaint(job, plan, seeds)
        allowed = [index for index, flagged in enumerate(painted.flagged) if not flagged]
        filtered = tuple(seed for seed, flagged in zip(seeds, painted.flagged, strict=True) if flagged)
        if not allowed:
            return [], filtered
        squares = [[of_seeds[index] for of_seeds in painted.images] for index in allowed]
        done = await asyncio.to_thread(_put_back, job.image, squares, plan, self._settings.fit_colours)
        scores = await self._scores(job, [image for image, _ in done], plan)
        pictures = [
            _Picture(image, seeds[index], seam, score, painted.execution, painted.precision)
            for index, (image, seam), score in zip(allowed, done, scores, strict=True)
        ]
        return _ranked(job, pictures), filtered

    async def _repaint(self, job: EditJob, plan: Plan, seeds: tuple[int, ...]) -> Painted:
        """Return every region's square, painted once for each seed."""
        request = InpaintRequest(
            squares=await asyncio.to_thread(plan.squares, job.image),
            prompt=job.prompt,
            seeds=seeds,
            options=job.options,
        )
        previews = Previews(job.image, plan, self._settings.fit_colours, self._calls.report)
        painted = await self._painted(request, previews)
        self.spans += painted.spans
        self._guidance_scale = painted.guidance_scale
        self._row_steps += painted.row_steps
        self._text_tokens += painted.text_tokens
        return painted

    async def _painted(self, request: InpaintRequest, previews: Previews) -> Painted:
        """Return the inpaint model's answer. It streams, which costs more, only where the steps are watched."""
        self._calls.report(Progress("inpaint"))
        if not self._calls.watched:
            return await self._calls.run("inpaint", lambda _: self._inpaint.inpaint.remote(request))
        steps = self._inpaint.options(stream=True).inpaint_stream
        wanted, self._partial_images = self._partial_images, 0  # a round for a better score shows no more of them

        async def on_item(item: Progress | Preview | Painted) -> None:
            if isinstance(item, Preview):
                await previews.take(item)
            else:
                self._calls.report(item if isinstance(item, Progress) else Progress("score"))

        last = await self._calls.run_stream("inpaint", lambda _: steps.remote(request, wanted), on_item)
        return cast(Painted, last)

    async def _scores(self, job: EditJob, pictures: Sequence[np.ndarray], plan: Plan) -> list[Scores | None]:
        """Return how well each picture and its regions match the text of the job, None where it has no text."""
        text, param = job.scored, job.scored_param
        if text is None:
            return [None for _ in pictures]
        crops = await asyncio.to_thread(lambda: [region.crop(each) for each in pictures for region in plan.regions])
        views = (*pictures, *crops)
        scores: list[float] = []
        for start in range(0, len(views), MOST_SCORED_AT_ONCE):
            scores += await self._score(ViewsRequest(views[start : start + MOST_SCORED_AT_ONCE], text, param))
        whole, of_regions = scores[: len(pictures)], np.reshape(scores[len(pictures) :], (len(pictures), -1))
        return list(zip(whole, of_regions.mean(axis=1).tolist(), strict=True))

    async def _score(self, request: ViewsRequest) -> list[float]:
        return await self._calls.run("score", lambda _: self._clip.score_views.remote(request))


def _closed(image: np.ndarray, plan: Plan) -> tuple[np.ndarray, float]:
    """Return the picture with its regions filled from their surroundings, and the seam of that."""
    closed = removal.closed(image, plan)
    return pasting.paste_back(image, closed, plan), pasting.seam(image, closed, plan)


def _put_back(
    image: np.ndarray, pictures: Sequence[Sequence[np.ndarray]], plan: Plan, fit_colours: bool
) -> list[tuple[np.ndarray, float]]:
    """Return the whole picture and its seam for each of `pictures`, which are one painted square for each region."""
    done = []
    for painted in pictures:
        squares = colours.fit_each(painted, image, plan) if fit_colours else painted
        done.append((pasting.paste_back(image, squares, plan), pasting.seam(image, squares, plan)))
    return done


def _ranked(job: EditJob, pictures: Sequence[_Picture]) -> list[_Picture]:
    """Return the pictures, those first whose regions match the prompt best.

    After a removal those come first that match what was removed least, or where no text names it, whose seam is least.
    """

    def rank(picture: _Picture) -> float:
        if picture.scores is None:
            return picture.seam
        return picture.scores[1] if job.mode == "remove" else -picture.scores[1]

    return sorted(pictures, key=rank)


def _improves(job: EditJob, after: Scores | None, before: Scores | None) -> bool:
    """Return whether the regions match the prompt better than before, or after a removal, what was removed less."""
    if after is None or before is None:
        return True
    return after[1] < before[1] if job.mode == "remove" else after[1] > before[1]


def _score(before: Scores | None, after: Scores | None) -> Score | None:
    return None if before is None or after is None else Score(before[0], after[0], before[1], after[1])
