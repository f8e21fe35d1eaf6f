"""How many are meant: "all the dogs", "both balloons", "one of the cups", "the three cats"; "some balloons".

Where a number is said before a plural, all of its name are meant, and there should be that many. Which ones "some" or
"several" or "other" ones are cannot be known; `Quantity.vague` is the word for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from deployments.language import target_patterns
from deployments.language.plurals import UNCHANGED, is_plural, singular
from deployments.language.target_patterns import any_of

_TEENS = "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"
COUNTS = {word: number for number, word in enumerate(target_patterns.NUMBERS[:9], 2)} | {
    "dozen": 12,
    **{word: number for number, word in enumerate(_TEENS.split(), 11)},
}

_NUMBER = rf"{any_of((*COUNTS, '[2-9]', '[1-9][0-9]'))}"
_COUNT = rf"(?:(?:a )?(?P<count>{_NUMBER})(?! of(?!\S)) )?"
_DEFINITE = any_of(("the", "these", "those", *target_patterns.OWNERS))
_VAGUE = any_of(
    (
        *(
            "some",
            "several",
            "many",
            "(?:a |the )?few",
            "(?:a |the )?couple of",
            "(?:a )?lots? of",
            "plenty of",
            "much",
        ),
        *(
            "numerous",
            "various",
            "multiple",
            "most",
            "half",
            "dozens of",
            "hundreds of",
            "(?:a )?(?:number|handful) of",
        ),
        *("(?:a )?bit of", "(?:a )?part of"),
    )
)
_OTHER = rf"(?:{_DEFINITE} |all |every |any )?(?:other(?! (?:side|end|half))|others|another|rest of|remaining)"


_DRINKS = ("wine", "drinking", "shot", "beer", "champagne", "cocktail", "martini", "water", "juice", "empty", "full")


def _start(text: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:(?:only|just|exactly) )?(?:{text})", re.IGNORECASE | re.ASCII)


VAGUE = _start(rf"(?P<vague>{_OTHER}|{_VAGUE}(?: of)?|{_NUMBER} of)(?!\S) ?(?:{_DEFINITE} )?")
ONE = _start(rf"(?:any |either |just )?(?:one|any|either)(?: one)? of {_DEFINITE} {_COUNT}|(?:one|either) (?!of )")
EVERY = _start(
    rf"(?:(?:each and every|any and all|all|each|every|both)(?: single| one)?(?! other(?!\S)))(?: of)?"
    rf"(?: {_DEFINITE})? {_COUNT}"
)
COUNTED = _start(rf"(?:{_DEFINITE} )?(?=\S){_COUNT}")
SINGLE = _start(r"(?:an?|this|that) (?!dozen )")


@dataclass(frozen=True, slots=True)
class Quantity:
    """How many things a text means, as far as its first words say it.

    `every` is None where only the noun can say it, by being a plural. `vague` is the word that leaves it open.
    `is_single` says that the noun is in the singular, whatever it looks like.
    """

    every: bool | None = None
    count: int | None = None
    vague: str | None = None
    is_single: bool = False


def how_many(said: str) -> tuple[Quantity, str]:
    """Return how many are meant, and the text without the words for it; a number stays where it is no count."""
    vague = VAGUE.match(said)
    if vague:
        return Quantity(None, None, vague["vague"].lower()), said[vague.end() :] or said
    one = ONE.match(said)
    if one:
        return Quantity(every=False), said[one.end() :]
    if SINGLE.match(said):
        return Quantity(every=False, is_single=True), said
    every = EVERY.match(said)
    if every:
        both = 2 if "both" in every[0].lower() else None
        return Quantity(True, _count(every["count"]) or both), said[every.end() :]
    return Quantity(), said


def without_count(phrase: str) -> tuple[int | None, str]:
    """Return the number that a noun phrase in the plural starts with, and the rest of the phrase."""
    counted = COUNTED.match(phrase)
    noun = head_noun(phrase)
    if counted is None or counted["count"] is None or noun is None:
        return None, phrase
    word = phrase.split(" ")[noun].lower()
    if not is_plural(word) and word not in UNCHANGED:
        return None, phrase  # "two storey house"
    return _count(counted["count"]), phrase[counted.end() :]


def _count(word: str | None) -> int | None:
    return None if word is None else COUNTS.get(word.lower()) or int(word)


def head_noun(phrase: str) -> int | None:
    """Return which word of a noun phrase is its noun: the one before "with", "on", "playing" and the like."""
    boundary = target_patterns.PHRASE_END.search(phrase)
    words = (phrase[: boundary.start()] if boundary else phrase).split()
    for index, word in enumerate(words[1:]):
        if is_plural(words[index]) and (word.lower().endswith("ing") or word.lower() in target_patterns.AFTER_NOUN):
            return index
    return len(words) - 1 if words else None


def _is_pair(words: list[str]) -> bool:
    """Tell whether the words end in the name of one thing that is two, such as "fish and chips"."""
    return len(words) > 2 and words[-2] == "and" and f"{words[-3]}:{words[-1]}".lower() in target_patterns.PAIRS


def _are_for_drinks(words: list[str]) -> bool:
    """Tell whether the words end in "wine glasses" or the like, which are several; "glasses" are one thing."""
    return len(words) > 1 and words[-1].lower() == "glasses" and words[-2].lower() in _DRINKS


def as_one(phrase: str) -> tuple[str, bool]:
    """Return a noun phrase in the singular, and whether it was a plural."""
    noun = head_noun(phrase)
    words = phrase.split(" ")
    if noun is not None and _are_for_drinks(words[: noun + 1]):
        return " ".join((*words[:noun], words[noun][:-2], *words[noun + 1 :])), True
    if noun is None or not is_plural(words[noun]) or _is_pair(words[: noun + 1]):
        return phrase, False
    return " ".join((*words[:noun], singular(words[noun]), *words[noun + 1 :])), True
