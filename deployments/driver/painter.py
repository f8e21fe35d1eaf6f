"""Fills the regions of a plan: paints them once for each seed or closes them from their surroundings, puts that back,
and scores it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from deployments.config import SEED_LIMIT, PaintingSettings
from deployments.driver.calls import Calls
from deployments.driver.handles import ClipHandle, InpaintHandle
from deployments.driver.jobs import EditJob
from deployments.errors import ContentFiltered
from deployments.messages import Edit, InpaintRequest, Painted, Progress, Score, ScoreRequest, Span
from deployments.pixels import colours, pasting, removal
from deployments.pixels.regions import Plan

MOST_SCORED_AT_ONCE = 32  # views of a request: with many regions all of them would fill the queue before CLIP
Scores = tuple[float, float]  # of a whole picture and, on the mean, of its regions


@dataclass(frozen=True)
class Finished:
    """The pictures, best first, whether the best one matches better than the unedited one, and the seeds held back.

    `guidance_scale` is the one they were painted with, 0 where nothing was painted.
    """

    edits: tuple[Edit, ...]
    improved: bool
    guidance_scale: float
    filtered_seeds: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class _Picture:
    image: np.ndarray
    seed: int
    seam: float
    scores: Scores
    execution: str
    precision: str

    def edit(self, before: Scores) -> Edit:
        score = _score(before, self.scores)
        return Edit(self.image, self.seed, score, self.seam, self.execution, self.precision)


class Painter:
    """The painting of one request. `clip` and `inpaint` are handles; pixels are moved in threads."""

    def __init__(self, clip: ClipHandle, inpaint: InpaintHandle, calls: Calls, settings: PaintingSettings) -> None:
        self._clip = clip
        self._inpaint = inpaint
        self._calls = calls
        self._settings = settings
        self.spans: list[Span] = []
        self._guidance_scale = 0.0
        self._scored_at_once = asyncio.Semaphore(MOST_SCORED_AT_ONCE)

    async def paint(self, job: EditJob, plan: Plan) -> Finished:
        """Return as many pictures as there are seeds, the best of all that were painted.

        Raises ContentFiltered if none may be shown. The unedited picture competes: where no painting matches the prompt
        better, nothing was improved.
        """
        # The picture is scored as it was while it is being repainted. A prompt that CLIP cannot read to its end is
        # refused then and there: the painting is left when this raises.
        (before,), (pictures, filtered) = await asyncio.gather(
            self._scores(job.prompt, "prompt", [job.image], plan), self._round(job, plan, job.seeds)
        )
        for number in range(1, self._rounds(job)):
            if pictures and pictures[0].scores[1] >= (job.min_score or 0.0):
                break
            seeds = tuple((seed + number * len(job.seeds)) % SEED_LIMIT for seed in job.seeds)
            more, held_back = await self._round(job, plan, seeds)
            pictures, filtered = _ranked([*pictures, *more]), filtered + held_back
        if not pictures:
            raise ContentFiltered(filtered)
        edits = tuple(picture.edit(before) for picture in pictures[: len(job.seeds)])
        return Finished(edits, pictures[0].scores[1] > before[1], self._guidance_scale, filtered)

    async def remove(self, job: EditJob, plan: Plan) -> Finished:
        """Return one picture, its regions closed from their surroundings without a model.

        It is an improvement if the picture then matches the name of what was removed less.
        """
        self._calls.report(Progress("fill"))
        if job.scored is None:
            image, seam = await asyncio.to_thread(_closed, job.image, plan)
            return Finished((Edit(image, None, None, seam),), True, 0.0)
        text, param = job.scored, job.where.param
        (before,), (image, seam) = await asyncio.gather(
            self._scores(text, param, [job.image], plan), asyncio.to_thread(_closed, job.image, plan)
        )
        (after,) = await self._scores(text, param, [image], plan)
        return Finished((Edit(image, None, _score(before, after), seam),), after[1] < before[1], 0.0)

    def _rounds(self, job: EditJob) -> int:
        return 1 if job.min_score is None else 1 + self._settings.max_retries

    async def _round(self, job: EditJob, plan: Plan, seeds: tuple[int, ...]) -> tuple[list[_Picture], tuple[int, ...]]:
        """A picture for each seed, best first, and the seeds whose pictures may not be shown."""
        painted = await self._repaint(job, plan, seeds)
        allowed = [index for index, flagged in enumerate(painted.flagged) if not flagged]
        filtered = tuple(seed for seed, flagged in zip(seeds, painted.flagged, strict=True) if flagged)
        if not allowed:
            return [], filtered
        squares = [[of_seeds[index] for of_seeds in painted.images] for index in allowed]
        done = await asyncio.to_thread(_put_back, job.image, squares, plan, self._settings.fit_colours)
        scores = await self._scores(job.prompt, "prompt", [image for image, _ in done], plan)
        pictures = [
            _Picture(image, seeds[index], seam, score, painted.execution, painted.precision)
            for index, (image, seam), score in zip(allowed, done, scores, strict=True)
        ]
        return _ranked(pictures), filtered

    async def _repaint(self, job: EditJob, plan: Plan, seeds: tuple[int, ...]) -> Painted:
        """Every region's square once for each seed."""
        request = InpaintRequest(
            squares=await asyncio.to_thread(plan.squares, job.image),
            prompt=job.prompt,
            seeds=seeds,
            options=job.options,
        )
        painted = await self._painted(request)
        self.spans += painted.spans
        self._guidance_scale = painted.guidance_scale
        return painted

    async def _painted(self, request: InpaintRequest) -> Painted:
        """The inpaint model's answer; a stream, which costs more, only where somebody watches the steps."""
        self._calls.report(Progress("inpaint"))
        if self._calls.watched:
            steps = self._inpaint.options(stream=True).inpaint_stream
            last = await self._calls.run_stream("inpaint", lambda _: steps.remote(request), self._on_step)
            return cast(Painted, last)
        return await self._calls.run("inpaint", lambda _: self._inpaint.inpaint.remote(request))

    def _on_step(self, item: Progress | Painted) -> None:
        self._calls.report(item if isinstance(item, Progress) else Progress("score"))

    async def _scores(self, text: str, param: str, pictures: Sequence[np.ndarray], plan: Plan) -> list[Scores]:
        """How well each picture and its regions match the text, which comes from the request's field `param`."""

        async def score(view: np.ndarray) -> float:
            request = ScoreRequest(view, text, param)
            async with self._scored_at_once:
                return float(await self._calls.run("score", lambda _: self._clip.score.remote(request)))

        crops = await asyncio.to_thread(lambda: [region.crop(each) for each in pictures for region in plan.regions])
        # Many views at once: CLIP batches them.
        scores = await asyncio.gather(*map(score, [*pictures, *crops]))
        whole, of_regions = scores[: len(pictures)], np.reshape(scores[len(pictures) :], (len(pictures), -1))
        return list(zip(whole, of_regions.mean(axis=1).tolist(), strict=True))


def _closed(image: np.ndarray, plan: Plan) -> tuple[np.ndarray, float]:
    """The whole picture with its regions filled from their surroundings, and how well that fits in."""
    closed = removal.closed(image, plan)
    return pasting.paste_back(image, closed, plan), pasting.seam(image, closed, plan)


def _put_back(
    image: np.ndarray, pictures: Sequence[Sequence[np.ndarray]], plan: Plan, fit_colours: bool
) -> list[tuple[np.ndarray, float]]:
    """For each picture, which is one painted square for each region: the whole one, and how well that fits in."""
    done = []
    for painted in pictures:
        squares = [
            colours.fit(square, region.crop(image), region) if fit_colours else square
            for square, region in zip(painted, plan.regions, strict=True)
        ]
        done.append((pasting.paste_back(image, squares, plan), pasting.seam(image, squares, plan)))
    return done


def _ranked(pictures: Sequence[_Picture]) -> list[_Picture]:
    """Those whose regions match the prompt best first."""
    return sorted(pictures, key=lambda picture: picture.scores[1], reverse=True)


def _score(before: Scores, after: Scores) -> Score:
    return Score(before[0], after[0], before[1], after[1])
