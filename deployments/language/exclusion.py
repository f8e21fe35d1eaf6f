"""What a target says is not meant: "the balloon that is not red", "all balloons except the red one", "not the cat".

CLIP does not read "not": it finds the red balloon. So the words are taken out of the phrase, and what they name becomes
a phrase of its own to keep away from. That works for what a thing looks like, and for another thing that is named; not
for what has to be put together ("the man without a hat", "everything but the dog"), which stays in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from deployments.language import target_patterns
from deployments.language.prompt_patterns import ATTRIBUTES, COLOURS
from deployments.language.quantity import as_one
from deployments.language.target_patterns import LINKS, any_of

MOST_LEFT_OUT = 3  # attributes in one text
_ATTRIBUTE = any_of(sorted(ATTRIBUTES))
_COLOUR = any_of(sorted(COLOURS))
_FOLLOWING = any_of(word for word in LINKS if word not in ("and", "or", "but", "as", "than", "of"))
_END = rf"(?= {_FOLLOWING}(?!\S)| {any_of(target_patterns.SIDES)}(?!\S)|$)"
_NOT = any_of(
    (
        r"(?:(?:that|which|who|but|and|it)(?:'s| is| are| was| were)?,? )?not",
        r"(?:(?:that|which|who) )?(?:isn't|aren't|isnt|arent|ain't|wasn't|weren't)",
    )
)
_OR_NOT = rf"(?: (?:or|nor|and not|or not|and nor) {_ATTRIBUTE})"
_EITHER = rf"(?:,? (?:or|and|nor)(?: (?:the|a|an))? {_ATTRIBUTE}(?: ones?)?)"
_BUT = any_of(
    (
        *("other than", "except for", "except", "but not", "but for", "but", "excluding", "apart from", "aside from"),
        *("besides", "save for", "and not", "not", "different from"),
    )
)
_THING = r"(?:one|ones|(?P<noun>[^\s,]+(?: [^\s,]+)?))"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.ASCII)


_AFTER = (
    _pattern(rf",? {_NOT}(?: colou?red)? (?P<said>{_ATTRIBUTE}{_OR_NOT}{{0,2}})(?: in colou?r)?{_END}"),
    _pattern(rf",? (?:(?:that|which|who) )?(?:is|are) neither (?P<said>{_ATTRIBUTE}{_OR_NOT}{{1,2}}){_END}"),
    _pattern(rf" without (?:any )?(?P<said>{_COLOUR}(?: or {_COLOUR})?)(?: colou?r| on it| in it)?{_END}"),
    _pattern(rf",? {_BUT} (?:(?:the|an?|any|all|all the) )?(?P<said>{_ATTRIBUTE}{_EITHER}{{0,2}})(?: {_THING})?{_END}"),
)
_BEFORE = _pattern(rf"(?<!\S)(?:non-|non |not[ -])(?P<said>{_ATTRIBUTE})(?= (?!{any_of(LINKS)}(?!\S))\S)")
_OTHER_THING = _pattern(r",? (?:and not|but not|not) (?:the|an?) (?P<thing>\S+(?: \S+)?)$")
_NO_THING = frozenset(("everything", "anything", "all", "one", "ones", "object", "nothing", "it", "them"))
# "not the left one", "not the other dog": that is none with a name of its own.
_NO_NAME = frozenset(
    (
        *target_patterns.SIDES,
        *target_patterns.SIZES,
        *target_patterns.PLAIN_SIZES,
        *target_patterns.ORDINALS,
        *_NO_THING,
        "last",
        "other",
    )
)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What a text leaves out: `attributes` of the thing itself ("red"), and `things` ("cat")."""

    attributes: tuple[str, ...] = ()
    things: tuple[str, ...] = ()

    def phrases(self, phrase: str) -> tuple[str, ...]:
        """Return what to keep away from, where `phrase` is what to look for."""
        noun = [word for word in phrase.split() if word.lower() not in COLOURS]
        made = [
            " ".join((attribute, *(noun if attribute.lower() in COLOURS else phrase.split())))
            for attribute in self.attributes
        ]
        return (*made, *self.things)


def without_excluded(said: str) -> tuple[str, Exclusion]:
    """Return the text without what it excludes, and the exclusion; the text as it is where it cannot be understood."""
    for pattern in _AFTER:
        match = pattern.search(said)
        if match and _is_about(said[: match.start()], match.groupdict().get("noun")):
            return said[: match.start()] + said[match.end() :], Exclusion(_attributes(match["said"]))
    before = _BEFORE.search(said)
    if before and _is_noun_phrase(said[: before.start()]):
        return said[: before.start()] + said[before.end() + 1 :], Exclusion(_attributes(before["said"]))
    other = _OTHER_THING.search(said)
    if other and _is_another(said[: other.start()], other["thing"]):
        return said[: other.start()] + said[other.end() :], Exclusion(things=(other["thing"],))
    return said, Exclusion()


def _attributes(said: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[ ,]+", said) if word.lower() in ATTRIBUTES)[:MOST_LEFT_OUT]


def _is_about(before: str, noun: str | None) -> bool:
    """Tell whether the text in front is one thing with a name, the same as `noun`: not "the man with a hat"."""
    if not _is_noun_phrase(before) or before.rsplit(" ", 1)[-1].lower() in _NO_THING:
        return False
    return noun is None or f" {as_one(before)[0]}".lower().endswith(f" {as_one(noun)[0]}".lower())


def _is_another(before: str, thing: str) -> bool:
    """Tell whether one thing is named in front and `thing` is the name of another."""
    has_name = _NO_NAME.isdisjoint(thing.lower().split())
    return has_name and _is_about(before, None) and not as_one(before)[1] and not _is_about(before, thing.split()[-1])


def _is_noun_phrase(text: str) -> bool:
    """Tell whether no word like "with" says something of something else, but for words of place."""
    return target_patterns.LINKED.search(target_patterns.PLACED.sub("", text)) is None
