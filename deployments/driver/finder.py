"""The search for what a request means: CLIP's heat map, SAM's masks, and the choice among them.

clip.locate --> things --> sam.segment --> candidates --> (nearby: sam.cut_out) --> the one that is meant
sam.encode  -------------^
points, box -------------^
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from deployments.config import GroundingSettings
from deployments.driver.calls import Calls
from deployments.driver.handles import ClipHandle, Response, SamHandle
from deployments.driver.jobs import SearchJob
from deployments.driver.work import name_of
from deployments.errors import InvalidInput, TargetNotFound
from deployments.grounding import every, pointing
from deployments.grounding.pointing import Pointer, Pointing
from deployments.grounding.ranking import Question, View, nearby_view
from deployments.grounding.search import GroundedPhrase, Proposal, TargetSearch, anchor_point, with_nearby
from deployments.language.targets import parse
from deployments.messages import (
    Candidate,
    Embedding,
    HeatMap,
    Location,
    Masks,
    Progress,
    SearchRequest,
    SegmentRequest,
    Span,
)
from deployments.pixels.masks import bounding_box, middle_of


class Finder:
    """The search of one request. `clip` and `sam` are handles; heavy work between their calls runs in threads."""

    def __init__(self, clip: ClipHandle, sam: SamHandle, calls: Calls, settings: GroundingSettings) -> None:
        self._clip = clip
        self._sam = sam
        self._calls = calls
        self._settings = settings
        self.spans: list[Span] = []

    async def find(self, sought: SearchJob) -> Location:
        """Return where the target is, with all candidates; `found` is False where CLIP sees nothing like it.

        Raises TargetNotFound where the other thing of a relation ("left of the dog") is not found, and InvalidInput
        where points leave nothing of a box, or where the words mean none of the things that were found.
        """
        # SAM's encoder does not need the point: it runs while CLIP looks. Its answer is passed on
        # unresolved, so the embedding goes from replica to replica and never through here.
        self._calls.report(Progress("locate"))
        # All calls for a picture go to the replica that may remember it. Never two of a request at once before one has
        # got its replica: Serve's consistent hashing, which keeps calls by their request, would forget the other one.
        self._sam = self._sam.options(session_id=await asyncio.to_thread(name_of, sought.image))
        embedding = self._calls.begin(self._sam.encode.remote(sought.image))
        if sought.pointed:
            return await self._pointed_at(sought, embedding)
        with _named_as_sent(sought):
            return await self._find_by_words(sought, embedding)

    async def _find_by_words(self, sought: SearchJob, embedding: Response[Embedding]) -> Location:
        grounded = await self._look(sought)
        self._calls.report(Progress("segment"))
        if grounded.wording.every and grounded.map.found:
            return await self._find_every(sought, grounded, embedding)
        search = await asyncio.to_thread(TargetSearch.of_words, sought.image, grounded, self._settings)
        proposals, small_side = await self._propose(search, search.whole, embedding)
        arranged = await asyncio.to_thread(search.arranged, proposals)
        if arranged and self._settings.look_closer:
            arranged = await self._look_closer(search, arranged, small_side)
        final = await asyncio.to_thread(search.with_heat, arranged)
        return _location(sought, search, final[: self._settings.max_candidates])

    async def check_target(self, sought: SearchJob, location: Location) -> None:
        """Raise InvalidInput where something was pointed at and CLIP does not see there what the target names."""
        if not sought.pointed or not sought.wordings:
            return
        (wording,) = sought.wordings
        request = SearchRequest(sought.image, (wording.phrase,))
        search = await self._calls.run("locate", lambda _: self._clip.locate.remote(request))
        self.spans += search.spans
        mask = location.candidates[location.chosen].mask
        if not await asyncio.to_thread(lambda: pointing.shows(search.maps[0], mask.unpack())):
            raise InvalidInput(
                f"`{sought.param}` must name what the points, the box or the mask are on, and CLIP does not see "
                f"{sought.target!r} there. Correct it, or leave the name out to go by what is marked.",
                sought.param,
            )

    async def _pointed_at(self, sought: SearchJob, embedding: Response[Embedding]) -> Location:
        """Return what points or a box mean. There is always a candidate, if only a small region around the points."""
        pointer = Pointer(sought.points, sought.labels, sought.box)
        search = Pointing(sought.image, pointer, self._settings)
        self._calls.report(Progress("segment"))
        asked = search.questions(search.whole)
        masks = await self._segment(search.whole, asked, embedding)
        found = await asyncio.to_thread(search.answers, search.whole, asked, masks)
        view = search.closer_view(found[0], max(masks.small.shape[1:])) if self._settings.look_closer else None
        if view is not None:
            asked = search.questions(view)
            masks = await self._segment(view, asked)
            found = pointing.with_nearby(found, await asyncio.to_thread(search.answers, view, asked, masks))
        return _pointed_location(sought, found[: self._settings.max_candidates])

    async def _find_every(
        self, sought: SearchJob, grounded: GroundedPhrase, embedding: Response[Embedding]
    ) -> Location:
        """Return where all of them are. Hot places that no mask covers are asked about again: they may be more."""
        search = await asyncio.to_thread(every.first_search, sought.image, grounded, self._settings)
        found: list[Proposal] = []
        asked = range(len(search.things))
        for _ in range(every.ROUNDS):
            proposals, small_side = await self._propose(search, search.whole, embedding, asked)
            best = await asyncio.to_thread(every.best_of_each, search, proposals, asked)
            found += await self._parted(search, best, embedding)
            more = await asyncio.to_thread(every.further_things, search, found)
            if not more:
                break
            asked = range(len(search.things), len(search.things) + len(more))
            search = replace(search, things=(*search.things, *more))
        meant = await asyncio.to_thread(lambda: every.meant(search, every.distinct(found)))
        if self._settings.look_closer:
            # One after the other: many at once would fill SAM's queue before others.
            nearby = [(await self._look_closer(search, [one], small_side))[0] for one in meant]
            others = [[other for other in meant if other is not one] for one in meant]
            meant = await asyncio.to_thread(lambda: list(map(every.sharpened, meant, nearby, others)))
        return _every_location(sought, search, await asyncio.to_thread(every.disjoint, meant))

    async def _parted(
        self, search: TargetSearch, found: list[Proposal], embedding: Response[Embedding]
    ) -> list[Proposal]:
        """Return the proposals that were found, with two in the place of one whose mask holds two things."""
        asked = every.part_questions(search, found)
        if not asked:
            return found
        masks = await self._segment(search.whole, asked, embedding)
        return await asyncio.to_thread(every.parted, found, asked, masks)

    async def _look(self, sought: SearchJob) -> GroundedPhrase:
        """Return the target's wording that CLIP sees best, with its map. All phrases share one look at the picture."""
        anchors = {wording: parse(wording.relation.anchor) for wording in sought.wordings if wording.relation}
        phrases = [wording.phrase for wording in (*sought.wordings, *anchors.values())]
        request = SearchRequest(sought.image, tuple(dict.fromkeys(phrases)), sought.avoid, sought.param)
        search = await self._calls.run("locate", lambda _: self._clip.locate.remote(request))
        self.spans += search.spans
        maps = {found.phrase: found for found in search.maps}
        wording = max(sought.wordings, key=lambda one: maps[one.phrase].margin)
        found, anchor = maps[wording.phrase], anchors.get(wording)
        if anchor is None or not found.found:
            return GroundedPhrase(found, wording, None)
        if not maps[anchor.phrase].found:
            raise TargetNotFound(_best_guess(sought, maps[anchor.phrase]), sought.size)
        return GroundedPhrase(found, wording, anchor_point(maps[anchor.phrase], anchor, sought.image.shape[:2]))

    async def _propose(
        self,
        search: TargetSearch,
        view: View,
        embedding: Response[Embedding] | None = None,
        only: Collection[int] | None = None,
    ) -> tuple[list[Proposal], int]:
        """Return SAM's proposals in a view, for all things or `only` some, and the longer side of its small masks."""
        asked = await asyncio.to_thread(search.questions, view, only)
        masks = await self._segment(view, asked, embedding)
        return await asyncio.to_thread(search.proposals, view, asked, masks), max(masks.small.shape[1:])

    async def _segment(
        self, view: View, asked: Sequence[Question], embedding: Response[Embedding] | None = None
    ) -> Masks:
        """Return SAM's answer about a view; without an `embedding` that is under way, it sees the view first."""
        request = SegmentRequest(tuple(question.prompt for question in asked))

        def call(attempt: int) -> Response[Masks]:
            # The replica that died may be the one that held the embedding, or the one that reads it has other weights.
            if embedding is None or attempt > 0:
                return self._sam.cut_out.remote(view.image, request)
            return self._sam.segment.remote(embedding, request)

        masks = await self._calls.run("segment", call)
        self.spans += masks.spans
        return masks

    async def _look_closer(self, search: TargetSearch, arranged: list[Proposal], small_side: int) -> list[Proposal]:
        """Return the proposals, led by better masks of the first thing if it is small: SAM looks from nearby."""
        first = arranged[0]
        view = nearby_view(search.image, first.candidate, small_side)
        if view is None:
            return arranged
        nearby, _ = await self._propose(search, view, only=(first.thing,))
        return await asyncio.to_thread(with_nearby, arranged, nearby)


@contextmanager
def _named_as_sent(sought: SearchJob) -> Iterator[None]:
    """Let a refusal of the target's words name `prompt` where that is what they came from."""
    try:
        yield
    except InvalidInput as refused:
        if refused.param != "target" or sought.param == "target":
            raise
        raise InvalidInput(refused.message.replace("`target`", f"`{sought.param}`", 1), sought.param) from None


def drawn_by_hand(sought: SearchJob, mask: np.ndarray) -> Location:
    """Return the location for a mask that the caller drew (HxW bool), where nothing has to be found."""
    candidate = pointing.candidate_of(mask, middle_of(bounding_box(mask)), "mask", 1.0, 0.0)
    return Location(sought.target, sought.target, candidate.point_xy, 1.0, 0.0, True, None, (candidate,))


def _pointed_location(sought: SearchJob, found: Sequence[Candidate]) -> Location:
    best = found[0]
    sure, rough = pointing.confidence(best), best.source == "around"
    location = Location(sought.target, sought.target, best.point_xy, sure, 0.0, True, None, tuple(found))
    return replace(location, low_confidence=rough)


def _location(sought: SearchJob, search: TargetSearch, final: Sequence[Proposal]) -> Location:
    candidates = tuple(one.candidate for one in final)
    by_heat = bool(candidates) and candidates[0].source == "heat"
    found = replace(_best_guess(sought, search.grounded.map), candidates=candidates, low_confidence=by_heat)
    return replace(found, point_xy=candidates[0].point_xy) if candidates else found


def _every_location(sought: SearchJob, search: TargetSearch, found: Sequence[Proposal]) -> Location:
    candidates = tuple(one.candidate for one in found)
    return replace(
        _best_guess(sought, search.grounded.map),
        point_xy=candidates[0].point_xy,
        candidates=candidates,
        instances=tuple(range(len(candidates))),
        low_confidence=any(candidate.source == "heat" for candidate in candidates),
    )


def _best_guess(sought: SearchJob, best: HeatMap) -> Location:
    return Location(sought.target, best.phrase, best.point_xy, best.confidence, best.margin, best.found, best.heat)
