"""What the words of a target mean: what to look for, and which one of several. English only.

CLIP finds short noun phrases best and knows next to nothing of left, right, largest or second, so these words are
taken out of its phrase and become an order or a relation among what it finds. A word of place is never dropped in
silence: what cannot be acted on ("the back of the chair", "between the cups") stays in the phrase. So does what only
looks like one ("top hat", or "his left hand": a body's left is its owner's).

- "second" and "last" without a direction count from the left; beside a relation, from the other thing.
- "the middle balloon" is the middle one of them all, "in the middle" is the middle of the picture.
- "the small balloon": a plain size stays in the phrase, as it may belong to a name ("big wheel") or tell nothing
  apart; it decides among those that CLIP finds about equally.
- "nearest" and "front" alone stay: how near the camera was cannot be told.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from deployments.grounding import vocabulary

Spot = Literal[
    "upper_left",
    "upper_middle",
    "upper_right",
    "middle_left",
    "centre",
    "middle_right",
    "lower_left",
    "lower_middle",
    "lower_right",
]
Key = Literal["x", "y", "area", "height", "width", "middle", "anchor"] | Spot
Kind = Literal["left_of", "right_of", "above", "below", "near"]

ANYTHING = "object"  # what to look for where no noun is said: "the largest one"
PUNCTUATION = ".,;:!?\"'`()[]{}<>«»“”„…–—-¿¡*_~|/\\"


@dataclass(frozen=True, slots=True)
class Order:
    """Which of several: the `rank`-th by `key`, from the smallest value on, or from the largest if `descending`.

    A spot's value is the distance to it, "anchor" the distance to the other thing of a relation, "middle" that to the
    middle one of them all. An order that is not `firm` is a hint: it decides among about equally good matches only.
    """

    key: Key
    descending: bool = False
    rank: int = 1
    firm: bool = True


@dataclass(frozen=True, slots=True)
class Relation:
    """Where it is as seen from something else; `anchor` is a noun phrase for that."""

    kind: Kind
    anchor: str


@dataclass(frozen=True, slots=True)
class Wording:
    """What CLIP should look for (never empty), and which of what it finds is meant.

    `among` is the part of the picture in which the order is counted: "the largest balloon on the left".
    """

    phrase: str
    order: Order | None = None
    relation: Relation | None = None
    among: Order | None = None


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
    """The words of order before a noun: "second", "left", "second largest". `from_end` counts from the last."""

    rank: int
    from_end: bool
    key: Order | None


def parse(text: str) -> Wording:
    """The meaning of a target such as "the second red balloon from the left". Takes any text."""
    said = plain(text)
    head, relation = _without_relation(without_articles(vocabulary.FIND.sub("", said)))
    head, named = _without_named(head)
    head, place = _without_place(head, may_count=named is not None and named.key is None)
    order, among = _order(named, place, relation)
    phrase = _noun_phrase(head, counted=order is not None)
    if order is None and relation is None:
        order = _hint(phrase)
    if not phrase:
        phrase = ANYTHING if order or relation or not said else said
    return Wording(phrase, order, relation, among)


def plain(text: str) -> str:
    """The words with single blanks between them, without punctuation at their edges."""
    words = (word.strip(PUNCTUATION) for word in tidy(text).split(" "))
    return vocabulary.WHOLE_PICTURE.sub("", " ".join(filter(None, words)))


def tidy(text: str) -> str:
    """The text with single blanks and plain apostrophes, without anything that cannot be printed."""
    straight = unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in straight).split())


def without_articles(said: str) -> str:
    words = said.split(" ")
    first = next((index for index, word in enumerate(words) if word.lower() not in vocabulary.ARTICLES), len(words))
    return " ".join(words[first:])


def _without_relation(head: str) -> tuple[str, Relation | None]:
    """The text before the first words of relation, and the relation."""
    held = vocabulary.HOLDING.search(head)
    for match in vocabulary.RELATED.finditer(head, 0, _acted_on(head)):
        kind = next(kind for kind in get_args(Kind) if match[kind])
        if kind in ("above", "below"):
            is_said_of_it = held is None or match.start() < held.start()
        else:
            is_said_of_it = kind == "near" or _word_before(head, match) not in vocabulary.SIDES  # "the top left of"
        if match.start() == 0 or not is_said_of_it:
            continue
        anchor = _noun_phrase(head[match.end() :])
        return (head[: match.start() - 1], Relation(kind, anchor)) if anchor else (head, None)
    return head, None


def _acted_on(head: str) -> int:
    """Where words begin that belong to something else: "behind the woman on the left"."""
    beyond = vocabulary.BEYOND.search(head)
    return max(0, beyond.start() - 1) if beyond else len(head)


def _without_named(head: str) -> tuple[str, _Named | None]:
    """The text without the first words of order before its noun, and what they say."""
    boundary = vocabulary.NOUN_END.search(head)
    end = boundary.start() if boundary else len(head)
    counted = vocabulary.COUNTED_FROM.search(head)
    if counted and counted.start() <= end + 1:
        return _cut(head, counted), _named(counted, _place(counted["place"]))
    for match in vocabulary.NAMED.finditer(head, 0, end):
        if _is_order(head, match, end):
            return _cut(head, match), _named(match, _key(match))
    return head, None


def _is_order(head: str, match: re.Match[str], end: int) -> bool:
    """Whether words of order are that, and no part of a name or the noun itself."""
    if match["rank"] and match["rank"] != match[0] and vocabulary.LAST.search(match["rank"]):
        return False  # "the last left turn": whatever that is, not the leftmost
    if match["size"]:
        return not head.startswith(" than", match.end())
    if match["most"]:
        return True
    if _is_owned(head, match):
        return False
    if match.end() < end:
        following = vocabulary.NEXT_WORD.match(head, match.end(), end)
        last = match[0].lower().rsplit(" ", 1)[-1]
        return following is None or following[1].lower() not in vocabulary.COMPOUNDS.get(last, ())
    if vocabulary.COUNTED.match(head, match.end()):
        return True
    if match["rank"] and not match["place"]:
        return match.start() == 0 or head.startswith((" from ", " on ", " to "), match.end())
    return head.lower() in ("left", "right")


def _is_owned(head: str, match: re.Match[str]) -> bool:
    """ "his left glove": not the one on the left of the picture."""
    previous = _word_before(head, match)
    return previous in vocabulary.OWNERS or previous.endswith("'s")


def _word_before(head: str, match: re.Match[str]) -> str:
    start = head.rfind(" ", 0, max(0, match.start() - 1)) + 1
    return head[start : match.start()].strip().lower()


def _named(match: re.Match[str], key: Order | None) -> _Named:
    rank = match["rank"] or "first"
    return _Named(_number(rank.lower()), vocabulary.LAST.search(rank) is not None, key)


def _key(match: re.Match[str]) -> Order | None:
    if match["size"]:
        measure, descending = vocabulary.SIZES[match["size"].lower()]
        return Order(cast(Key, measure), descending)
    if not match["place"]:
        return None
    place = _place(match["place"])
    return replace(place, key="middle") if place.key == "centre" else place


def _number(rank: str) -> int:
    first = re.split("[ -]", rank)[0]
    if first in vocabulary.ORDINALS:
        return vocabulary.ORDINALS.index(first) + 1
    if rank == "last":
        return 1
    return int(first[:-2]) if first[0].isdigit() else 2  # "penultimate", "next to last"


def _place(words: str) -> Order:
    """ "top left" and the like."""
    return PLACES[frozenset(vocabulary.SIDES[side] for side in vocabulary.SIDE.findall(words.lower()))]


def _without_place(head: str, may_count: bool) -> tuple[str, tuple[Order, bool] | None]:
    """The text without "on the left" and the like; the place, and whether it is counted from there."""
    end = _acted_on(head)
    for match in vocabulary.PLACED.finditer(head, 0, end):
        counts = match["by"].lower().endswith("from")
        is_motion = match["by"].lower().startswith("to") and _word_before(head, match) in vocabulary.MOTIONS
        # "lit from the left" is no place; "the second from the left" is one.
        if not is_motion and (may_count or not counts):
            return _cut(head, match), (_place(match["place"]), counts)
    trailing = vocabulary.TRAILING.search(head, 0, end)
    if trailing is None or _word_before(head, trailing) in vocabulary.NOT_BEFORE_PLACE:
        return head, None
    return _cut(head, trailing), (_place(trailing["place"]), False)


def _cut(head: str, match: re.Match[str]) -> str:
    return f"{head[: match.start()].rstrip()} {head[match.end() :].lstrip()}".strip()


def _order(
    named: _Named | None, place: tuple[Order, bool] | None, relation: Relation | None
) -> tuple[Order | None, Order | None]:
    """What the words before and after the noun say together: which one, and in what part of the picture."""
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
    """What a plain size in front of the noun hints at."""
    boundary = vocabulary.NOUN_END.search(phrase)
    match = vocabulary.PLAIN_SIZE.search(phrase, 0, boundary.start() if boundary else len(phrase))
    if match is None or _is_owned(phrase, match):
        return None
    return Order("area", vocabulary.PLAIN_SIZES[match[0].lower()], firm=False)


def _noun_phrase(head: str, counted: bool = False) -> str:
    """Without what may be left of words of order, place and relation at either end."""
    words = head.split()
    if counted and [word.lower() for word in words[:2] if word.lower() != "one"][:1] == ["of"]:
        words = _without_first(words, ("one", "ones", "of", "them", *vocabulary.ARTICLES, *vocabulary.NUMBERS))
    words = _without_first(words, (*vocabulary.ARTICLES, *vocabulary.OWNERS))
    while words and words[-1].lower() in vocabulary.COPULAS:
        words.pop()
    if words and (words[-1].lower() in ("one", "ones") or [word.lower() for word in words] == ["it"]):
        words[-1] = ANYTHING
    return " ".join(words)


def _without_first(words: list[str], dropped: Collection[str]) -> list[str]:
    first = next((index for index, word in enumerate(words) if word.lower() not in dropped), len(words))
    return words[first:]
