"""English plurals and their singulars. CLIP finds a thing best by the name of one of it.

A word that looks like a plural and is none ("bus", "octopus", "series"), names one thing of two halves ("scissors",
"glasses") or a mass ("grapes", "noodles") is its own singular.
"""

from __future__ import annotations

_UNCHANGED = """
    teeth sunglasses eyeglasses glasses scissors shears trousers jeans headphones earphones earbuds shorts pants tights
    pliers tweezers goggles binoculars pyjamas pajamas leggings overalls dungarees braces suspenders knickers briefs
    boxers tongs spectacles clippers handcuffs clothes stairs blinds groceries fireworks headquarters crossroads
    barracks molasses bellows gallows works ruins woods surroundings outskirts remains cornflakes grapes fries noodles
    oats lentils news series species means chassis corps sheep deer moose fish salmon trout shrimp bison aircraft
    spacecraft hovercraft offspring physics mathematics athletics gymnastics graphics politics billiards dominoes darts
    his hers its this was is as has us yes does always perhaps less across towards upwards sideways besides whereas
    thanks adidas mercedes texas paris lexus james thomas charles arkansas kansas dallas vegas
"""
UNCHANGED = frozenset(_UNCHANGED.split())
# Singulars that end in one s, besides all that end in -us and -is.
_SINGULARS = "gas lens canvas atlas pancreas christmas alias bias rhinoceros albatross thermos cosmos chaos asbestos"
SINGULARS = frozenset(_SINGULARS.split())
# Plurals in -us and -is.
_SHORT = "menus emus gnus tutus skis taxis kiwis bikinis zucchinis martinis paninis tsunamis alibis safaris yetis"
SHORT = frozenset(_SHORT.split())
_IRREGULAR = """
    people:person persons:person children:child grandchildren:grandchild men:man women:woman feet:foot geese:goose
    mice:mouse oxen:ox dice:die cacti:cactus octopi:octopus fungi:fungus radii:radius nuclei:nucleus alumni:alumnus
    hippopotami:hippopotamus leaves:leaf sheaves:sheaf loaves:loaf wolves:wolf werewolves:werewolf shelves:shelf
    bookshelves:bookshelf halves:half calves:calf elves:elf thieves:thief knives:knife wives:wife housewives:housewife
    lives:life hooves:hoof scarves:scarf wharves:wharf dwarves:dwarf axes:axe pickaxes:pickaxe quizzes:quiz
    criteria:criterion phenomena:phenomenon oases:oasis trellises:trellis pelvises:pelvis ibises:ibis irises:iris
    headaches:headache moustaches:moustache mustaches:mustache caches:cache avalanches:avalanche quiches:quiche
    niches:niche canoes:canoe shoes:shoe horseshoes:horseshoe snowshoes:snowshoe hoes:hoe oboes:oboe toes:toe
    tiptoes:tiptoe does:doe
"""
IRREGULAR = dict(pair.split(":") for pair in _IRREGULAR.split())
_IN_IE = """
    cookie zombie movie pie tie necktie bowtie brownie birdie genie pixie rookie smoothie hoodie selfie walkie-talkie
    talkie magpie budgie collie prairie hippie yuppie cutie doggie goalie potpie barbie beanie groupie veggie
"""
IN_IE = frozenset(_IN_IE.split())
_NOT_OF_MAN = "omen specimen semen abdomen stamen regimen ramen acumen yemen amen women"
NOT_OF_MAN = frozenset(_NOT_OF_MAN.split())


def singular(word: str) -> str:
    """Return the singular of a plural noun, and any other word as it is; capital letters stay capital."""
    lower = word.lower()
    made = _singular(lower)
    if made == lower:
        return word
    return made.upper() if word.isupper() else made.capitalize() if word[0].isupper() else made


def is_plural(word: str) -> bool:
    """Tell whether a noun names several things: "buses" does, "bus" and "scissors" do not."""
    return singular(word) != word


def _singular(word: str) -> str:
    first, hyphen, last = word.rpartition("-")
    if hyphen:  # "t-shirts"
        return first + hyphen + _singular(last)
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in UNCHANGED or word in SINGULARS or not word.isalpha():
        return word
    if word.endswith("men") and len(word) > 4 and word not in NOT_OF_MAN:
        return word[:-2] + "an"
    if word.endswith("children"):
        return word[:-3]
    if not word.endswith("s") or word.endswith("ss") or len(word) < 4:
        return word
    if word.endswith(("us", "is")):
        return word[:-1] if word in SHORT else word
    return _without_es(word) if word.endswith("es") else word[:-1]


def _without_es(word: str) -> str:
    """Return the singular of a regular plural in -es."""
    short = word[:-2]
    if word.endswith("ies"):
        return word[:-1] if word[:-1] in IN_IE or len(word) < 5 else word[:-3] + "y"
    if short in SINGULARS or short.endswith(("ss", "x", "zz", "ch", "sh", "o")):
        return short
    # "buses" and "octopuses", but not "houses", "blouses" or "fuses".
    if short.endswith("us") and not short.endswith(("ous", "aus")) and short not in ("fus", "mus", "rus", "excus"):
        return short
    return word[:-1]
