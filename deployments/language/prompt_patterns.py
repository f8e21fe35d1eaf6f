"""The English of edit prompts, as patterns: instructions, and what surrounds the noun of a description.

As in `target_patterns`, a search is linear in the length of the text.
"""

from __future__ import annotations

import re

from deployments.language.target_patterns import ARTICLES, LINKS, OWNERS, any_of

_COLOURS = """
    red orange yellow green blue purple violet pink brown black white grey gray gold golden silver cyan magenta
    turquoise teal beige maroon navy crimson scarlet lime olive tan bronze copper colourful colorful rainbow
"""
COLOURS = frozenset(_COLOURS.split())
_OTHERS = """
    bright dark light deep pale vivid neon pastel shiny glossy matte metallic transparent wooden furry fluffy old new
    young happy sad angry smiling open closed empty full clean dirty wet dry snowy sunny cloudy rainy stormy starry
    foggy bigger smaller larger taller shorter longer brighter darker lighter blurry big small large little tiny huge
    long short tall thick thin round square striped dotted plain very more less completely fully slightly and broken
    bald beautiful cute realistic
"""
# What one thing may look like and another not; neither a size nor a degree.
_LOOKS = """
    bright dark pale vivid neon pastel shiny glossy matte metallic transparent wooden furry fluffy open closed
    empty full wet dry square round striped dotted spotted checked patterned plain broken bald coloured colored
"""
ATTRIBUTES = COLOURS | frozenset(_LOOKS.split())
ADJECTIVES = COLOURS | frozenset(_OTHERS.split())

NOT = frozenset(("not", "isn't", "aren't", "isnt", "arent", "without", "nor", "neither", "or", "non"))

_THE = any_of(("the", "this", "that", "these", "those", *OWNERS))
_A = any_of((*ARTICLES, *OWNERS, "more", "another", "two", "three", "four", "five", "several", "many"))
_CREATE = """
    find locate select show create generate draw paint make add put place insert change edit modify fix improve enhance
    give render turn replace swap transform convert
"""
_ACTS = """
    wear hold smile have eat drink ride play sit stand dance run jump sleep fly read cry laugh wave glow shine sparkle
    disappear
"""
ACTS_AS = tuple(_ACTS.split())
# "a building on fire": nobody builds there.
_NO_ACTS = "building painting ceiling clothing wedding pudding dumpling railing awning earring string"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.ASCII)


POLITE = _pattern(
    r"^(?:(?:please|kindly|now|just|can you|could you|would you|will you|i want you to|i want to|i would like to"
    r"|i'd like to|let's|first|firstly),? )+"
)
SENTENCE_END = re.compile(r"(?<![.!?;])[.!?;]+(?= |$)")
# "draw a", "make me a": what follows is what the prompt is about. So it is behind "a photo of".
CREATED = _pattern(rf"^{any_of(_CREATE.split())}(?: me| us)? (?={_A} )")
MEDIUM = _pattern(
    r"^(?:an? |the )?(?:[^ ]+ ){0,3}?(?:photo|picture|image|photograph|painting|drawing|sketch|illustration|rendering"
    r"|render|portrait|close-up|shot) of "
)
OUTCOME = _pattern(r" (?:as|into|instead)(?!\S)")
# "a dog runs": what it does.
DOES = _pattern(
    r" (?:wears|holds|smiles|has|eats|drinks|rides|plays|sits|stands|dances|runs|jumps|sleeps|flies|reads|cries|laughs"
    r"|waves|glows|shines|sparkles|walks|looks|swims|lies|hangs|floats|grows|stares|barks|sings|climbs|chases)(?!\S)"
)
# Where a description leaves its noun: "wearing", "in a", "that".
CLAUSE = _pattern(
    rf" (?!of(?!\S)){any_of(LINKS)}(?!\S)"
    rf"| (?!{any_of(_NO_ACTS.split())}(?!\S))\w{{3,}}ing"
    r"(?= (?:an?|the|his|her|its|their|on|in|at|with|through|over|under|up|into|from) )"
)

# "the path to the sea into a road": what is new has no "the", most often.
DEFINITE = _pattern(rf" ?{_THE}(?!\S)")
# What brings in the new, the likeliest word first.
REPLACED = tuple(_pattern(rf"(?<!next)(?<!close) (?:{words})(?= \S)") for words in ("with", "by|for", "into|to"))
CHANGED = tuple(_pattern(rf"(?<!next)(?<!close) (?:{words})(?= \S)") for words in ("into", "to", "with|for"))
PROPERTY_OF = _pattern(
    r"(?:the )?(?:colou?r|hue|shade|material|texture|pattern) of (?P<thing>.+)"
    r"|(?P<owner>.+?)(?:'s|(?<=s)')? (?:colou?r|hue|shade|material|texture|pattern)"
)
FROM_COLOUR = _pattern(rf" from {any_of(sorted(COLOURS))}$")
LOOKS = _pattern(r" (?:look like|look|appear|become|be|into)(?= \S)")
ACTS = _pattern(rf" {any_of(_ACTS.split())}(?!\S)")

REPLACE = _pattern(r"(?:replace|swap|exchange|substitute|switch)(?: out)? (?P<rest>.+)")
CHANGE = _pattern(r"(?:turn|change|transform|convert|morph|reshape|modify|edit) (?P<rest>.+)")
MAKE = _pattern(
    rf"(?:make|turn|paint|colou?r|recolou?r|dye|tint|render) (?P<rest>(?:{_THE}|all|both|each|every|any) .+)"
)
REMOVE = _pattern(
    r"(?:remove|delete|erase|eliminate|take away|take out|get rid of|cut out|clear away|wipe out|crop out) (?P<old>.+)"
)
# "take the balloons away", "make the dog disappear".
_SOME = rf"(?:(?:{_THE}|all|both|each|every) .+?)"
_FROM_PICTURE = r"(?: (?:of|from) (?:the |this |my )?(?:picture|image|photo|photograph|scene))?"
TAKE_AWAY = _pattern(
    rf"(?:(?:take|get|cut|crop) (?P<old>{_SOME}) (?:away|out)|(?:make|have) (?P<gone>{_SOME}) "
    rf"(?:disappear|vanish|go away|invisible|gone|removed)){_FROM_PICTURE}"
)
# "I'd like the dog removed", "the dog should be gone", "the dog should be a cat".
_GONE = r"(?:removed|deleted|erased|eliminated|gone|taken away|taken out|cut out)"
WISHED_AWAY = _pattern(
    rf"(?:(?:i want|i need|i'd like|i would like|get|have) (?P<old>{_SOME}) {_GONE}"
    rf"|(?P<gone>{_SOME}) (?:should|must|has to|have to|needs to|need to) "
    rf"(?:(?:be )?{_GONE}|go(?: away)?|disappear|vanish)){_FROM_PICTURE}"
)
WISHED = _pattern(rf"(?P<old>{_SOME}) (?:should|must) (?:be|become|look like|turn into) (?P<new>.+)")
# "remove the dog and put a cat there" replaces it.
REMOVE_AND_PAINT = _pattern(
    r"(?:remove|delete|erase|take away|take out|get rid of|cut out) (?P<old>.+?),?(?: and| then|, then)+ "
    r"(?:(?:replace|substitute|swap|exchange) (?:it|them) (?:with|by|for) (?P<new>.+)"
    r"|(?:put|paint|add|insert|place|draw) (?P<put>.+) (?:instead|there|in (?:its|their) (?:place|stead)|where it was))"
)
# "but keep the rest": nothing else is changed anyway.
KEPT = _pattern(
    rf"(?:(?:,|,? and|,? but|,? while|,? yet) (?:please )?(?:keep|keeping|leave|leaving|preserve|preserving) "
    rf"(?:{_THE}|everything|all|other|rest) "
    r"|(?:,|,? and|,? but|,? while|,? yet) (?:please )?(?:don't|do not|never|not) (?:change|touch|alter|remove|modify) "
    r"|,? without (?:changing|touching|altering|moving|affecting|removing|modifying) ).+$"
)
INSTEAD = _pattern(
    r"(?:(?:use|put|place|paint|draw|add|show) )?(?P<new>.+?),? (?:instead of|in place of|rather than) (?P<old>.+)"
)
ARROW = _pattern(r"(?P<old>.+?) ?(?:->|=>|→|⇒) ?(?P<new>.+)")
ADD = _pattern(
    rf"(?:(?P<put>put|place|stick|hang)(?= {_A} )|put|add|insert|attach) (?P<new>.+?)"
    r" (?P<by>to|on top of|onto|on|into|in|inside|around|over) (?P<old>.+)"
)
GIVE = _pattern(r"give (?P<old>.+?) (?P<new>(?:an?|some|two|three|more) .+)")
DRESS = _pattern(rf"(?:dress|cover|fill|decorate|wrap|surround) (?P<old>{_THE} .+?) (?P<by>in|with|as) (?P<new>.+)")
