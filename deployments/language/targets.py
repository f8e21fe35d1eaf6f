"""What the words of a target mean: what to look for, and which one of several. English only.

CLIP finds short noun phrases best and knows next to nothing of left, right, largest or second, so these words are
taken out of its phrase and become an order or a relation among what it finds. A word of place is never dropped in
silence: what cannot be acted on ("the back of the chair", "between the cups") stays in the phrase. So does what only
looks like one ("top hat", or "his left hand": a body's left is its owner's).

- "second" and "last" without a direction count from the left; beside a relation, from the other thing.
- "the middle balloon" is the middle one of them all, "in the middle" is the middle of the picture.
- "the small balloon": a plain size stays in the phrase, as it may belong to a name ("big wheel") or tell nothing
  apart; it decides among those that CLIP finds about equally.
- "nearest" and "front" alone stay: how near the camera was cannot be told. `target_refusals` refuses what stays and
  would be taken for something else.
- "all the balloons on the left" are those in the left half (`among`); a number claims how many there are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast, get_args

from deployments.language import target_patterns
from deployments.language.exclusion import without_excluded
from deployments.language.meaning import ANYTHING, Key, Kind, Order, Relation, Spot, Wording
from deployments.language.quantity import as_one, how_many, without_count

__all__ = ["ANYTHING", "Order", "Relation", "Wording", "parse", "plain", "tidy", "without_articles"]

PUNCTUATION = ".,;:!?\"'`()[]{}<>«»“”„…–—-¿¡*_~|/\\"

PLACES: dict[frozenset[str], Order] = {
    frozenset({"left"}): Order("x"),
    frozenset({"right"}): Order("x", descending=True),
    frozenset({"upper"}): Order("y"),
    frozenset({"lower"}): Order("y", descending=True),
    frozenset({"middle"}): Order("centre"),
    **{frozenset(spot.split("_")): Order(spot) for spot in get_args(Spot) if spot != "centre"},
}


@dataclass(frozen=True, slots=True)
class _Named:
    """The words of order before a noun: "second", "left", "second largest". `from_end` counts from the last.

    `is_place` says that they are no more than a place: "left", not "leftmost".
    """

    rank: int
    from_end: bool
    key: Order | None
    is_place: bool = False


@lru_cache(maxsize=64)  # the checks of a request ask several times
def parse(text: str) -> Wording:
    """Return the meaning of a target such as "the second red balloon from the left".

    Takes any text. What cannot be acted on stays in the phrase, and `target_refusals` finds it.
    """
    said = plain(text)
    asked, excluded = without_excluded(target_patterns.FIND.sub("", said))
    quantity, head = how_many(asked)
    head, relation = _without_relation(without_articles(head))
    head, named = _without_named(head)
    head, place = _without_place(head, may_count=named is not None and named.key is None)
    order, among = _order(named, place, relation)
    phrase = _noun_phrase(head, counted=order is not None)
    count, phrase = without_count(phrase)
    one, is_plural = (phrase, False) if quantity.is_single else as_one(phrase)
    if quantity.every is None:
        is_plural = (is_plural or count is not None) and not (order and target_patterns.OF_SEVERAL.match(head))
    every = is_plural if quantity.every is None else quantity.every
    if every:
        order, among = _part_of_picture(order, among, named)
    elif order is None and relation is None:
        order = _hint(one)
    if not one:
        one = ANYTHING if order or relation or not said else said
    count = (quantity.count or count) if every else None
    return Wording(one, order, relation, among, excluded.phrases(one), every, count)


def _part_of_picture(
    order: Order | None, among: Order | None, named: _Named | None
) -> tuple[Order | None, Order | None]:
    """Return an order as a place that several things share, where it is one: "on the left", but not "leftmost"."""
    is_place = order is not None and order.key in (*get_args(Spot), "x", "y") and (named is None or named.is_place)
    return (None, order) if is_place and among is None else (order, among)


def plain(text: str) -> str:
    """Return the words with single blanks between them, without punctuation at their edges."""
    words = (word.strip(PUNCTUATION) for word in tidy(text).split(" "))
    return target_patterns.WHOLE_PICTURE.sub("", " ".join(filter(None, words)))


def tidy(text: str) -> str:
    """Return the text with single blanks and plain apostrophes, without anything that cannot be printed."""
    straight = unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in straight).split())


def without_articles(said: str) -> str:
    """Return the text without the articles that it starts with."""
    words = said.split(" ")
    first = next(
        (index for index, word in enumerate(words) if word.lower() not in target_patterns.ARTICLES), len(words)
    )
    return " ".join(words[first:])


def _without_relation(head: str) -> tuple[str, Relation | None]:
    """Return the text before the first words of relation, and the relation."""
    held = target_patterns.HOLDING.search(head)
    for match in target_patterns.RELATED.finditer(head, 0, _acted_on(head)):
        kind = next(kind for kind in get_args(Kind) if match[kind])
        if kind in ("above", "below"):
            is_said_of_it = held is None or match.start() < held.start()
        else:
            is_said_of_it = (
                kind == "near" or _word_before(head, match) not in target_patterns.SIDES
            )  # "the top left of"
        if match.start() == 0 or not is_said_of_it:
            continue
        anchor = _noun_phrase(head[match.end() :])
        return (head[: match.start() - 1], Relation(kind, anchor)) if anchor else (head, None)
    return head, None


def _acted_on(head: str) -> int:
    """Return where words begin that belong to another thing, as in "behind the woman on the left"."""
    beyond = target_patterns.BEYOND.search(head)
    return max(0, beyond.start() - 1) if beyond else len(head)


def _without_named(head: str) -> tuple[str, _Named | None]:
    """Return the text without the first words of order before its noun, and what they say."""
    boundary = target_patterns.NOUN_END.search(head)
    end = boundary.start() if boundary else len(head)
    counted = target_patterns.COUNTED_FROM.search(head)
    if counted and counted.start() <= end + 1:
        return _cut(head, counted), _named(counted, _place(counted["place"]))
    for match in target_patterns.NAMED.finditer(head, 0, end):
        if _is_order(head, match, end):
            is_place = match[0].lower() == (match["place"] or "").lower()
            return _cut(head, match), replace(_named(match, _key(match)), is_place=is_place)
    return head, None


def _is_order(head: str, match: re.Match[str], end: int) -> bool:
    """Tell whether words that look like an order are one, and not part of a name or the noun itself."""
    if match["rank"] and match["rank"] != match[0] and target_patterns.LAST.search(match["rank"]):
        return False  # "the last left turn": whatever that is, not the leftmost
    if match["size"]:
        return not head.startswith(" than", match.end())
    if match["most"]:
        return True
    if _is_owned(head, match):
        return False
    if match.end() < end:
        following = target_patterns.NEXT_WORD.match(head, match.end(), end)
        last = match[0].lower().rsplit(" ", 1)[-1]
        return following is None or following[1].lower() not in target_patterns.COMPOUNDS.get(last, ())
    if target_patterns.COUNTED.match(head, match.end()):
        return True
    if match["rank"] and not match["place"]:
        return match.start() == 0 or head.startswith((" from ", " on ", " to "), match.end())
    return head.lower() in ("left", "right")


def _is_owned(head: str, match: re.Match[str]) -> bool:
    """Tell whether somebody owns the thing, as in "his left glove", which need not be on the left of the picture."""
    previous = _word_before(head, match)
    return previous in target_patterns.OWNERS or previous.endswith("'s")


def _word_before(head: str, match: re.Match[str]) -> str:
    start = head.rfind(" ", 0, max(0, match.start() - 1)) + 1
    return head[start : match.start()].strip().lower()


def _named(match: re.Match[str], key: Order | None) -> _Named:
    rank = match["rank"] or "first"
    return _Named(_number(rank.lower()), target_patterns.LAST.search(rank) is not None, key)


def _key(match: re.Match[str]) -> Order | None:
    if match["size"]:
        measure, descending = target_patterns.SIZES[match["size"].lower()]
        return Order(cast(Key, measure), descending)
    if not match["place"]:
        return None
    place = _place(match["place"])
    return replace(place, key="middle") if place.key == "centre" else place


def _number(rank: str) -> int:
    first = re.split("[ -]", rank)[0]
    if first in target_patterns.ORDINALS:
        return target_patterns.ORDINALS.index(first) + 1
    if rank == "last":
        return 1
    return int(first[:-2]) if first[0].isdigit() else 2  # "penultimate", "next to last"


def _place(words: str) -> Order:
    """Return the place that "top left" or the like names."""
    return PLACES[frozenset(target_patterns.SIDES[side] for side in target_patterns.SIDE.findall(words.lower()))]


def _without_place(head: str, may_count: bool) -> tuple[str, tuple[Order, bool] | None]:
    """Return the text without "on the left" or the like; and the place, with whether things are counted from there."""
    end = _acted_on(head)
    for match in target_patterns.PLACED.finditer(head, 0, end):
        counts = match["by"].lower().endswith("from")
        is_motion = match["by"].lower().startswith("to") and _word_before(head, match) in target_patterns.MOTIONS
        # "lit from the left" is no place; "the second from the left" is one.
        if not is_motion and (may_count or not counts):
            return _cut(head, match), (_place(match["place"]), counts)
    trailing = target_patterns.TRAILING.search(head, 0, end)
    if trailing is None or _word_before(head, trailing) in target_patterns.NOT_BEFORE_PLACE:
        return head, None
    return _cut(head, trailing), (_place(trailing["place"]), False)


def _cut(head: str, match: re.Match[str]) -> str:
    return f"{head[: match.start()].rstrip()} {head[match.end() :].lstrip()}".strip()


def _order(
    named: _Named | None, place: tuple[Order, bool] | None, relation: Relation | None
) -> tuple[Order | None, Order | None]:
    """Return what the words before and after the noun say together: which one, and in what part of the picture."""
    if named is None:
        return (place[0] if place else None), None
    if named.key is not None:
        return _counted(named.key, named), (place[0] if place else None)
    if place is None:
        return Order("anchor" if relation else "x", named.from_end, named.rank), None
    along, counts = place
    # "the last from the left" is the rightmost, "the last on the right" too.
    return (_counted(along, named) if counts else replace(along, rank=named.rank)), None


def _counted(along: Order, named: _Named) -> Order:
    return replace(along, descending=along.descending != named.from_end, rank=named.rank)


def _hint(phrase: str) -> Order | None:
    """Return the order that a plain size before the noun hints at, if there is one."""
    boundary = target_patterns.NOUN_END.search(phrase)
    match = target_patterns.PLAIN_SIZE.search(phrase, 0, boundary.start() if boundary else len(phrase))
    if match is None or _is_owned(phrase, match):
        return None
    return Order("area", target_patterns.PLAIN_SIZES[match[0].lower()], firm=False)


def _noun_phrase(head: str, counted: bool = False) -> str:
    """Return the words without what is left of words of order, place and relation at either end."""
    words = head.split()
    if counted and [word.lower() for word in words[:2] if word.lower() != "one"][:1] == ["of"]:
        words = _without_first(
            words, ("one", "ones", "of", "them", *target_patterns.ARTICLES, *target_patterns.NUMBERS)
        )
    words = _without_first(words, (*target_patterns.ARTICLES, *target_patterns.OWNERS))
    while words and words[-1].lower() in target_patterns.COPULAS:
        words.pop()
    if words and (words[-1].lower() in ("one", "ones") or [word.lower() for word in words] == ["it"]):
        words[-1] = ANYTHING
    return " ".join(words)


def _without_first(words: list[str], dropped: Collection[str]) -> list[str]:
    first = next((index for index, word in enumerate(words) if word.lower() not in dropped), len(words))
    return words[first:]
