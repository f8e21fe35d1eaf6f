"""The English of what cannot be acted on, as patterns.

As in `target_patterns`, a search is linear in the length of the text.
"""

from __future__ import annotations

import re

from deployments.language.prompt_patterns import ADJECTIVES, COLOURS
from deployments.language.target_patterns import ARTICLES, LINKS, NUMBERS, OWNERS, SIZES, any_of, whole_words

_DETERMINER = any_of(
    (
        *(word for word in ARTICLES if word not in ("any", "some", "that")),
        *(*OWNERS, "each", "every", "another", "one", *NUMBERS, "some", "any"),
    )
)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.ASCII)


# What stands in quotation marks, and what a sign says, is a name: "the no smoking sign".
QUOTED = _pattern(r"""(?<!\w)(?:"[^"]*"|'[^']*'|“[^”]*”|‘[^’]*’)(?!\w)""")
_SIGNS = """
    sign signs poster posters sticker stickers label labels symbol symbols notice notices logo logos banner board button
    plate placard tag badge mark icon graffiti billboard card zone phone cake
"""
_NO_LINK = rf"(?!{any_of((*LINKS, *ARTICLES, *OWNERS))} )\S+ "
ON_A_SIGN = _pattern(
    rf"^(?:(?:the|an?|this|that|remove|erase|delete) ){{0,2}}(?:{_NO_LINK}){{0,2}}"
    r"(?:no|not|don't|do not|never|nothing)[ -]"
    rf"(?!(?:change|remove|touch|alter|move|edit) )(?:{_NO_LINK}){{1,3}}(?:{any_of(_SIGNS.split())})"
    rf"(?= {any_of(LINKS)}(?!\S)|$)"
)
A_SIGN = whole_words(any_of(_SIGNS.split()))

NEGATION = whole_words(
    r"not|no|none|nobody|nowhere|never|neither|nor|without|except|hardly|barely|scarcely|excepting|excluding|but|unless|minus|cannot|w/o|sans"
    r"|instead of|rather than|other than|apart from|aside from|besides|different from|far from|away from|far away"
    r"|lacking|missing|anything|with nothing|(?:the )?opposite of"
    r"|\w+n't|isnt|arent|doesnt|wasnt|hasnt"
    rf"|non-{any_of(sorted(COLOURS))}"
)
# "the last but one" is an order.
LAST_BUT_ONE = _pattern(r"\blast but one\b")

_COMPARED = """
    dark light bright old young red blue green round clean dirty pretty ugly fat thin thick fast slow new shiny heavy
    long deep soft full fluffy furry happy sad strong weak fresh ripe rusty warm cold hot clear sharp cute tasty rough
    smooth calm bare bold loud quiet steep tight loose wild raw tidy rich plain pale yellow pink brown white black busy
    empty wet dry
"""


def _degrees(word: str) -> tuple[str, str]:
    if word.endswith("y"):
        return word[:-1] + "ier", word[:-1] + "iest"
    stem = word[:-1] if word.endswith("e") else word
    stem += stem[-1] if word in ("red", "fat", "thin", "sad", "hot", "wet") else ""
    return stem + "er", stem + "est"


_DEGREES = [degree for word in _COMPARED.split() for degree in _degrees(word)]
COMPARED = frozenset(_COMPARED.split())
_DEGREE = any_of((*_DEGREES, "greater", "greatest", "foremost", "frontmost", "rearmost", "hindmost"))
_IN_EST = "forest harvest protest interest contest request conquest priest guest bequest everest quest modest"
_NO_SUPERLATIVES = any_of((*SIZES, *_IN_EST.split()))
_SUPERLATIVE = rf"(?!{_NO_SUPERLATIVES} )[a-z]{{3,}}(?<!w)est(?= \S)"
_IN_IER = """
    soldier cashier frontier terrier carrier barrier glacier premier chandelier courier farrier harrier atelier croupier
    brazier cavalier collier dossier espalier supplier rapier clothier cordelier
"""
_COMPARATIVE = rf"(?!{any_of(_IN_IER.split())} )[a-z]{{3,}}ier(?= \S)"
COMPARISON = whole_words(rf"{_DEGREE}(?:-\S+)?|{_SUPERLATIVE}|{_COMPARATIVE}|(?:more|most|less|least)(?= [a-z]{{3}})")
IS_COMPARED = whole_words(
    rf"(?:is|are|was|looks|of|that's|which's|who's|it's|has|having|with) (?:(?:much|a bit|far|even|the|a) ){{0,2}}"
    rf"(?:{_DEGREE}|{any_of(SIZES)}|(?:more|most|less|least) [a-z]+)"
)
THAN = whole_words(
    r"than|as (?!well )\S+ as|the same (?:size|colou?r|height|shape|kind|as)|same (?:size|colou?r|height|shape) as"
    r"|(?:twice|half|times) as|similar to|equal (?:to|in)"
)
NEAREST = whole_words("closest|nearest|closer|nearer|further|farther|furthest|farthest")

LEFT_OVER = whole_words("from (?:the )?(?:left|right|top|bottom)")

# Two things in a list. Behind these words, what "and" joins belongs to the one thing.
HOLDS = whole_words(
    "(?<!together )(?<!along )with|wearing|holding|having|has|carrying|in|of|from|for|between|that|which|who|whose|made"
    "|full"
)
_AND = r"(?:and|or|nor|plus|&|\+|and/or|as well as|along with|together with|and also)"
DESCRIBED = whole_words(rf"{_AND} (?:{any_of(ARTICLES)}|another|one|{any_of(NUMBERS)})(?= \S)")
LISTED = whole_words(rf"{_AND} (?:also )?{_DETERMINER}(?= \S)")
LISTED_OWNED = whole_words(r"(?:and|or) the (?:\S+ ){1,2}(?:with|wearing|holding)")
JOINED = _pattern(r"and|or|&|\+|plus")
COMMA = _pattern(
    rf"(?<=\w)[,;.]+ (?:and |or |also |plus )?(?!(?:the|an?) (?:{any_of(sorted(COLOURS))} )?ones?\b){_DETERMINER} \w"
)
SLASH = _pattern(r"(?<![\w/])([a-z]{3,})/([a-z]{3,})(?![\w/])")

# What no mask can be found for: the picture itself, or nothing by name.
_PICTURE = any_of(("picture", "image", "photo", "photograph", "pic", "scene", "view"))
QUALITIES = any_of(
    (
        *("foreground", "surroundings", "environment", "contrast", "brightness", "exposure", "saturation", "sharpness"),
        *("white balance", "colou?r (?:balance|scheme|palette|grading)", "resolution", "quality", "perspective"),
        *("aspect ratio", "season", "time of day", "noise", "grain", "blur", "depth of field", "focus", "colou?rs"),
        *("tones?", "hues?", "theme", "layout", "setting", "camera angle", "vibe", "aesthetic", "composition"),
        *("day", "night", "daytime", "nighttime"),
    )
)
_GROUNDS = any_of(("background", "backdrop", "lighting", "style", "mood", "atmosphere", "weather"))
_ANY_WORD = rf"(?:(?!{any_of(LINKS)} )\S+ )"
_OF_PICTURE = rf"(?: (?:of|in|behind) (?:the |this |my )?{_PICTURE}| (?:behind|around) (?:it|them|him|her|the .+))?"
WHOLE_PICTURE = _pattern(
    r"(?:(?:the|a|an|this|my|your|its|whole|entire|full|complete|overall|current|all|of) ){0,4}"
    rf"(?:{_PICTURE}|{QUALITIES}|{_ANY_WORD}{{0,2}}{_GROUNDS}(?:'s)?{_OF_PICTURE})"
    r"(?: (?:completely|entirely|altogether|fully|too))?"
)
# "make the photo sepia", but neither "the photo frame" nor "the background singer".
OF_WHOLE_PICTURE = _pattern(
    rf"(?:the |this |my |a )?(?:(?:whole|entire|full) )?"
    rf"(?:(?:{_GROUNDS}|(?:{QUALITIES}))(?! (?:of|on|singer|music|guide)(?!\S))"
    rf"|{_PICTURE}(?= (?:to|into|with|by|look\w*|more|less|upside|sepia|night|day|completely|entirely|all|fully"
    rf"|{_DEGREE}"
    rf"|{any_of(sorted(ADJECTIVES))})(?!\S)|$))(?!\S)"
)
EVERYTHING = _pattern(
    r"(?:absolutely )?(?:everything|anything|all|nothing|something|whatever|the rest|rest|stuff|the lot|all of this)"
    r"(?: (?:else|here|there|in it|visible|around it|in (?:the |this )?\S+|of (?:it|them|this|that|these|those)))?"
    r"|everything (?!(?:but|except|excluding|other|apart|aside|besides|save|without|not|that|which|who)(?!\S)).+"
)
NO_NAME = _pattern(
    rf"(?:(?:both|all|each|every|one|any|some|none|most|half|either|neither|{any_of(NUMBERS)})(?: ones?)?(?: of)? ?)?"
    r"(?:it|this|that|them|these|those|him|her|they|us|me|you|itself|both|either|neither|each|every|each other|one|ones"
    r"|(?:this|that|the|these|those|each|every|any)(?: single)? ones?|things?)"
)
ONES = whole_words("ones")
ONLY_NUMBER = _pattern(rf"(?:the )?(?:{any_of(NUMBERS)}|[0-9]+|both|all|each|every|half)(?: of)?")
