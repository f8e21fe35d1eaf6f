"""The previews of an edit: the whole picture, with what the painter would make of its regions if it stopped now."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from deployments.messages import PartialImage, Preview
from deployments.pixels import colours, pasting
from deployments.pixels.regions import Plan


class Previews:
    """Makes a preview of a picture (HxWx3 uint8) as soon as each region of the plan has its own of the same step.

    It is put back into the picture as the finished painting is, so that outside the mask every pixel is the picture's.
    `show` is called with it and must return at once.
    """

    def __init__(self, image: np.ndarray, plan: Plan, fit_colours: bool, show: Callable[[PartialImage], None]) -> None:
        self._image = image
        self._plan = plan
        self._fit_colours = fit_colours
        self._show = show
        self._squares: dict[int, dict[int, np.ndarray]] = defaultdict(dict)  # by step and by region
        self._shown = 0
        self._last_step = 0  # of what was shown

    async def take(self, preview: Preview) -> None:
        """Take the preview of one region.

        A painting that is begun anew, because its replica died, has them again. What was shown is not shown twice.
        """
        if preview.step <= self._last_step:
            return
        squares = self._squares[preview.step]
        squares[preview.square] = preview.image
        if len(squares) < len(self._plan.regions):
            return
        self._last_step = preview.step
        del self._squares[preview.step]
        painted = [squares[number] for number in range(len(squares))]
        picture = await asyncio.to_thread(self._put_back, painted)
        self._show(PartialImage(picture, self._shown))
        self._shown += 1

    def _put_back(self, painted: Sequence[np.ndarray]) -> np.ndarray:
        squares = colours.fit_each(painted, self._image, self._plan) if self._fit_colours else painted
        return pasting.paste_back(self._image, squares, self._plan)
