"""Read what an edit prompt says: which thing to look for, and what to paint there. It understands English only.

A prompt may be an instruction ("replace the red apple with a lemon"), which names what to look for and what to paint,
or a description of what to paint ("a cat wearing sunglasses"), whose head noun is what to look for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from deployments.language import prompt_patterns, target_patterns
from deployments.language.meaning import ANYTHING
from deployments.language.quantity import as_one, how_many, without_count
from deployments.language.target_refusals import is_refused
from deployments.language.targets import parse, plain, tidy, without_articles

MOST_WORDS = 4  # of a head phrase: CLIP finds short ones best
MOST_WORDS_TOLD = 6  # of the thing in an instruction: a longer description is tried by its head first


@dataclass(frozen=True, slots=True)
class PromptReading:
    """The phrases to look for, the likeliest first (never empty, each a text for `parse`), and what to paint there.

    `removes` says that the prompt asks to take something away; then `painted` is the prompt as it is. `describes` says
    that the prompt is not an instruction; then the targets are a guess at what it means in the picture.
    """

    targets: tuple[str, ...]
    painted: str
    removes: bool = False
    describes: bool = False


def read_prompt(prompt: str) -> PromptReading:
    """Return the targets of a prompt and what to paint there.

    An instruction says what becomes what; a description is painted as it is over what its head noun names.
    """
    sentence, rest = _first_sentence(tidy(prompt))
    told = prompt_patterns.POLITE.sub("", sentence)
    kept = prompt_patterns.KEPT.search(told)
    told = told[: kept.start()] if kept else told
    for pattern, read in _INSTRUCTIONS:
        match = pattern.fullmatch(told)
        reading = read(match) if match else None
        if reading is not None:
            return replace(reading, painted=prompt.strip() if reading.removes else reading.painted + rest)
    return PromptReading(_different(_head(told), prompt.strip()), prompt.strip(), describes=True)


def _different(*phrases: str) -> tuple[str, ...]:
    """Return the phrases without those that differ from an earlier one only in articles, case and punctuation."""
    kept: dict[str, str] = {}
    for phrase in phrases:
        kept.setdefault(without_articles(plain(phrase)).lower(), phrase)
    return tuple(phrase for said, phrase in kept.items() if said) or (ANYTHING,)


def _first_sentence(text: str) -> tuple[str, str]:
    """Return the first sentence without its full stop, and the rest with it."""
    end = prompt_patterns.SENTENCE_END.search(text)
    if end is None:
        return text, ""
    return text[: end.start()], text[end.start() :] if end.end() < len(text) else ""


def _head(text: str) -> str:
    """Return the few words that a description is about. All of its noun phrase is kept where that says a place."""
    clause = prompt_patterns.OUTCOME.split(_first_clause(text), maxsplit=1)[0]
    named = plain(prompt_patterns.MEDIUM.sub("", prompt_patterns.CREATED.sub("", clause, count=1), count=1))
    said = without_articles(named)
    if _says_which(_without_the(named), is_definite=prompt_patterns.DEFINITE.match(named) is not None):
        return _without_the(named)
    if named.lower().startswith(("a ", "an ")):
        said = prompt_patterns.DOES.split(said, maxsplit=1)[0]
    said = without_count(said)[1]  # how many are to be painted says nothing of how many there are
    end = next((end for end in prompt_patterns.CLAUSE.finditer(said) if not _joins_adjectives(said, end)), None)
    words = (said[: end.start()] if end else said).split()
    of = words.index("of") if "of" in words else len(words)
    return " ".join(words[max(0, of - MOST_WORDS) : of + MOST_WORDS]).removeprefix("and ")


def _joins_adjectives(said: str, match: re.Match[str]) -> bool:
    """Tell whether an "and" joins adjectives, as in "a red and white cup": the noun phrase goes on behind it."""
    return match[0] == " and" and said[: match.start()].rsplit(" ", 1)[-1].lower() in prompt_patterns.ADJECTIVES


def _first_clause(text: str) -> str:
    """Return the text up to the first comma that does not stand between adjectives, as in "a big, red balloon"."""
    clause: list[str] = []
    for part in re.split("[,:]", text):
        clause.append(part)
        if part.rsplit(" ", 1)[-1].lower() not in prompt_patterns.ADJECTIVES:
            break
    return ",".join(clause)


def _says_which(said: str, is_definite: bool = True) -> bool:
    """Tell whether no word may be left out, because they say which of several things is meant, or may be refused."""
    wording = parse(said)
    is_placed = wording.relation or wording.among or (wording.order is not None and wording.order.firm)
    return bool(is_placed) or (is_definite and (bool(wording.avoid) or wording.count is not None or is_refused(said)))


def _told(old: str) -> tuple[str, ...]:
    """Return what to look for where an instruction names it."""
    said = _without_the(plain(old))
    if not without_articles(said):  # "remove all"
        return (said or ANYTHING,)
    if _says_which(said) or len(said.split()) <= MOST_WORDS_TOLD:
        return _different(said)
    quantity, rest = how_many(said)
    return _different(f"all {_head(rest)}" if quantity.every else _head(said), said)


def _without_the(said: str) -> str:
    """Return the words without articles, but with those that say how many, as in "all the dogs"."""
    words = said.split(" ")
    first = next(
        (index for index, word in enumerate(words) if word.lower() not in target_patterns.POINTERS), len(words)
    )
    return " ".join(words[first:]) or said


def _for_each(old: str, new: str) -> str:
    """Return what to paint at each of several things: "lemon" for "lemons"."""
    return as_one(new)[0] if parse(old).every else new


def _split(text: str, separators: Sequence[re.Pattern[str]]) -> tuple[str, str] | None:
    """Split "the sign by the door with a lemon" at the word before the new thing, which is the one without "the"."""
    found = next(filter(None, (list(separator.finditer(text)) for separator in separators)), None)
    if not found:
        return None
    match = next((match for match in found if not prompt_patterns.DEFINITE.match(text, match.end())), found[-1])
    return text[: match.start()], text[match.end() :].strip()


def _replaced(match: re.Match[str]) -> PromptReading | None:
    parts = _split(match["rest"], prompt_patterns.REPLACED)
    if parts and plain(parts[1]).lower() == "nothing":
        return PromptReading(_told(parts[0]), "", removes=True)
    return _changed(*parts) if parts else None


def _changed_into(match: re.Match[str]) -> PromptReading | None:
    parts = _split(match["rest"], prompt_patterns.CHANGED)
    return _changed(*parts) if parts else None


def _changed(old: str, new: str) -> PromptReading:
    """Return the reading for `old` that becomes `new`: another thing, or the same with another property."""
    owner = prompt_patterns.PROPERTY_OF.fullmatch(old)
    thing = prompt_patterns.FROM_COLOUR.sub("", (owner["thing"] or owner["owner"]) if owner else old)
    if owner and not without_articles(thing):
        return PromptReading(_told(old), _for_each(old, new))
    if owner or all(word.lower() in prompt_patterns.ADJECTIVES for word in plain(new).split()):
        return PromptReading(_told(thing), _with_property(thing, new))
    return PromptReading(_told(thing), _for_each(thing, new))


def _with_property(thing: str, new: str) -> str:
    """Return a thing with a new property: "bright blue car" for "the red car" and "bright blue"."""
    noun = parse(thing).phrase.split()
    said = without_articles(new)
    if not prompt_patterns.COLOURS.isdisjoint(said.lower().split()):
        noun = [word for word in noun if word.lower() not in prompt_patterns.COLOURS] or noun
    return f"{said} {' '.join(noun)}"


def _made(match: re.Match[str]) -> PromptReading | None:
    """Read "make the sky purple", "make the apple a lemon" or "make the man smile"."""
    rest = match["rest"]
    becomes = prompt_patterns.LOOKS.search(rest)
    if becomes:
        return _changed(rest[: becomes.start()], rest[becomes.end() :].strip())
    acts = prompt_patterns.ACTS.search(rest)
    if acts:
        return PromptReading(_told(rest[: acts.start()]), rest)
    words = rest.split()
    thing = next((index for index in range(2, len(words)) if words[index].lower() in ("a", "an")), len(words))
    if thing < len(words):
        return _changed(" ".join(words[:thing]), " ".join(words[thing:]))
    start = len(words)
    while start > 2 and words[start - 1].lower() in prompt_patterns.ADJECTIVES:
        start -= 1
    start += words[start - 1].lower() in prompt_patterns.NOT  # "make the one that is not red green"
    old = " ".join(words[: start - (words[start - 1].lower() in ("in", "with"))])
    return _changed(old, " ".join(words[start:])) if start < len(words) else None


def _added(match: re.Match[str]) -> PromptReading | None:
    """Read "put a hat on the dog" or "put the dog on a beach": in both the dog is repainted."""
    new, by, old = match["new"], match["by"], match["old"]
    if match["put"] and prompt_patterns.DEFINITE.match(new):
        return PromptReading(_told(new), f"{parse(new).phrase} {by} {old}")
    phrase = parse(old).phrase
    return None if phrase == ANYTHING else PromptReading(_told(old), f"{phrase} with {new}")


def _given(match: re.Match[str]) -> PromptReading:
    by = match.groupdict().get("by", "with")
    return PromptReading(_told(match["old"]), f"{parse(match['old']).phrase} {by} {match['new']}")


def _removed(match: re.Match[str]) -> PromptReading:
    old = next(filter(None, (match["old"], match.groupdict().get("gone"))))
    return PromptReading(_told(old), "", removes=True)


def _removed_and_painted(match: re.Match[str]) -> PromptReading:
    return _changed(match["old"], match["new"] or match["put"])


def _wished(match: re.Match[str]) -> PromptReading:
    return _changed(match["old"], match["new"])


def _instead(match: re.Match[str]) -> PromptReading:
    return PromptReading(_told(match["old"]), _for_each(match["old"], match["new"]))


_INSTRUCTIONS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], PromptReading | None]], ...] = (
    (prompt_patterns.REMOVE_AND_PAINT, _removed_and_painted),
    (prompt_patterns.REMOVE, _removed),
    (prompt_patterns.TAKE_AWAY, _removed),
    (prompt_patterns.WISHED_AWAY, _removed),
    (prompt_patterns.WISHED, _wished),
    (prompt_patterns.REPLACE, _replaced),
    (prompt_patterns.CHANGE, _changed_into),
    (prompt_patterns.MAKE, _made),
    (prompt_patterns.INSTEAD, _instead),
    (prompt_patterns.ARROW, _instead),
    (prompt_patterns.ADD, _added),
    (prompt_patterns.GIVE, _given),
    (prompt_patterns.DRESS, _given),
)
