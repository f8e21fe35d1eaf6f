"""Every one of the things that a phrase names, each with a mask of its own.

CLIP's hot places say where they are. Two things that touch share a hot place, of which SAM cuts out only one. So what
is hot and lies in no mask yet is asked about again, until nothing is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from deployments.config import GroundingSettings
from deployments.errors import InvalidInput
from deployments.grounding import spatial
from deployments.grounding.peaks import hot_spots
from deployments.grounding.ranking import MISFIT_DENSITY, Question, Thing
from deployments.grounding.search import LIKELY, GroundedPhrase, Proposal, TargetSearch, as_detection
from deployments.messages import Box, Candidate, Masks, PackedMask, Point, Prompt
from deployments.pixels.masks import bounding_box

MOST_THINGS = 16
ROUNDS = 3  # of asking about what is hot and in no mask: three things in a row may share one hot place
ALIKE = 0.7  # of the hottest place: what is colder is something else that looks a little like the phrase
COVERED = 0.2  # of a cell of the heat map: such a cell belongs to a mask
LEAST_CELLS = 0.3  # of the cells of the usual thing: a smaller rest is the rim of a thing, whose mask is too tight
LEAST_SCORE = 0.5  # of the median score of all: what fits its heat so much worse than the others is none of them
LEAST_PART = 0.15  # of a mask of two things: each of them is more
INSIDE = 0.85  # of a part lies in the mask of both, and of that in the two parts
SAME_THING = 0.7  # of the smaller of two masks: they show one thing


def first_search(image: np.ndarray, grounded: GroundedPhrase, settings: GroundingSettings) -> TargetSearch:
    """Return the search for every hot place of the phrase's heat map, in `image` (HxWx3 uint8)."""
    search = TargetSearch(image, (), grounded, settings)
    return replace(search, things=_things(search, search.heat))


def best_of_each(search: TargetSearch, proposals: Sequence[Proposal], numbers: Iterable[int]) -> list[Proposal]:
    """Return the best proposal for each of the things with these numbers.

    Where SAM has none, or even the best one does not fit, it is the heat map around the thing.
    """
    best: dict[int, Proposal] = {}
    for proposal in proposals:
        best.setdefault(proposal.thing, proposal)
    return [_fitting(search, number, best.get(number)) for number in numbers]


def _fitting(search: TargetSearch, number: int, best: Proposal | None) -> Proposal:
    fits = best is not None and best.candidate.features["density"] >= MISFIT_DENSITY
    if best is not None and (fits or not search.settings.use_heat):
        return best
    return search.heat_proposal(number, 0.0 if best is None else best.candidate.score)


def part_questions(search: TargetSearch, found: Sequence[Proposal]) -> list[Question]:
    """Return questions for SAM about each point of a thing alone, to find out whether a mask holds two things.

    The `thing` of a question is the index of its proposal in `found`.
    """
    return [
        Question(Prompt((point,), (1,), several=True), "peak", place)
        for place, one in enumerate(found)
        for point in search.things[one.thing].points_xy
        if len(search.things[one.thing].points_xy) > 1
    ]


def parted(found: Sequence[Proposal], asked: Sequence[Question], masks: Masks) -> list[Proposal]:
    """Return the proposals, with a mask that holds two things replaced by the masks of each.

    A mask is replaced where two answers for single points do not overlap, and make up the mask together. A thing and
    its parts seldom do that: one of its parts is most of it, or what is between them is left out.
    """
    made: list[Proposal] = []
    for place, one in enumerate(found):
        whole = one.candidate.mask.unpack()
        numbers = [n for n, prompt in enumerate(masks.prompts) if asked[prompt].thing == place]
        points = [asked[masks.prompts[n]].prompt.points_xy[0] for n in numbers]
        parts = [(float(masks.scores[n]), masks.masks[n].unpack(), at) for n, at in zip(numbers, points, strict=True)]
        made += [replace(one, candidate=candidate) for candidate in _two_of(one.candidate, whole, parts)] or [one]
    return made


def _two_of(both: Candidate, whole: np.ndarray, answers: Sequence[tuple[float, np.ndarray, Point]]) -> list[Candidate]:
    """Return the two answers (score, mask HxW bool, point) that divide the mask `whole` best; none where no two do."""
    area = whole.sum()
    parts = [
        (score, mask, at)
        for score, mask, at in answers
        if LEAST_PART * area <= mask.sum() <= (1 - LEAST_PART) * area and (mask & whole).sum() >= INSIDE * mask.sum()
    ]
    pairs = [
        (first[0] + second[0], first, second)
        for index, first in enumerate(parts)
        for second in parts[:index]
        if (first[1] & second[1]).sum() <= (1 - INSIDE) * min(first[1].sum(), second[1].sum())
        and ((first[1] | second[1]) & whole).sum() >= INSIDE * area
    ]
    if not pairs:
        return []
    _, *best = max(pairs, key=lambda pair: pair[0])
    return [replace(_with_mask(both, mask), point_xy=at, sam_score=score) for score, mask, at in best]


def _with_mask(candidate: Candidate, mask: np.ndarray) -> Candidate:
    return replace(candidate, mask=PackedMask.of(mask), box_xyxy=bounding_box(mask), area=float(mask.mean()))


def sharpened(one: Proposal, nearby: Proposal, others: Sequence[Proposal]) -> Proposal:
    """Return the thing as it is seen from nearby, or as it was where that mask holds one of the `others` too."""
    mask = nearby.candidate.mask.unpack()
    for other in others:
        if _boxes_meet(nearby.candidate.box_xyxy, other.candidate.box_xyxy):
            its = other.candidate.mask.unpack()
            if (mask & its).sum() >= SAME_THING * min(mask.sum(), its.sum()):
                return one
    return nearby


def _boxes_meet(one: Box, other: Box) -> bool:
    return all(max(one[axis], other[axis]) < min(one[axis + 2], other[axis + 2]) for axis in (0, 1))


def further_things(search: TargetSearch, found: Sequence[Proposal]) -> tuple[Thing, ...]:
    """Return the places that are as hot as a thing, as large as one, and in none of the masks found."""
    if not found:
        return ()
    usual = float(np.median([thing.spot.cells.sum() for thing in search.things]))
    rest = _things(search, _uncovered(search.heat, [one.candidate.mask.unpack() for one in found]))
    return tuple(thing for thing in rest if thing.spot.cells.sum() >= LEAST_CELLS * usual)


def _things(search: TargetSearch, heat: np.ndarray) -> tuple[Thing, ...]:
    """Return the hot places of a map (hxw float32 in 0..1) that are as hot as the whole picture's, hottest first.

    In the picture's own map the hottest place always counts, because CLIP has found something.
    """
    if not heat.any():
        return ()
    hottest = float(search.heat.max())
    least = max(min(LIKELY, hottest), ALIKE * hottest)
    spots = [spot for spot in hot_spots(heat, search.size_hw, search.settings.peaks) if spot.strength >= least]
    return tuple(Thing(spot.points_xy, spot) for spot in spots)


def _uncovered(heat: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the heat map (hxw float32) with 0 in the cells that one of the masks (HxW bool) covers."""
    union = Image.fromarray(np.any(masks, axis=0).astype(np.float32))
    shares = np.asarray(union.resize(heat.shape[::-1], Image.Resampling.BOX))
    return np.where(shares >= COVERED, np.float32(0), heat)


def distinct(found: Sequence[Proposal]) -> list[Proposal]:
    """Return the proposals without masks that fit far worse than the others, or show what others show.

    A mask that holds several others gives way to them, else the worse one to the better.
    """
    usual = float(np.median([one.candidate.score for one in found]))
    least = usual - (1 - LEAST_SCORE) * abs(usual)
    found = [one for one in found if one.candidate.score >= least]
    masks = [one.candidate.mask.unpack() for one in found]
    areas = [max(1, int(mask.sum())) for mask in masks]

    def held_by(large: int) -> list[int]:
        others = [n for n in range(len(masks)) if n != large and areas[n] <= areas[large]]
        return [n for n in others if (masks[n] & masks[large]).sum() >= SAME_THING * areas[n]]

    groups = {number for number in range(len(masks)) if len(_apart_from(held_by(number), masks)) > 1}
    kept: list[int] = []
    for number in sorted(set(range(len(masks))) - groups, key=lambda n: -found[n].candidate.score):
        shared = [(masks[number] & masks[other]).sum() / min(areas[number], areas[other]) for other in kept]
        if max(shared, default=0.0) < SAME_THING:
            kept.append(number)
    return [found[number] for number in sorted(kept)]


def _apart_from(numbers: Sequence[int], masks: Sequence[np.ndarray]) -> list[int]:
    """Return the numbers of those masks that do not overlap with an earlier one."""
    kept: list[int] = []
    for number in numbers:
        if not any((masks[number] & masks[other]).any() for other in kept):
            kept.append(number)
    return kept


def disjoint(found: Sequence[Proposal]) -> list[Proposal]:
    """Return the proposals with disjoint masks: a pixel that several masks hold belongs to the first of them alone."""
    taken = np.zeros(found[0].candidate.mask.shape, bool) if found else np.zeros((1, 1), bool)
    made = []
    for one in found:
        mask = one.candidate.mask.unpack() & ~taken
        taken |= mask
        if mask.any():
            made.append(replace(one, candidate=_with_mask(one.candidate, mask)))
    return made


def meant(search: TargetSearch, found: Sequence[Proposal]) -> list[Proposal]:
    """Return the proposals that are where the words say.

    Raises InvalidInput, naming `target`, where the words do not fit what was found.
    """
    wording = search.grounded.wording
    strengths = [search.things[one.thing].spot.strength for one in found]
    things = [as_detection(one.candidate, strength) for one, strength in zip(found, strengths, strict=True)]
    kept = [found[index] for index in spatial.fitting(wording, things, search.grounded.anchor, search.size_hw[::-1])]
    _check_number(kept, wording.phrase, wording.count)
    return kept


def _check_number(found: Sequence[Proposal], phrase: str, count: int | None) -> None:
    """Raise InvalidInput where the words name another number of things, or there are too many to repaint at once."""
    if count is not None and len(found) != count:
        seen = f"{len(found)} {'was' if len(found) == 1 else 'were'} found"
        raise InvalidInput(
            f"`target` names {count} of {phrase!r}, and {seen}. Name one of them, name all without a number, or mark "
            "them with points or a mask.",
            "target",
        )
    if len(found) > MOST_THINGS:
        raise InvalidInput(
            f"`target` names every {phrase!r}, and {len(found)} were found. At most {MOST_THINGS} are changed at once: "
            "name those in a part of the picture, or mark them with a mask.",
            "target",
        )
