"""Refuse targets that ask for what cannot be done, by name, so that nothing else is taken in silence.

CLIP reads neither negation nor comparison, and finds one name at a time; Retouch repaints one named thing or all things
of one name. Each refusal says what is not possible and what to send instead. `prompt_refusals.py` refuses prompts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from deployments.language import refusal_patterns, target_patterns
from deployments.language.exclusion import without_excluded
from deployments.language.meaning import ANYTHING
from deployments.language.plurals import is_plural
from deployments.language.prompt_patterns import ADJECTIVES, COLOURS
from deployments.language.quantity import as_one, head_noun, how_many
from deployments.language.targets import parse, plain, tidy, without_articles

_ENDINGS = ("ed", "ish", "ful", "less", "ous", "y", "ic", "ive", "en")  # of most adjectives
# These end like adjectives and are none.
_NOUNS_LIKE_THEM = """
    bed shed seed sled weed reed fish dish radish picnic mosaic comic olive hive drive cherry berry strawberry raspberry
    blueberry blackberry lady baby puppy bunny kitty teddy pony toy boy key tray sky daisy lily city fairy butterfly fly
    battery jelly candy body belly monkey donkey turkey chimney lorry trolley daddy mummy pastry ruby trophy library
    factory canary party bus hay ray kitten chicken garden kitchen oven children women men pen hen linen raven maiden
    queen screen token mitten alien citizen den
"""
_NOUNS = frozenset(_NOUNS_LIKE_THEM.split())
MARK_IT = "mark it with points, a box or a mask"


class NotUnderstood(ValueError):
    """Words that cannot be acted on. The message goes on from the name of the field that holds them."""


def check_target(text: str) -> None:
    """Raise NotUnderstood where a target cannot be acted on as it is meant."""
    for find in _CHECKS:
        message = find(text)
        if message:
            raise NotUnderstood(message)


def is_refused(text: str) -> bool:
    """Tell whether `check_target` refuses the text."""
    return any(find(text) for find in _CHECKS)


def lists_things(text: str) -> bool:
    """Tell whether a description lists several things, each with its article or in the plural: "a cat and a dog"."""
    said = plain(_without_quotes(text))
    held = refusal_patterns.HOLDS.search(said)
    end = _end(held, said)
    words = said[:end].split()
    joined = (index for index, word in enumerate(words) if word.lower() in ("and", "or"))
    are_plural = (is_plural(words[index - 1]) and any(map(is_plural, words[index + 1 : index + 3])) for index in joined)
    return refusal_patterns.DESCRIBED.search(said, 0, end) is not None or any(are_plural)


def whole_picture(text: str) -> str | None:
    """Say that the text names the picture itself and no thing in it, if so."""
    said = plain(_without_quotes(text))
    if refusal_patterns.WHOLE_PICTURE.fullmatch(said) or refusal_patterns.EVERYTHING.fullmatch(said):
        return (
            f"names {said!r}, which is no single thing: Retouch repaints one named thing, or all things of one name. "
            "Name that thing, or send a mask of the area to repaint."
        )
    return None


def several_names(text: str) -> str | None:
    """Say that the text lists several things, if so."""
    said = plain(_without_quotes(text))
    if _lists_by_comma(text) or _lists(said):
        return (
            "names several things in a list, and one request repaints one thing or all things of one name. Send one "
            "request for each of them."
        )
    return None


def _no_name(text: str) -> str | None:
    said = plain(text)
    wording = parse(text)
    left = wording.phrase if wording.order or wording.relation else said
    are_ones = wording.phrase.endswith(ANYTHING) and refusal_patterns.ONES.search(said)
    if are_ones or (
        left and (refusal_patterns.NO_NAME.fullmatch(said) or refusal_patterns.ONLY_NUMBER.fullmatch(left))
    ):
        return f"does not name anything to look for. Name the thing, such as 'the red apple', or {MARK_IT}."
    if wording.avoid and wording.phrase == ANYTHING:
        return (
            "says what is not meant and does not name what is. Name the thing, such as 'the balloon that is not red'."
        )
    return None


def _negation(text: str) -> str | None:
    rest, _ = without_excluded(_asked(_without_quotes(text)))
    found = refusal_patterns.NEGATION.search(refusal_patterns.LAST_BUT_ONE.sub("last", rest))
    if found is None or refusal_patterns.ON_A_SIGN.match(rest):
        return None
    return (
        f"excludes something ({found[0]!r}), which cannot be read here. Name the thing that is meant, say what must "
        f"not be taken for it in `avoid`, or {MARK_IT}. Only a colour or a look can be excluded, as in "
        "'the balloon that is not red'."
    )


def _comparison(text: str) -> str | None:
    said, _ = without_excluded(_asked(_without_quotes(text)))
    boundary = target_patterns.NOUN_END.search(said)
    found = (
        refusal_patterns.THAN.search(said)
        or refusal_patterns.COMPARISON.search(said, 0, _end(boundary, said))
        or refusal_patterns.IS_COMPARED.search(said)
    )
    wording = parse(text)
    if found is None and wording.relation is None and wording.order is None:
        found = refusal_patterns.NEAREST.search(said)
    if found is None:
        return None
    return (
        f"compares things ({found[0]!r}), and only sizes and places can be compared, as in 'the larger of the two "
        f"balloons' or 'the leftmost balloon'. Say that, name the thing by how it looks, or {MARK_IT}."
    )


def _open_number(text: str) -> str | None:
    """Say that the text leaves open which things are meant, as "some balloons" does, if so."""
    quantity, rest = how_many(_asked(text))
    noun = rest.removeprefix("of ")
    if quantity.vague is None:
        wording = parse(text)
        vague = how_many(wording.phrase)[0].vague
        if vague is None or not (wording.order or vague.endswith(" of")):
            return None
        quantity = how_many(wording.phrase)[0]
    elif quantity.vague in ("some", "much", "a bit of", "a lot of", "lots of", "plenty of") and not as_one(noun)[1]:
        return None  # "some water"
    return (
        f"says {quantity.vague!r}, which leaves open which of several things are meant. Say 'all the balloons', name "
        f"one of them ('the left balloon'), or {MARK_IT}."
    )


def _ranked_plural(text: str) -> str | None:
    wording = parse(text)
    if not wording.every:
        return None
    adjectives = wording.phrase.lower().split()[: head_noun(wording.phrase)]
    nearest = wording.relation is not None and refusal_patterns.NEAREST.search(_asked(text))
    has_size = not target_patterns.PLAIN_SIZES.keys().isdisjoint(adjectives)
    is_left_over = refusal_patterns.LEFT_OVER.search(wording.phrase)
    if wording.order is None and not nearest and not has_size and not is_left_over:
        return None
    return (
        "picks several things by rank or size, which can be done for one thing only. Send one request for each ('the "
        "largest balloon', 'the second largest balloon'), or ask for all of them, also by place ('all balloons on the "
        "left')."
    )


def _several_anchors(text: str) -> str | None:
    relation = parse(text).relation
    if relation is None:
        return None
    anchor = parse(relation.anchor)
    if anchor.every or anchor.avoid or anchor.relation or any(find(relation.anchor) for find in _CHECKS_OF_ANCHORS):
        return (
            f"says a place by {relation.anchor!r}, and a place can be said by one thing only. Name one thing that it "
            f"is next to, left of, above and so on, or {MARK_IT}."
        )
    return None


def _avoided_anchor(text: str) -> str | None:
    wording = parse(text)
    if wording.relation and wording.avoid:
        return (
            "says both what it is not and what it is next to, left of, above and so on, which cannot be looked for "
            f"together. Leave one of them out, or {MARK_IT}."
        )
    return None


_CHECKS_OF_ANCHORS = (whole_picture, _no_name, _negation, _comparison, several_names, _open_number)
_CHECKS: tuple[Callable[[str], str | None], ...] = (
    *_CHECKS_OF_ANCHORS,
    _ranked_plural,
    _several_anchors,
    _avoided_anchor,
)


def _asked(text: str) -> str:
    return target_patterns.FIND.sub("", plain(text))


def _end(boundary: re.Match[str] | None, said: str) -> int:
    return boundary.start() if boundary else len(said)


def _without_quotes(text: str) -> str:
    return refusal_patterns.QUOTED.sub(" ", tidy(text))


def _lists_by_comma(text: str) -> bool:
    said = refusal_patterns.QUOTED.sub(" ", tidy(text)).strip(" .,;!?")
    if refusal_patterns.COMMA.search(said):
        return True
    first, *parts = re.split("[,;]+", without_articles(said))
    if not parts:
        return False
    parts = [name.strip() for part in (first, *parts) for name in re.split(" (?:and|or) ", f" {part.strip()}")]
    names = [name for name in parts if name]
    may_be_adjective = len(names) == 2 and " " not in names[0] and " " in names[1]  # "a jagged, grey rock"
    return not may_be_adjective and all(map(_is_bare_noun, names))


def _is_bare_noun(part: str) -> bool:
    words = part.lower().split()
    if not 1 <= len(words) <= 2 or not all(word.isalpha() for word in words):
        return False
    return not _is_adjective(words[-1]) and not any(word in target_patterns.NOT_BEFORE_PLACE for word in words)


def _lists(said: str) -> bool:
    """Tell whether "and" or the like joins several things, each of which has a name."""
    said = target_patterns.EACH_AND_EVERY.sub("every", said)
    slash = refusal_patterns.SLASH.search(said)
    if slash and not {slash[1].lower(), slash[2].lower()} & ADJECTIVES:
        return True
    held = refusal_patterns.HOLDS.search(said)
    end = held.start() if held else len(said)
    if refusal_patterns.LISTED.search(said, 0, end) or refusal_patterns.LISTED_OWNED.search(said):
        return True
    words = said[:end].split()
    return refusal_patterns.A_SIGN.search(said, 0, end) is None and any(
        not _joins_one_name(words[max(0, index - 1) : index], word.lower(), words[index + 1 : index + 3])
        for index, word in enumerate(words)
        if refusal_patterns.JOINED.fullmatch(word)
    )


def _joins_one_name(before: list[str], joined: str, after: list[str]) -> bool:
    """Tell whether the words around "and" name one thing ("black and white cat") and not two ("cat and dog")."""
    if not before or not after:
        return True
    pair = f"{before[-1]}:{after[0]}".lower()
    if pair in target_patterns.PAIRS:
        return True
    if joined == "or":
        return False
    if before[-1].lower().endswith("ing") and after[0].lower().endswith("ing"):
        return True
    colours = {before[-1].lower(), after[0].lower()}
    if colours <= COLOURS and len(after) > 1 and is_plural(after[1]):
        return colours == {"black", "white"}  # "red and blue balloons": some are red and some are blue
    return _is_adjective(before[-1]) and (_is_adjective(after[0]) or len(after) > 1 or before[-1].lower() in ADJECTIVES)


def _is_adjective(word: str) -> bool:
    lower = word.lower()
    is_known = lower in ADJECTIVES or lower in refusal_patterns.COMPARED or lower in ("worn", "torn")
    return is_known or (lower.endswith(_ENDINGS) and lower not in _NOUNS)
