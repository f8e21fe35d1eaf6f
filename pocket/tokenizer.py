"""The pocket tokenizer: CLIP's byte-level BPE with a small vocabulary.

Every word of the world, of the prompt templates and some hundred common English words are single tokens; any
other text falls to pieces, at worst to bytes. The CLIP model and the painter's text encoder share it.
Ids are laid out as CLIP's are: bytes, bytes that end a word, merges in order, start, end.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from deployments.clip.dense import CONTRAST_WORDS, TEMPLATES
from pocket.vocabulary import COLOURS, NOUNS

MAX_LENGTH = 32
END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"

# Things that no scene of the pocket world shows. Training asks for them and expects to find nothing.
_ABSENT_NOUNS = """
    zebra horse cow sheep pig goat elephant lion tiger monkey giraffe camel rabbit mouse chicken duck eagle
    snake spider shark whale dinosaur dragon robot person man woman child boy girl baby face hand shoe hat shirt
    dress coat glove sock bag phone computer laptop keyboard camera television radio clock watch key knife fork
    spoon plate cup bottle glass bowl chair sofa bench mirror pillow blanket towel bicycle motorcycle train
    truck airplane helicopter rocket bridge tower castle church tent umbrella kite drum piano violin trumpet
    hammer saw drill rope ladder bucket broom candle torch lantern flag coin ring necklace diamond sword shield
    bread cheese egg sandwich hamburger soup rice potato tomato onion pepper corn peach pear cherry plum kiwi
    mango avocado cookie coffee tea rainbow moon star snowman volcano island statue fountain skateboard
    surfboard racket helmet scissors pencil brush ticket map envelope stamp
"""
ABSENT_NOUNS = tuple(_ABSENT_NOUNS.split())

_COMMON_WORDS = """
    a an the this that of in on at by to from with without and or not no some any one two three four five many i
    you he she it we they is are was be has have there here where what which who my your his her its our their
    photo picture image photograph drawing painting sketch cartoon sticker emoji icon logo illustration art
    render scene background foreground front back left right top bottom middle center centre corner side edge
    near next behind above below under over between inside outside around beside small large big little tiny
    huge tall short long wide round flat thick thin close up far high low bright dark light clean blurry sharp
    plain simple empty nothing something anything thing object item orange black white pink brown grey gray
    golden silver gold cyan magenta turquoise colourful colorful shiny new old good bad nice cute beautiful
    realistic detailed fresh ripe juicy sweet happy sad find show replace change remove add paint put make turn
    into instead delete edit give take look see want please wooden table stone brick gravel sand snow ice water
    fire rock leaf leaves flower garden field forest beach city street house home room kitchen park lake space
    stars galaxy night day sun fruit vegetable food animal bird bug insect pet toy ball boat ship vehicle plant
    present doughnut football kitten puppy bear teddy soccer lady quality resolution same other another pair
    group
"""
COMMON_WORDS = tuple(_COMMON_WORDS.split())


def words() -> list[str]:
    """Every word that is to be one token, sorted."""
    texts = " ".join((*COMMON_WORDS, *ABSENT_NOUNS, *COLOURS, *NOUNS, *CONTRAST_WORDS, *TEMPLATES))
    return sorted(set(re.findall("[a-z]+", texts)))


def merges(vocabulary: list[str]) -> list[tuple[str, str]]:
    """BPE merges, most frequent pair first, until each word of `vocabulary` (plain letters) is one token."""
    pieces = [[*word[:-1], word[-1] + END_OF_WORD] for word in vocabulary]
    learnt: list[tuple[str, str]] = []
    while counts := Counter(pair for word in pieces for pair in pairwise(word)):
        best = max(counts, key=lambda pair: (counts[pair], pair))
        learnt.append(best)
        pieces = [_merged(word, best) for word in pieces]
    return learnt


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """`pieces` with each occurrence of `pair`, from the left, made one."""
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def build() -> CLIPTokenizer:
    """The tokenizer; the same at every call."""
    pairs = merges(words())
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [
        *symbols,
        *(symbol + END_OF_WORD for symbol in symbols),
        *(left + right for left, right in pairs),
        START,
        END,
    ]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=MAX_LENGTH)


def save(folder: Path) -> None:
    """Writes tokenizer.json and its configuration, and vocab.json and merges.txt for older readers."""
    tokenizer = build()
    tokenizer.save_pretrained(folder)
    tokenizer.backend_tokenizer.model.save(str(folder))
