"""The switches of finding and painting, thrown one after the other: from the seed's way to the defaults, and beyond."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.config import ClipSettings, DriverSettings, GroundingSettings, PaintingSettings

SEEDS_WAY = "the seed's way, stock libraries"
DEFAULT = "+ colours fitted"  # the row in which all switches stand as they do by default

# What each row changes, by the class of its settings; a value that is not given is the default.
OFF: dict[str, dict[str, Any]] = {
    "clip": {"method": "patch", "contrast": False, "ensemble": False, "squares": (), "min_confidence": 0.0},
    "grounding": {
        **{"peaks": 1, "use_box": False, "choose": False, "use_heat": False, "look_closer": False, "places": False}
    },
    "painting": {"mask_shape": "silhouette", "dilation": 0.0, "crop": False, "fit_colours": False},
}
ON: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("+ NACLIP's last block", "clip", ("method",)),
    ("+ contrast words, wordings, presence", "clip", ("contrast", "ensemble", "min_confidence")),
    ("+ windows", "clip", ("squares",)),
    ("+ words of place", "grounding", ("places",)),
    ("+ several points", "grounding", ("peaks",)),
    ("+ box and rough mask", "grounding", ("use_box",)),
    ("+ chooser", "grounding", ("choose",)),
    ("+ heat map where no mask fits", "grounding", ("use_heat",)),
    ("+ closer look at small things", "grounding", ("look_closer",)),
    ("+ crop at the picture's own resolution", "painting", ("crop",)),
    ("+ grown hull, not the silhouette", "painting", ("mask_shape", "dilation")),
    (DEFAULT, "painting", ("fit_colours",)),
)


@dataclass(frozen=True)
class Row:
    """A state of the switches, and how many seeds the best picture is chosen from."""

    name: str
    clip: ClipSettings
    driver: DriverSettings
    n: int = 1


def rows() -> list[Row]:
    state = {group: dict(values) for group, values in OFF.items()}
    made = [_row("all switches off", state)]
    for name, group, switches in ON:
        for switch in switches:
            del state[group][switch]
        made.append(_row(name, state))
    made.append(_row("+ best of 4 seeds", state, n=4))
    return made


def _row(name: str, state: Mapping[str, Mapping[str, Any]], n: int = 1) -> Row:
    grounding = GroundingSettings.model_validate(state["grounding"])
    painting = PaintingSettings.model_validate(state["painting"])
    return Row(
        name, ClipSettings.model_validate(state["clip"]), DriverSettings(grounding=grounding, painting=painting), n
    )
