"""What people call the stickers, and the sentences in which the pocket CLIP learns to hear it."""

from __future__ import annotations

from deployments.clip import dense
from pocket import tokenizer
from pocket.vocabulary import COLOURS, NOUNS, STICKERS

NAMES = tuple(sticker.name for sticker in STICKERS)
COLOURED_NOUNS = tuple(noun for noun in NOUNS if noun not in NAMES)
UNMADE = tuple(
    f"{colour} {noun}"
    for noun in COLOURED_NOUNS
    for colour in (*COLOURS, "black", "white", "pink")
    if f"{colour} {noun}" not in NAMES
)
# What people call things beside their names: each phrase means these stickers.
ALSO = {
    "yellow lemon": ("lemon",),
    "yellow banana": ("banana",),
    "red strawberry": ("strawberry",),
    "orange carrot": ("carrot",),
    "green cactus": ("cactus",),
    "green frog": ("frog",),
    "yellow crown": ("crown",),
    "golden crown": ("crown",),
    "orange basketball": ("basketball",),
    "green turtle": ("turtle",),
    "blue fish": ("fish",),
    "ball": ("basketball", "soccer ball"),
    "football": ("soccer ball",),
    "boat": ("sailboat",),
    "present": ("gift",),
    "doughnut": ("donut",),
    "teddy": ("teddy bear",),
    "kitten": ("cat",),
    "puppy": ("dog",),
    "bird": ("penguin", "owl"),
    "fruit": (
        *("lemon", "banana", "strawberry", "pineapple", "watermelon", "grapes"),
        *("red apple", "green apple"),
    ),
    "animal": (
        *("dog", "cat", "panda", "frog", "fish", "butterfly", "ladybug", "turtle", "octopus", "penguin", "owl"),
    ),
}
# Kept out of training, so that an evaluation can ask for words never seen.
UNSEEN_NOUNS = ("zebra", "bicycle", "piano", "umbrella", "computer", "volcano", "hammer", "helicopter")
ABSENT = tuple(noun for noun in tokenizer.ABSENT_NOUNS if noun not in UNSEEN_NOUNS)

SENTENCES = (
    *dense.TEMPLATES,
    *dense.TEMPLATES,
    "{}",
    "{}",
    "find the {}",
    "one {}",
    "this {}",
    "a picture of a {}",
    "an image of a {}",
    "a sticker of a {}",
    "the {} in the picture",
    "a {} on a table",
    "a {} on a plain background",
    "there is a {} here",
    "replace the {}",
)
