"""The English words of place, size and order, as patterns over words with single blanks between them.

No pattern repeats anything without bound, so a search is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# In any case; without ASCII a dotless i would pass for an i.
_PLAIN_LETTERS = re.IGNORECASE | re.ASCII


def any_of(words: Iterable[str]) -> str:
    """Return the pattern of any one of the words, which are patterns themselves."""
    return f"(?:{'|'.join(words)})"


def whole_words(text: str) -> re.Pattern[str]:
    """Return a pattern that matches `text`, a pattern itself, as whole words and in any case."""
    return re.compile(rf"(?<!\S)(?:{text})(?!\S)", _PLAIN_LETTERS)


ARTICLES = ("the", "a", "an", "this", "that", "these", "those", "some", "any", "all", "both")
POINTERS = ("the", "a", "an", "this", "that", "these", "those")  # articles that say nothing of how many
OWNERS = ("my", "your", "our", "his", "her", "its", "their")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "many", "several")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
# Words that end a noun phrase: what follows is said of something else, or of what the thing does.
_LINKS = """
    with without wearing holding having has in on onto at to into from of by as and or but that which who whose is are
    was that's which's who's near next beside behind above below over under beneath underneath inside outside between
    against around through across along for than while when sitting standing lying counting please then
"""
LINKS = tuple(_LINKS.split())
# Words that may stand behind a noun and say nothing of what it is: "the dogs there".
_AFTER_NOUN = "there here together alone standing lying outside inside facing visible shown"
AFTER_NOUN = frozenset(_AFTER_NOUN.split())
# Names of one thing that have an "and" inside.
_PAIRS = """
    salt:pepper bread:butter rock:roll fish:chips mac:cheese macaroni:cheese ham:eggs ham:cheese bacon:eggs cup:saucer
    jelly:jam butter:jelly knife:fork bow:arrow lock:key ball:chain gin:tonic mortar:pestle needle:thread
    hammer:sickle skull:crossbones hook:eye pen:paper cheese:crackers rice:beans spaghetti:meatballs milk:cookies
    tea:biscuits strawberries:cream cookies:cream peaches:cream nuts:bolts bucket:spade horse:cart horse:carriage
    stop:go drum:bass arts:crafts hide:seek lost:found bed:breakfast wash:go mix:match oil:vinegar sweet:sour
    surf:turf bangers:mash bubble:squeak dungeons:dragons snakes:ladders noughts:crosses stars:stripes
    heart:arrow hammer:tongs dustpan:brush rod:reel push:pull trial:error
    research:development pick:mix yin:yang head:shoulders track:field cut:paste on:off up:down in:out hot:cold
    tom:jerry ben:jerry beauty:beast romeo:juliet adam:eve trick:treat cream:sugar soap:water
    sticks:stones half:half burger:fries chicken:waffles biscuits:gravy chips:salsa chips:dip
"""
PAIRS = frozenset(_PAIRS.split())
# Said between a thing and its place; they mean nothing at the end of a phrase.
COPULAS = (
    "that",
    "which",
    "who",
    "that's",
    "which's",
    "who's",
    "is",
    "are",
    "was",
    "located",
    "positioned",
    "placed",
    "situated",
    "counting",
    "and",
)
# "facing left" tells where it looks, not where it is.
_MOTIONS = """
    facing looking pointing turned turning leaning moving walking running heading going tilted glancing gazing staring
    swinging flying swimming driving riding bent bending parted swept turn bowing seen lit
"""
MOTIONS = tuple(_MOTIONS.split())

SIDES = {
    **{"left": "left", "right": "right", "top": "upper", "upper": "upper", "bottom": "lower", "lower": "lower"},
    **{"middle": "middle", "centre": "middle", "center": "middle", "central": "middle"},
}
SIDE = re.compile("|".join(SIDES))
# "in the left": not just a place behind a noun.
NOT_BEFORE_PLACE = frozenset((*MOTIONS, *ARTICLES, *OWNERS, *SIDES, *LINKS))
# What is measured, and whether the largest comes first.
SIZES = {
    **dict.fromkeys(("largest", "biggest", "larger", "bigger"), ("area", True)),
    **dict.fromkeys(("smallest", "tiniest", "littlest", "smaller", "tinier"), ("area", False)),
    **dict.fromkeys(("tallest", "taller"), ("height", True)),
    **dict.fromkeys(("shortest", "shorter"), ("height", False)),
    **dict.fromkeys(("widest", "wider"), ("width", True)),
    **dict.fromkeys(("narrowest", "narrower"), ("width", False)),
    **dict.fromkeys(("highest", "higher"), ("y", False)),
    "lowest": ("y", True),
}
PLAIN_SIZES = {
    **dict.fromkeys(("large", "big", "huge"), True),
    **dict.fromkeys(("small", "little", "tiny"), False),
}

_BODY = """
    hand arm leg foot eye ear wing shoulder knee cheek paw thumb finger toe hip eyebrow lip jaw eyelid nostril breast
    body back hands arms legs feet eyes ears wings shoulders knees cheeks paws thumbs fingers toes hips eyebrows lips
    eyelids nostrils breasts teeth
"""
_REGIONS = ("side", "edge", "corner", "part", "half", "end", "area", "third", "border", "region", "section", "quarter")
_NAMES = {
    "left": "winger luggage",
    "right": "angle angles triangle whale whales winger",
    "top": "hat hats coat coats bun knot gun secret dog",
    "bottom": "bracket brackets line feeder",
    "upper": "class deck case",
    "lower": "class deck case",
    "middle": "class school ages earth name east",
    "centre": "piece court console stage field circle line",
    "center": "piece court console stage field circle line",
    "central": "park station heating",
}
# What stands after a word makes it part of a name, of a body (whose left is its owner's) or of the picture itself.
COMPOUNDS = {
    **{word: frozenset((*names.split(), *_BODY.split(), *_REGIONS)) for word, names in _NAMES.items()},
    "first": frozenset(("aid", "lady", "floor", "base", "class", "name", "place", "prize", "date", "snow", "edition")),
    "second": frozenset(("hand", "hands", "floor", "base", "class")),
    "third": frozenset(("eye", "floor", "base", "rail", "party")),
    "fourth": frozenset(("floor", "wall", "estate")),
    "last": frozenset(("name", "supper", "call")),
}

_VERTICAL, _ACROSS = r"(?:top|bottom|upper|lower)", r"(?:left|right)"
_MIDDLE = r"(?:middle|centre|center|central)"
_PAIR = any_of(
    (
        rf"{_VERTICAL}[- ](?:{_ACROSS}|{_MIDDLE})",
        rf"{_MIDDLE}[- ](?:{_ACROSS}|{_VERTICAL})",
        rf"{_ACROSS}[- ](?:{_VERTICAL}|{_MIDDLE})",
    )
)
_PLACE = any_of((_PAIR, _VERTICAL, _ACROSS, _MIDDLE))
_REGION = any_of(_REGIONS)
_HAND = rf"(?:-hand| hand(?= {_REGION}))?"
_FAR = r"(?:far|furthest|farthest|further|extreme|most|very|all the way)"
_THE = r"(?:(?:the|its|very|far|extreme|absolute|immediate|furthest|farthest) ){0,3}"
_TO_SIDE = rf"(?: to (?:the )?{_PLACE})?"
_OF_MIDDLE = rf"(?: of (?:the )?{_MIDDLE})?"
_NOT_OF = r"(?! of(?!\S))"
_FOLLOWED = rf"(?={_NOT_OF} {any_of((*LINKS, *MOTIONS))}(?!\S)|$)"
_INTRODUCED = r"(?= (?:the|an?|this|that|these|those|another)(?!\S))"
_RANK = any_of(
    (
        rf"(?:{any_of(ORDINALS)}|[1-9]\d{{0,2}}(?:st|nd|rd|th))(?:[- ](?:to|from)(?:[- ]the)?[- ]last|[- ]last)?",
        r"last but one|last|penultimate|next[- ]to[- ]last",
    )
)
_SIDE_OF = rf"{_HAND}(?: {_REGION})? of"
_ON = r"(?:(?:on|to|at|in|near|from) (?:(?:the|its|immediate|far|very) ){0,2})?"
_AT = r"(?:on|at|near|to) (?:the )?(?:very )?"
_NO_THING = r"(?:camera|viewer|lens|us|me|you|way|front|back|foreground|background|edge|corner|picture)"
# What is no thing to be found in the picture, or belongs to the one that is sought.
_NO_ANCHOR = any_of(
    (
        rf" {any_of(OWNERS)}(?!\S)",
        rf" (?:the |these )?{any_of(NUMBERS)}(?!\S)",
        r" (?:each other|one another|and|or)(?!\S)",
        rf" (?:the |this )?{_NO_THING}(?!\S)",
        rf" (?:the )?{_PLACE}(?: {_REGION})?{_FOLLOWED}",
        rf" (?:the )?{_MIDDLE}(?!\S)",
    )
)

# "in the picture" says nothing.
WHOLE_PICTURE = re.compile(
    r" (?:in|of|from|within) (?:the |this |my )?(?:picture|image|photo|photograph|pic|scene|shot)(?!\S)",
    _PLAIN_LETTERS,
)
FIND = re.compile(r"^(?:please )?(?:find|locate|select|show)(?: me)? (?=(?:the|an?) )", _PLAIN_LETTERS)
# Where the noun phrase that starts a text ends; "to last" and the like belong to an ordinal.
NOUN_END = re.compile(
    rf"(?:^| )(?!(?:(?:next )?(?:to|from) (?:the )?last|but one)(?!\S)){any_of(LINKS)}(?!\S)"
    rf"|(?<! to) {any_of((*ARTICLES, *OWNERS))}(?!\S)",
    _PLAIN_LETTERS,
)
# The same, where "and" has been seen to join no two things: "black and white cats".
PHRASE_END = re.compile(rf" {any_of(word for word in LINKS if word not in ('and', 'or', 'but'))}(?!\S)", _PLAIN_LETTERS)
LINKED = whole_words(any_of(word for word in LINKS if word != "of"))
NEXT_WORD = re.compile(r" (\S+)")
LAST = re.compile("last|penultimate", _PLAIN_LETTERS)
# "second largest", "leftmost", "top left", "third"; before the noun.
NAMED = whole_words(
    rf"(?:(?P<rank>{_RANK})(?:[- ]|(?!\S)))?(?:(?P<size>{any_of(SIZES)})"
    rf"|(?:{_FAR} )?(?P<place>{_PLACE})(?P<most>[- ]?most)?{_HAND}(?: {_REGION}(?= \S))?)?(?<=\w)"
)
PLAIN_SIZE = re.compile(rf"(?<!\S){any_of(PLAIN_SIZES)}(?= )", _PLAIN_LETTERS)
# "second from the left"; before or after the noun.
COUNTED_FROM = whole_words(
    rf"(?P<rank>{_RANK}) from {_THE}(?P<place>{_PLACE}){_HAND}(?: (?:side|edge|end))?{_TO_SIDE}{_NOT_OF}"
)
# "on the left", "in the upper left corner", "from the right"; after the noun. The top that one is in is clothing.
PLACED = whole_words(
    r"(?!on top(?!\S))(?!in (?:the )?(?:top|bottom)(?: (?!side|half|part|area|end|third|left|right|mid|cent)|$))"
    rf"(?:{_FAR} )?(?P<by>(?:counting )?from|on|at|in|to|towards?|near|close to|closest to|nearest to|nearest|closest"
    rf"|along) {_THE}(?P<place>{_PLACE})(?:[- ]?most)?{_HAND}(?: {_REGION})?(?:{_TO_SIDE}|{_OF_MIDDLE}){_FOLLOWED}"
)
# "man far left", "dog top right corner"; at the very end, without a preposition.
TRAILING = whole_words(
    rf"(?<=\S )(?:{_FAR} )?(?P<place>{_PAIR}|{_ACROSS})(?:[- ]?most)?{_HAND}(?: {_REGION})?{_OF_MIDDLE}$"
)
EACH_AND_EVERY = whole_words("each and every|any and all")
OF_SEVERAL = re.compile(r"(?:ones? )?of ", _PLAIN_LETTERS)
# "of the two"; after a word of order that has no noun of its own.
COUNTED = re.compile(rf" (?:ones? )?of (?:the |these |those |all )?{any_of(NUMBERS)}(?!\S)", _PLAIN_LETTERS)
RELATED = whole_words(
    r"(?:(?:just|directly|immediately|right|slightly|straight) )?(?:"
    rf"(?P<left_of>{_ON}left{_SIDE_OF})|(?P<right_of>{_ON}right{_SIDE_OF})"
    rf"|(?P<above>{_AT}top{_SIDE_OF}|above|atop|higher than|over{_INTRODUCED})"
    rf"|(?P<below>{_AT}bottom{_SIDE_OF}|below|lower than|(?:under|underneath|beneath){_INTRODUCED})"
    rf"|(?P<near>next to|beside|near to|near|close to|adjacent to|alongside|(?:closest|nearest) to"
    rf"|(?:closest|nearest){_INTRODUCED}))(?= )(?!{_NO_ANCHOR})"
)
# After these, "a scar above the eye" is no place of the man who has it.
HOLDING = whole_words("with|wearing|holding|having|has")
# These cannot be acted on, and what comes after them is said of something else.
BEYOND = whole_words("between|behind|in front of|inside|outside|opposite|than")
