"""Names what was painted, without any trained model: normalised correlation with all the stickers.

The scene is known, so what it would look like with any sticker at any place is known too. The judge
compares the change that was made (picture minus bare scene) with the change each sticker would have
made, at every place and many sizes, and names the sticker with the highest cosine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from scipy import fft

from pocket import world
from pocket.vocabulary import STICKERS, Sticker

GRID_PX = 64
SIZES = tuple(np.linspace(0.3, 0.95, 14))  # of a sticker's longest side, as shares of the view


@dataclass(frozen=True)
class Verdict:
    """`cosine` in -1..1 says how well the best sticker explains the change."""

    name: str
    cosine: float


def judge(picture: np.ndarray, bare: np.ndarray) -> Verdict:
    """Names the sticker that turns `bare` into `picture`: two square SxSx3 uint8 views of one place."""
    after, before = _on_grid(picture), _on_grid(bare)
    view = _View(after - before, before)
    verdicts = [Verdict(sticker.name, max(view.best_cosine(sticker, size) for size in SIZES)) for sticker in STICKERS]
    return max(verdicts, key=lambda verdict: verdict.cosine)


class _View:
    """A change on a ground, ready to be correlated with stickers at every place at once.

    A sticker with colours G and opacity a, laid on ground B, changes it by a (G - B). The cosine with the
    change D is <D, a (G - B)> / (|D| |a (G - B)|), and each term is a correlation that the Fourier
    transform gives for all places together.
    """

    def __init__(self, change: np.ndarray, ground: np.ndarray) -> None:
        self._length = float(np.linalg.norm(change))
        self._change = _spectrum(change)
        self._change_on_ground = _spectrum((change * ground).sum(axis=2, keepdims=True))
        self._ground = _spectrum(ground)
        self._ground_squared = _spectrum((ground**2).sum(axis=2, keepdims=True))

    def best_cosine(self, sticker: Sticker, size: float) -> float:
        template = _template(sticker, size)
        product = _correlate(self._change, template.colour) - _correlate(self._change_on_ground, template.opacity)
        squared = (
            template.energy
            - 2 * _correlate(self._ground, template.squared_colour)
            + _correlate(self._ground_squared, template.squared_opacity)
        )
        cosine = product / (self._length * np.sqrt(np.maximum(squared, 1e-6)) + 1e-9)
        return float(cosine[: template.places[0], : template.places[1]].max())


@dataclass(frozen=True, eq=False)
class _Template:
    """Spectra of aG, a, a^2 G and a^2; `energy` is |aG|^2; `places` where it lies wholly on the grid."""

    colour: np.ndarray
    opacity: np.ndarray
    squared_colour: np.ndarray
    squared_opacity: np.ndarray
    energy: float
    places: tuple[int, int]


@cache
def _template(sticker: Sticker, size: float) -> _Template:
    picture = world.sticker_image(sticker)
    scale = size * GRID_PX / max(picture.size)
    shape = (max(2, round(picture.width * scale)), max(2, round(picture.height * scale)))
    ink = np.asarray(picture.resize(shape, Image.Resampling.BOX)).astype(np.float32) / 255
    padded = np.zeros((GRID_PX, GRID_PX, 4), np.float32)
    padded[: ink.shape[0], : ink.shape[1]] = ink
    colour, opacity = padded[..., :3], padded[..., 3:]
    return _Template(
        colour=np.conj(_spectrum(opacity * colour)),
        opacity=np.conj(_spectrum(opacity)),
        squared_colour=np.conj(_spectrum(opacity**2 * colour)),
        squared_opacity=np.conj(_spectrum(opacity**2)),
        energy=float(((opacity * colour) ** 2).sum()),
        places=(GRID_PX - ink.shape[0] + 1, GRID_PX - ink.shape[1] + 1),
    )


def _on_grid(view: np.ndarray) -> np.ndarray:
    resized = Image.fromarray(view).resize((GRID_PX, GRID_PX), Image.Resampling.BOX)
    return np.asarray(resized).astype(np.float32) / 255


def _spectrum(array: np.ndarray) -> np.ndarray:
    return np.asarray(fft.rfft2(array, axes=(0, 1)))


def _correlate(spectrum: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Summed over channels, for the template's top left corner at every pixel of the grid."""
    return np.asarray(fft.irfft2((spectrum * template).sum(axis=2), s=(GRID_PX, GRID_PX)))
