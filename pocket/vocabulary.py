"""The stickers of the pocket world: their names, their colours, and the emoji each is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = ("red", "blue", "green", "yellow", "purple")


@dataclass(frozen=True)
class Sticker:
    """One picture that can stand in a scene.

    `noun` is its plain English name; `colour` is set only where the same noun comes in several
    colours. `glyph` is the emoji it is drawn from; `hue_turn` turns its hues by that share of the
    colour circle (0 keeps the font's own colours).
    """

    noun: str
    glyph: str
    colour: str | None = None
    hue_turn: float = 0.0

    @property
    def name(self) -> str:
        """What one calls it to tell it from all others: "lemon", "red balloon"."""
        return f"{self.colour} {self.noun}" if self.colour else self.noun

    @property
    def file_name(self) -> str:
        return self.name.replace(" ", "_") + ".png"


def _plain(**glyphs: str) -> tuple[Sticker, ...]:
    return tuple(Sticker(noun.replace("_", " "), glyph) for noun, glyph in glyphs.items())


STICKERS: tuple[Sticker, ...] = (
    *_plain(
        lemon="🍋",
        banana="🍌",
        strawberry="🍓",
        pineapple="🍍",
        watermelon="🍉",
        grapes="🍇",
        carrot="🥕",
        mushroom="🍄",
        pizza="🍕",
        donut="🍩",
        cake="🎂",
        cactus="🌵",
        sunflower="🌻",
        tulip="🌷",
        dog="🐶",
        cat="🐱",
        panda="🐼",
        frog="🐸",
        fish="🐟",
        butterfly="🦋",
        ladybug="🐞",
        turtle="🐢",
        octopus="🐙",
        penguin="🐧",
        owl="🦉",
        bus="🚌",
        sailboat="⛵",
        gift="🎁",
        guitar="🎸",
        basketball="🏀",
        soccer_ball="⚽",
        crown="👑",
        house="🏠",
        teddy_bear="🧸",
    ),
    Sticker("apple", "🍎", "red"),
    Sticker("apple", "🍏", "green"),
    Sticker("balloon", "🎈", "red"),
    Sticker("balloon", "🎈", "blue", 0.61),
    Sticker("balloon", "🎈", "green", 0.36),
    Sticker("balloon", "🎈", "yellow", 0.15),
    Sticker("car", "🚗", "red"),
    Sticker("car", "🚗", "blue", 0.60),
    Sticker("car", "🚗", "green", 0.36),
    Sticker("heart", "❤", "red"),
    Sticker("heart", "💙", "blue"),
    Sticker("heart", "💛", "yellow"),
    Sticker("heart", "💜", "purple"),
    Sticker("book", "📕", "red"),
    Sticker("book", "📘", "blue"),
    Sticker("book", "📗", "green"),
)

BY_NAME = {sticker.name: sticker for sticker in STICKERS}
NOUNS = tuple(dict.fromkeys(sticker.noun for sticker in STICKERS))


def named(text: str) -> tuple[Sticker, ...]:
    """The stickers that `text` (a noun or a full name) may mean; empty when the world has none."""
    return tuple(sticker for sticker in STICKERS if text in (sticker.name, sticker.noun))
