"""What the words of a target mean, as values: what to look for, and which of what is found. See `targets.parse`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Spot = Literal[
    "upper_left",
    "upper_middle",
    "upper_right",
    "middle_left",
    "centre",
    "middle_right",
    "lower_left",
    "lower_middle",
    "lower_right",
]
Key = Literal["x", "y", "area", "height", "width", "middle", "anchor"] | Spot
Kind = Literal["left_of", "right_of", "above", "below", "near"]

ANYTHING = "object"  # what to look for where no noun is said: "the largest one"


@dataclass(frozen=True, slots=True)
class Order:
    """An order among several things: the `rank`-th by `key`, from the smallest value on, or the largest if descending.

    A spot's value is the distance to it, "anchor" the distance to the other thing of a relation, "middle" that to the
    middle one of them all. An order that is not `firm` is a hint: it decides among about equally good matches only.
    """

    key: Key
    descending: bool = False
    rank: int = 1
    firm: bool = True


@dataclass(frozen=True, slots=True)
class Relation:
    """A place as seen from something else, for which `anchor` is a noun phrase."""

    kind: Kind
    anchor: str


@dataclass(frozen=True, slots=True)
class Wording:
    """A phrase for CLIP to look for (never empty, in the singular), and which of the things that it finds is named.

    `among` is the part of the picture in which the order is counted: "the largest balloon on the left". `avoid` are
    phrases for what is not named: "red balloon" for "the balloon that is not red".

    With `every`, all things of the name are named: all that fit the relation and lie in the part of the picture, where
    these are given. `count` is how many the words claim that there are ("both", "the three dogs"), None if they do not.
    """

    phrase: str
    order: Order | None = None
    relation: Relation | None = None
    among: Order | None = None
    avoid: tuple[str, ...] = ()
    every: bool = False
    count: int | None = None
