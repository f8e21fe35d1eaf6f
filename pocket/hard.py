"""Scenes that are hard on purpose: what the plain ones spare a system that finds, cuts out and repaints.

Eight kinds: the thing is partly hidden, stands in a crowd, is tiny, is huge, has doubles of itself beside it, has
look-alikes beside it, is cut off by an edge, or stands in a very long picture. A ninth asks for what is not there.
As everywhere in the pocket world a generator's seed names a scene for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from pocket import world
from pocket.vocabulary import BY_NAME, STICKERS, Sticker
from pocket.world import Box, Placed, Scene

Kind = Literal["hidden", "crowd", "tiny", "huge", "doubles", "look-alikes", "edge", "long", "absent"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SIZES_WH = ((256, 256), (320, 256), (256, 384), (384, 384), (512, 320))
GROUND_SHARES = (0.2, 0.25, 0.55)  # plain, graded, photographic
USUAL = (0.2, 0.36)  # longest side of a thing over the picture's shorter side
TINY = (0.07, 0.12)
HUGE = (0.7, 0.95)
SEEN_OF_HIDDEN = (0.45, 0.8)  # share of the hidden thing that can still be seen
SEEN_AT_EDGE = (0.4, 0.7)
CROWD = (7, 11)
CLEAR_LEAD = 0.12  # of the longer side (for places) or of the size (for sizes): which double is meant is beyond doubt
LOOK_ALIKES = (
    ("lemon", "banana"),
    ("basketball", "soccer ball", "donut"),
    ("cat", "dog", "panda", "teddy bear"),
    ("cactus", "pineapple"),
    ("strawberry", "red apple", "red heart"),
    ("tulip", "sunflower"),
    ("fish", "turtle", "frog"),
    ("penguin", "owl"),
    ("pizza", "cake", "watermelon"),
    ("red heart", "red balloon", "red apple"),
    ("ladybug", "butterfly"),
)


@dataclass(frozen=True, eq=False)
class Challenge:
    """One request that is hard: find `target` in the scene; `wanted` is what it means, None if nothing is.

    `prompt` is what to paint there and `painted` its sticker.
    """

    kind: Kind
    scene: Scene
    target: str
    wanted: Placed | None
    painted: Sticker

    @property
    def prompt(self) -> str:
        return f"{'an' if self.painted.name[0] in 'aeiou' else 'a'} {self.painted.name}"


def challenge(rng: np.random.Generator, kind: Kind, photographs: Sequence[str]) -> Challenge:
    """Draws one. Layouts that do not come out as the kind wants them are drawn again."""
    while True:
        drawn = _DRAWN[kind](_Canvas(rng, kind, photographs))
        if drawn is not None:
            scene, wanted, target = drawn
            others = [sticker for sticker in STICKERS if wanted is None or sticker != wanted.sticker]
            return Challenge(kind, scene, target, wanted, others[int(rng.integers(len(others)))])


class _Canvas:
    """A ground of a size that suits the kind, and what has been put on it so far."""

    def __init__(self, rng: np.random.Generator, kind: Kind, photographs: Sequence[str]) -> None:
        self.rng = rng
        self.size_wh = _size(rng, kind)
        self.short = min(self.size_wh)
        self.ground = world.GROUNDS[int(rng.choice(len(GROUND_SHARES), p=GROUND_SHARES))]
        self._bare = world.draw_ground(rng, self.size_wh, self.ground, photographs)
        self._inks: list[tuple[Sticker, np.ndarray]] = []
        self._boxes: list[Box] = []

    def put(self, sticker: Sticker, longest_side: tuple[float, float] = USUAL) -> bool:
        """Where there is room; False if there is none."""
        ink = self.draw(sticker, longest_side)
        box = world.free_place(self.rng, self.size_wh, ink.shape[1], ink.shape[0], self._boxes)
        if box is None or ink.shape[1] > self.size_wh[0] or ink.shape[0] > self.size_wh[1]:
            return False
        self.put_at(sticker, ink, box[:2])
        return True

    def draw(self, sticker: Sticker, longest_side: tuple[float, float] = USUAL) -> np.ndarray:
        return world.draw_sticker(self.rng, sticker, self.short, longest_side)

    def put_at(self, sticker: Sticker, ink: np.ndarray, corner: tuple[int, int]) -> None:
        """With its top left corner there; what lies beyond the edges is cut off."""
        ink, box = _inside(ink, corner, self.size_wh)
        self._inks.append((sticker, ink))
        self._boxes.append(box)

    def box(self, index: int) -> Box:
        return self._boxes[index]

    def scene(self) -> Scene:
        image = self._bare.copy()
        for (_, ink), box in zip(self._inks, self._boxes, strict=True):
            world.paste(image, ink, box)
        return Scene(image, self._bare, tuple(world.placed(self._inks, self._boxes, self.size_wh)), self.ground)

    def some(self, low: int, high: int, but: Sequence[Sticker] = ()) -> list[Sticker]:
        """From `low` to `high` different stickers, none of a noun that `but` has."""
        nouns = {sticker.noun for sticker in but}
        pool = [sticker for sticker in STICKERS if sticker.noun not in nouns]
        count = int(self.rng.integers(low, high + 1))
        return [pool[index] for index in self.rng.choice(len(pool), count, replace=False)]


_Drawn = tuple[Scene, Placed | None, str]


def _size(rng: np.random.Generator, kind: Kind) -> tuple[int, int]:
    if kind == "long":
        short = int(rng.integers(144, 225))
        long = int(short * rng.uniform(3.0, 4.5))
        return (long, short) if rng.random() < 0.6 else (short, long)
    sizes = [size for size in SIZES_WH if min(size) >= 320] if kind == "tiny" else SIZES_WH
    return sizes[int(rng.integers(len(sizes)))]


def _inside(ink: np.ndarray, corner: tuple[int, int], size_wh: tuple[int, int]) -> tuple[np.ndarray, Box]:
    left, top = corner
    right, bottom = left + ink.shape[1], top + ink.shape[0]
    box = (max(0, left), max(0, top), min(size_wh[0], right), min(size_wh[1], bottom))
    return ink[box[1] - top : box[3] - top, box[0] - left : box[2] - left], box


def _with_others(canvas: _Canvas, longest_side: tuple[float, float], others: tuple[int, int]) -> _Drawn | None:
    """One thing of that size among others of the usual size."""
    (sticker,) = canvas.some(1, 1)
    if not canvas.put(sticker, longest_side):
        return None
    for other in canvas.some(*others, but=[sticker]):
        canvas.put(other)
    scene = canvas.scene()
    return scene, scene.placed[0], f"the {sticker.name}"


def _hidden(canvas: _Canvas) -> _Drawn | None:
    sticker, cover, *others = canvas.some(2, 4)
    if not canvas.put(sticker):
        return None
    for other in others:
        canvas.put(other)
    left, top, right, bottom = canvas.box(0)
    ink = canvas.draw(cover)
    x = int(canvas.rng.integers(left - ink.shape[1], right + 1))
    y = int(canvas.rng.integers(top - ink.shape[0], bottom + 1))
    whole = int(canvas.scene().placed[0].mask.sum())
    canvas.put_at(cover, ink, _clamped((x, y), ink, canvas.size_wh))
    scene = canvas.scene()
    seen = scene.placed[0].mask.sum() / max(1, whole)
    if not SEEN_OF_HIDDEN[0] <= seen <= SEEN_OF_HIDDEN[1] or cover.noun == sticker.noun:
        return None
    return scene, scene.placed[0], f"the {sticker.name}"


def _clamped(corner: tuple[int, int], ink: np.ndarray, size_wh: tuple[int, int]) -> tuple[int, int]:
    return (
        min(max(corner[0], 0), max(0, size_wh[0] - ink.shape[1])),
        min(max(corner[1], 0), max(0, size_wh[1] - ink.shape[0])),
    )


def _crowd(canvas: _Canvas) -> _Drawn | None:
    stickers = canvas.some(*CROWD)
    count = sum(canvas.put(sticker, (0.17, 0.26)) for sticker in stickers)
    if count < CROWD[0]:
        return None
    scene = canvas.scene()
    wanted = scene.placed[int(canvas.rng.integers(count))]
    return scene, wanted, f"the {wanted.sticker.name}"


def _edge(canvas: _Canvas) -> _Drawn | None:
    (sticker,) = canvas.some(1, 1)
    ink = canvas.draw(sticker, (0.25, 0.45))
    solid = int((ink[..., 3] > 127).sum())
    side = int(canvas.rng.integers(4))
    outside = canvas.rng.uniform(0.25, 0.6)
    x = int(canvas.rng.integers(0, max(1, canvas.size_wh[0] - ink.shape[1])))
    y = int(canvas.rng.integers(0, max(1, canvas.size_wh[1] - ink.shape[0])))
    corners = (
        (-round(outside * ink.shape[1]), y),
        (canvas.size_wh[0] - round((1 - outside) * ink.shape[1]), y),
        (x, -round(outside * ink.shape[0])),
        (x, canvas.size_wh[1] - round((1 - outside) * ink.shape[0])),
    )
    canvas.put_at(sticker, ink, corners[side])
    for other in canvas.some(1, 3, but=[sticker]):
        canvas.put(other)
    scene = canvas.scene()
    seen = scene.placed[0].mask.sum() / max(1, solid)
    if not SEEN_AT_EDGE[0] <= seen <= SEEN_AT_EDGE[1]:
        return None
    return scene, scene.placed[0], f"the {sticker.name}"


def _look_alikes(canvas: _Canvas) -> _Drawn | None:
    """The same noun in other colours, or things of like colour and shape."""
    if canvas.rng.random() < 0.5:
        coloured = [sticker for sticker in STICKERS if sticker.colour]
        first = coloured[int(canvas.rng.integers(len(coloured)))]
        group = [sticker for sticker in coloured if sticker.noun == first.noun]
    else:
        group = [BY_NAME[name] for name in LOOK_ALIKES[int(canvas.rng.integers(len(LOOK_ALIKES)))]]
    chosen = [group[index] for index in canvas.rng.permutation(len(group))[:3]]
    if not all(canvas.put(sticker) for sticker in chosen):
        return None
    for other in canvas.some(0, 2, but=chosen):
        canvas.put(other)
    scene = canvas.scene()
    return scene, scene.placed[0], f"the {chosen[0].name}"


def _doubles(canvas: _Canvas) -> _Drawn | None:
    """Two to four of one kind; a word of place or size says which."""
    (sticker,) = canvas.some(1, 1)
    count = int(canvas.rng.integers(2, 5))
    if not all(canvas.put(sticker, (0.16, 0.36)) for _ in range(count)):
        return None
    for other in canvas.some(0, 2, but=[sticker]):
        canvas.put(other)
    scene = canvas.scene()
    words = list(_ORDERS)
    for word in canvas.rng.permutation(words):
        first = _clear_first(scene.placed[:count], str(word), max(canvas.size_wh))
        if first is not None:
            return scene, first, f"the {word} {sticker.name}"
    return None


def _clear_first(doubles: Sequence[Placed], word: str, longer_side: int) -> Placed | None:
    """The one that the word means, if it leads clearly."""
    ranked = sorted(doubles, key=_ORDERS[word])
    first, second = (_ORDERS[word](placed) for placed in ranked[:2])
    lead = abs(second - first)
    enough = CLEAR_LEAD * (max(abs(first), abs(second)) * 2 if word in ("largest", "smallest") else longer_side)
    return ranked[0] if lead >= enough else None


_ORDERS = {
    "left": lambda placed: (placed.box_xyxy[0] + placed.box_xyxy[2]) / 2,
    "right": lambda placed: -(placed.box_xyxy[0] + placed.box_xyxy[2]) / 2,
    "top": lambda placed: (placed.box_xyxy[1] + placed.box_xyxy[3]) / 2,
    "bottom": lambda placed: -(placed.box_xyxy[1] + placed.box_xyxy[3]) / 2,
    "largest": lambda placed: -float(placed.mask.sum()),
    "smallest": lambda placed: float(placed.mask.sum()),
}


def _absent(canvas: _Canvas) -> _Drawn | None:
    """Asks for one of a pair of look-alikes where the other stands, or for anything that is not there."""
    stickers = canvas.some(1, 4)
    rng = canvas.rng
    missing: Sticker | None = None
    if rng.random() < 0.5:
        group = LOOK_ALIKES[int(rng.integers(len(LOOK_ALIKES)))]
        there, gone = (BY_NAME[group[index]] for index in rng.permutation(len(group))[:2])
        if there.noun != gone.noun:
            missing = gone
            stickers = [there, *(sticker for sticker in stickers if sticker.noun not in (there.noun, gone.noun))]
    for sticker in stickers:
        canvas.put(sticker)
    if missing is None:
        (missing,) = canvas.some(1, 1, but=stickers)
    return canvas.scene(), None, f"the {missing.name}"


_DRAWN = {
    "hidden": _hidden,
    "crowd": _crowd,
    "tiny": lambda canvas: _with_others(canvas, TINY, (1, 3)),
    "huge": lambda canvas: _with_others(canvas, HUGE, (0, 1)),
    "doubles": _doubles,
    "look-alikes": _look_alikes,
    "edge": _edge,
    "long": lambda canvas: _with_others(canvas, (0.35, 0.7), (2, 4)),
    "absent": _absent,
}
