"""Plurals become singulars, and what only looks like a plural stays."""

import pytest

from deployments.language.plurals import is_plural, singular
from deployments.language.quantity import as_one
from pocket.vocabulary import STICKERS

PLURALS = """
    balloon:balloons person:people child:children leaf:leaves knife:knives bus:buses dress:dresses cactus:cacti
    cactus:cactuses lens:lenses octopus:octopuses virus:viruses loaf:loaves wolf:wolves shelf:shelves man:men
    woman:women fireman:firemen foot:feet mouse:mice cherry:cherries butterfly:butterflies lady:ladies cookie:cookies
    tie:ties shoe:shoes canoe:canoes horse:horses house:houses blouse:blouses rose:roses vase:vases box:boxes
    dish:dishes peach:peaches bench:benches headache:headaches tomato:tomatoes photo:photos axe:axes bee:bees tree:trees
    key:keys panda:pandas sofa:sofas glove:gloves olive:olives wave:waves roof:roofs giraffe:giraffes pause:pauses
    fuse:fuses gas:gases atlas:atlases t-shirt:t-shirts snowman:snowmen kiwi:kiwis grandchild:grandchildren
"""
SINGULARS = """
    teeth bus glass grass dress cactus lens gas octopus iris virus series species sheep fish sunglasses scissors
    trousers jeans headphones glasses shorts pants pliers binoculars pyjamas canvas atlas moss chess mattress walrus
    hibiscus lotus tennis news fungus compass platypus christmas circus crossroads deer salmon aircraft women's omen
    specimen grapes
"""


@pytest.mark.parametrize("pair", PLURALS.split())
def test_a_plural_becomes_its_singular(pair):
    one, several = pair.split(":")
    assert singular(several) == one
    assert singular(several.upper()) == one.upper()
    assert not is_plural(one)


@pytest.mark.parametrize("word", SINGULARS.split())
def test_a_word_that_only_looks_like_a_plural_stays(word):
    assert singular(word) == word


@pytest.mark.parametrize("name", [sticker.name for sticker in STICKERS])
def test_every_name_of_the_pocket_world_is_a_singular(name):
    assert as_one(name) == (name, False)


@pytest.mark.parametrize(
    ("phrase", "one"),
    [
        ("red balloons", "red balloon"),
        ("people wearing hats", "person wearing hats"),
        ("slices of pizza", "slice of pizza"),
        ("dogs playing in the park", "dog playing in the park"),
        ("black and white cats", "black and white cat"),
    ],
)
def test_the_noun_of_a_phrase_becomes_a_singular(phrase, one):
    assert as_one(phrase) == (one, True)


@pytest.mark.parametrize(
    "phrase", ["sports car", "glasses case", "dog with sunglasses", "pair of shoes", "cat's eye", ""]
)
def test_a_plural_beside_the_noun_stays(phrase):
    assert as_one(phrase) == (phrase, False)
