"""From a request to one that can be acted on: checked as a whole, with every default filled in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast, get_args

import numpy as np

from deployments.config import DriverSettings, Limits, PaintingSettings, SchedulerName
from deployments.driver.reading import check_reading, reading_of, things_removed, wordings_of
from deployments.driver.rules import (
    as_points,
    as_tuple,
    check_box,
    check_choice,
    check_image,
    check_integer,
    check_mask,
    check_number,
    check_pointer,
    check_points,
    check_text,
)
from deployments.errors import InvalidInput
from deployments.language.prompts import PromptReading
from deployments.language.targets import Wording
from deployments.language.texts import check_negative_prompt
from deployments.messages import Box, EditRequest, Fill, LocateRequest, MaskShape, Mode, Point, ScoreRequest

SEED_LIMIT = 2**63
SCHEDULERS = get_args(SchedulerName)
MIN_STRENGTH = 0.01
MOST_CANDIDATES = 32
PAINTERS_FIELDS = (
    *("prompt", "negative_prompt", "n", "seed", "num_inference_steps", "guidance_scale", "strength", "fill"),
    *("scheduler", "min_score"),
)

_Request = TypeVar("_Request", EditRequest, LocateRequest)


@dataclass(frozen=True, eq=False, slots=True)
class SearchJob:
    """A `LocateRequest` that can be acted on: `wordings` are what to look for, the likeliest reading first.

    Where points, a box or a mask say what is meant it is `pointed` at, and they are what has to lie there, if anything.
    `target` is what the answer calls it, and `param` the request's field that says it.
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


@dataclass(frozen=True, eq=False, slots=True)
class EditJob:
    """An `EditRequest` with nothing left open: every default filled in, one seed for each picture.

    Only a `guidance_scale` of None is left to the inpaint model, which knows what suits it.

    `prompt` is what to paint; empty for a removal, which has no seeds. `scored` is the text that scores are for, None
    where there is none.
    """

    where: SearchJob
    mask: np.ndarray | None
    candidate: int
    mode: Mode
    mask_shape: MaskShape
    dilation: float
    prompt: str
    scored: str | None
    negative_prompt: str
    seeds: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float | None
    strength: float
    fill: Fill | None
    scheduler: str | None
    min_score: float | None

    @property
    def image(self) -> np.ndarray:
        return self.where.image


def complete_edit(request: EditRequest, settings: DriverSettings) -> EditJob:
    """The request with nothing left open. A prompt like "remove the dog" makes it a removal."""
    request = _with_tuples(request, settings.limits)
    check_choice(request.mode, "mode", get_args(Mode))
    if request.mode == "remove":
        _refuse_for_removal(request)
    reading = _reading(request, settings)
    if reading.removes:
        request = replace(request, mode="remove", prompt="")
        _refuse_for_removal(request)
        reading = PromptReading(things_removed(reading, _is_pointed_at(request)), "")
    where = _where(request, reading.targets, settings)
    shape, dilation = _offer(request, settings.painting)
    return EditJob(
        where=where,
        mask=_mask(request),
        candidate=_candidate(request, where),
        mode=request.mode or "replace",
        mask_shape=shape,
        dilation=dilation,
        prompt=reading.painted,
        scored=reading.painted or where.target or None,
        negative_prompt=_negative_prompt(request, settings),
        seeds=() if request.mode == "remove" else _seeds(request, settings.limits),
        num_inference_steps=_steps(request, settings),
        guidance_scale=_guidance_scale(request, settings),
        strength=check_number(request.strength, "strength", MIN_STRENGTH, 1.0),
        fill=cast("Fill | None", check_choice(request.fill, "fill", get_args(Fill))),
        scheduler=check_choice(request.scheduler, "scheduler", SCHEDULERS),
        min_score=None if request.min_score is None else check_number(request.min_score, "min_score", -1.0, 1.0),
    )


def _reading(request: EditRequest, settings: DriverSettings) -> PromptReading:
    if request.mode == "remove":
        return PromptReading((), "")
    prompt, pointed = check_text(request.prompt, "prompt", settings.limits), _is_pointed_at(request)
    reading = reading_of(prompt, request.target, pointed)
    if reading.targets and not pointed:
        check_reading(prompt, reading, settings.grounding.places)
    return reading


def _steps(request: EditRequest, settings: DriverSettings) -> int:
    if request.mode == "remove":  # nothing is painted
        return 0
    steps = settings.num_inference_steps if request.num_inference_steps is None else request.num_inference_steps
    return check_integer(steps, "num_inference_steps", 1, settings.limits.max_inference_steps)


def _guidance_scale(request: EditRequest, settings: DriverSettings) -> float | None:
    if request.mode == "remove":
        return 0.0
    scale = settings.guidance_scale if request.guidance_scale is None else request.guidance_scale
    return None if scale is None else check_number(scale, "guidance_scale", 0.0, settings.limits.max_guidance_scale)


def _negative_prompt(request: EditRequest, settings: DriverSettings) -> str:
    text = check_text(request.negative_prompt, "negative_prompt", settings.limits, may_be_empty=True)
    scale = _guidance_scale(request, settings)
    if scale is not None:  # else the inpaint model knows its own, and asks the same
        check_negative_prompt(text, scale)
    return text


def complete_locate(request: LocateRequest, settings: DriverSettings) -> SearchJob:
    request = _with_tuples(request, settings.limits)
    if request.target is None and not _is_pointed_at(request):
        raise InvalidInput("target is required where neither points nor a box say what is meant.", "target")
    return _where(request, (), settings)


def _where(request: EditRequest | LocateRequest, from_prompt: tuple[str, ...], settings: DriverSettings) -> SearchJob:
    """What to look for: what `target` says, or else what the prompt does."""
    limits = settings.limits
    image = check_image(request.image, limits)
    points, labels = check_points(request.points, request.labels, image, limits)
    box = check_box(request.box, image)
    check_pointer(points, labels, box)
    pointed = _is_pointed_at(request)
    avoid = check_text(request.avoid, "avoid", limits, may_be_empty=True)
    if avoid and pointed:
        raise InvalidInput("avoid is for targets that are searched for; points, a box or a mask say it all.", "avoid")
    target = None if request.target is None else check_text(request.target, "target", limits)
    if target is None and not from_prompt and not pointed:
        raise InvalidInput("target is required: nothing else says what to repaint.", "target")
    wordings = wordings_of(target, from_prompt, settings.grounding.places)
    if pointed and any(wording.order or wording.relation or wording.among or wording.avoid for wording in wordings):
        raise InvalidInput(
            "target must not say which of several things is meant (by place, order, size or what it is not) beside "
            "points, a box or a mask, where that cannot be checked. Name only what lies there, such as "
            f"{wordings[0].phrase!r}, or leave target out.",
            "target",
        )
    wordings = _all_or_one(request.all, wordings, pointed)
    name = target or next(iter(from_prompt), "")
    param = "prompt" if target is None else "target"
    avoided = tuple(dict.fromkeys((*_listed(avoid), *(phrase for wording in wordings for phrase in wording.avoid))))
    return SearchJob(image, name, wordings, avoided, points, labels, box, pointed, param)


def _all_or_one(wish: Any, wordings: tuple[Wording, ...], pointed: bool) -> tuple[Wording, ...]:
    """The wordings for every one of the things, or only one, as the request's field `all` says."""
    if wish is None:
        return wordings
    if not isinstance(wish, bool):
        raise InvalidInput("all must be true or false.", "all")
    if not wish:
        return tuple(map(_one_of, wordings))
    if pointed:
        raise InvalidInput("all is for targets that are searched for; points, a box or a mask say it all.", "all")
    if any(wording.order for wording in wordings):
        raise InvalidInput(
            "all must not be true where the target's words pick one (by place, order or size). Send one of the two.",
            "all",
        )
    return tuple(replace(wording, every=True) for wording in wordings)


def _one_of(wording: Wording) -> Wording:
    """One of those that a wording names; a part of the picture that they are in is where it is."""
    order, among = (wording.order, wording.among) if wording.order else (wording.among, None)
    return replace(wording, every=False, count=None, order=order, among=among)


def _with_tuples(request: _Request, limits: Limits) -> _Request:
    """The request with tuples for the lists or arrays that its points, labels and box may be.

    An array does not tell whether it is empty, nor whether it equals something, which is asked from here on.
    """
    box = None if request.box is None else as_tuple(request.box, 4)
    points, labels = as_points(request.points, limits), as_tuple(request.labels, limits.max_points)
    return replace(request, points=points, labels=labels, box=box)


def _is_pointed_at(request: EditRequest | LocateRequest) -> bool:
    has_mask = isinstance(request, EditRequest) and request.mask is not None
    return bool(request.points) or request.box is not None or has_mask


def _listed(avoid: str) -> tuple[str, ...]:
    """ "the dog, the cat" names two things."""
    return tuple(filter(None, (text.strip() for text in avoid.split(","))))


def _seeds(request: EditRequest, limits: Limits) -> tuple[int, ...]:
    # 53 bits, so that a drawn seed survives JSON readers that keep numbers as doubles.
    seed = secrets.randbits(53) if request.seed is None else request.seed
    first = check_integer(seed, "seed", 0, SEED_LIMIT - limits.max_images)
    return tuple(range(first, first + check_integer(request.n, "n", 1, limits.max_images)))


def _refuse_for_removal(request: EditRequest) -> None:
    """A removal is no painting: what only a painter could heed is refused."""
    plain = EditRequest(request.image)
    for name in PAINTERS_FIELDS:
        if not _are_same(getattr(request, name), getattr(plain, name)):
            raise InvalidInput(f"{name} means nothing for mode remove, which fills from the surroundings.", name)


def _are_same(one: Any, other: Any) -> bool:
    """Whether they are equal; an array, whose comparison is another array, equals nothing."""
    return one is other or (np.isscalar(one) and bool(one == other))


def _candidate(request: EditRequest, where: SearchJob) -> int:
    """The rank of the candidate to repaint; the best one, unless the request says otherwise."""
    if request.candidate is not None and any(wording.every for wording in where.wordings):
        raise InvalidInput(
            f"candidate picks one thing, and {where.target!r} means all of them. Leave candidate out, or send all as "
            "false.",
            "candidate",
        )
    chosen = 0 if request.candidate is None else request.candidate
    return check_integer(chosen, "candidate", 0, MOST_CANDIDATES - 1)


def _offer(request: EditRequest, painting: PaintingSettings) -> tuple[MaskShape, float]:
    """Shape and growth of the region; a mask of the caller's is meant as it is, unless said otherwise."""
    usual: tuple[MaskShape, float] = (painting.mask_shape, painting.dilation)
    if request.mask is not None:
        usual = ("silhouette", 0.0)
    shape = check_choice(request.mask_shape, "mask_shape", get_args(MaskShape)) or usual[0]
    dilation = usual[1] if request.dilation is None else check_number(request.dilation, "dilation", 0.0, 1.0)
    return cast(MaskShape, shape), dilation


def _mask(request: EditRequest) -> np.ndarray | None:
    if request.mask is None:
        return None
    others = {"points": request.points or None, "box": request.box, "candidate": request.candidate}
    for param, other in others.items():
        if other is not None:
            raise InvalidInput(f"{param} and mask exclude each other: the mask says it all.", param)
    return check_mask(request.mask, request.image)


def complete_score(request: ScoreRequest, settings: DriverSettings) -> ScoreRequest:
    image = check_image(request.image, settings.limits)
    return replace(request, image=image, text=check_text(request.text, "text", settings.limits))
