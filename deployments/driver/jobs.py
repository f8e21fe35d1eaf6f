"""Make of a request a job that can be acted on: checked as a whole, with every default filled in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from deployments.config import DriverSettings, PaintingSettings
from deployments.driver import rules
from deployments.driver.reading import check_reading, reading_of, things_removed, wordings_of
from deployments.driver.values import with_plain_values
from deployments.errors import InvalidInput
from deployments.language.prompts import PromptReading
from deployments.language.targets import Wording
from deployments.language.texts import check_negative_prompt
from deployments.messages import (
    Box,
    EditRequest,
    FillMethod,
    LocateRequest,
    MaskShape,
    Mode,
    PaintOptions,
    Point,
    ScoreRequest,
)


@dataclass(frozen=True, eq=False, slots=True)
class SearchJob:
    """A `LocateRequest` that can be acted on: `wordings` are what to look for, the likeliest reading first.

    `image` is HxWx3 uint8. Where points, a box or a mask say what is meant, `pointed` is True, and the wordings name
    what has to lie there; there may be none. `target` is what the answer calls the thing, and `param` is the request's
    field that names it.
    """

    image: np.ndarray
    target: str
    wordings: tuple[Wording, ...]
    avoid: tuple[str, ...]
    points: tuple[Point, ...]
    labels: tuple[int, ...]
    box: Box | None
    pointed: bool
    param: str = "target"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, eq=False, slots=True)
class EditJob:
    """An `EditRequest` with nothing left open: every default filled in, one seed for each picture.

    Of the `options` a `guidance_scale` and a `fill` of None are left to the inpaint model, which knows what suits it,
    and a `scheduler` of None to its deployment. `mask` is HxW bool. `prompt` is what to paint, None for a removal,
    whose `fill_method` says how it is filled; a classical one has neither seeds nor options. `scored` is the text that
    the pictures are scored by, None where there is none, and `scored_param` the request's field that it comes from.
    """

    where: SearchJob
    mask: np.ndarray | None
    candidate: int
    mode: Mode
    mask_shape: MaskShape
    dilation: float
    fill_method: FillMethod | None
    prompt: str | None
    scored: str | None
    scored_param: str
    seeds: tuple[int, ...]
    options: PaintOptions
    min_score: float | None

    @property
    def image(self) -> np.ndarray:
        """The picture, HxWx3 uint8."""
        return self.where.image


def complete_edit(request: EditRequest, settings: DriverSettings) -> EditJob:
    """Return the job for a request. A prompt like "remove the dog" makes it a removal. Raises InvalidInput."""
    own_method = settings.painting.fill_method
    request = rules.check_pixels(rules.check_edit(request, settings.limits, own_method), settings.limits)
    reading = _reading(request, settings)
    if reading.removes:
        request = replace(request, mode="remove", prompt="")
        reading = PromptReading(things_removed(reading, rules.is_pointed_at(request)), "")
    where = _where(request, reading.targets, settings)
    rules.check_candidate(request, where.target, where.wordings)
    shape, dilation = _offer(request, settings.painting)
    fill_method = (request.fill_method or own_method) if request.mode == "remove" else None
    paints = fill_method != "classical"
    return EditJob(
        where=where,
        mask=request.mask,
        candidate=request.candidate or 0,
        mode=request.mode,
        mask_shape=shape,
        dilation=dilation,
        fill_method=fill_method,
        prompt=reading.painted or None,
        scored=reading.painted or where.target or None,
        scored_param="prompt" if reading.painted else where.param,
        seeds=_seeds(request) if paints else (),
        options=_options(request, settings) if paints else PaintOptions(),
        min_score=request.min_score,
    )


def complete_locate(request: LocateRequest, settings: DriverSettings) -> SearchJob:
    """Return the search for a request, with its words read. Raises InvalidInput."""
    request = rules.check_pixels(rules.check_locate(request, settings.limits), settings.limits)
    return _where(request, (), settings)


def complete_score(request: ScoreRequest, settings: DriverSettings) -> ScoreRequest:
    """Return the request as CLIP's stage expects it. Raises InvalidInput."""
    return rules.check_pixels(rules.check_score(request, settings.limits), settings.limits)


def _reading(request: EditRequest, settings: DriverSettings) -> PromptReading:
    if request.mode == "remove":
        return PromptReading((), "")
    pointed = rules.is_pointed_at(request)
    reading = reading_of(request.prompt, request.target, pointed)
    if reading.targets and not pointed:
        check_reading(request.prompt, reading, settings.grounding.places)
    return reading


def _options(request: EditRequest, settings: DriverSettings) -> PaintOptions:
    """Return the painter's options, the service's where the request has none. Those must be within the limits too."""
    steps, scale, strength = request.num_inference_steps, request.guidance_scale, request.strength
    filled = replace(
        request,
        num_inference_steps=settings.num_inference_steps if steps is None else steps,
        guidance_scale=settings.guidance_scale if scale is None else scale,
        strength=1.0 if strength is None else strength,
    )
    options = with_plain_values(filled, settings.limits).options
    if options.guidance_scale is not None:  # else the inpaint model knows its own, and asks the same
        check_negative_prompt(options.negative_prompt, options.guidance_scale)
    return options


def _where(request: EditRequest | LocateRequest, from_prompt: tuple[str, ...], settings: DriverSettings) -> SearchJob:
    """Return the search for what `target` names, or else the prompt. The values of the request have to be plain."""
    target, pointed = request.target, rules.is_pointed_at(request)
    if target is None and not from_prompt and not pointed:
        raise InvalidInput("`target` is required: nothing else says what to repaint.", "target")
    wordings = wordings_of(target, from_prompt, settings.grounding.places)
    rules.check_wordings(request, wordings)
    wordings = _all_or_one(request.all, wordings)
    points = cast("tuple[Point, ...]", request.points)
    labels = cast("tuple[int, ...]", request.labels) or (1,) * len(points)
    avoided = (*_listed(request.avoid), *(phrase for wording in wordings for phrase in wording.avoid))
    return SearchJob(
        image=request.image,
        target=target or next(iter(from_prompt), ""),
        wordings=wordings,
        avoid=tuple(dict.fromkeys(avoided)),
        points=points,
        labels=labels,
        box=cast("Box | None", request.box),
        pointed=pointed,
        param="prompt" if target is None else "target",
    )


def _all_or_one(wish: bool | None, wordings: tuple[Wording, ...]) -> tuple[Wording, ...]:
    """Return the wordings, made to mean every one of the things or only one if the request's field `all` says so."""
    if wish is None:
        return wordings
    if not wish:
        return tuple(map(_one_of, wordings))
    return tuple(replace(wording, every=True) for wording in wordings)


def _one_of(wording: Wording) -> Wording:
    """Return a wording for one of several things. Where they are in a part of the picture, that is where it is."""
    order, among = (wording.order, wording.among) if wording.order else (wording.among, None)
    return replace(wording, every=False, count=None, order=order, among=among)


def _listed(avoid: str) -> tuple[str, ...]:
    """Return the names in a list that is separated by commas, such as "the dog, the cat"."""
    return tuple(filter(None, (text.strip() for text in avoid.split(","))))


def _seeds(request: EditRequest) -> tuple[int, ...]:
    # 53 bits, so that a drawn seed survives JSON readers that keep numbers as doubles.
    first = secrets.randbits(53) if request.seed is None else request.seed
    return tuple(range(first, first + request.n))


def _offer(request: EditRequest, painting: PaintingSettings) -> tuple[MaskShape, float]:
    """Return the shape of the region and how far it is grown. A caller's mask stays as it is by default."""
    shape, dilation = painting.mask_shape, painting.dilation
    if request.mask is not None:
        shape, dilation = "silhouette", 0.0
    return request.mask_shape or shape, dilation if request.dilation is None else request.dilation
