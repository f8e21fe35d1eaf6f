"""How many whole GPUs a config needs: replicas times their shares, packed as Ray packs them.

A share below one must lie on one GPU; a share of one or more takes whole GPUs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from deployments.check_config.findings import Finding

UNITS = 10_000  # Ray counts resources in these parts of a whole.
# Up to these numbers of replicas, and of ways to choose among their shares, the best packing is searched for, which
# takes milliseconds. Beyond them the largest shares are packed first.
FEW_REPLICAS = 20
FEW_CHOICES = 5_000

Options = dict[str, Any]


@dataclass(frozen=True)
class Need:
    """What a deployment takes: a share of a GPU for each of its replicas.

    `surges` says that an update starts new replicas before it stops old ones.
    """

    name: str
    share: float
    least: int
    most: int
    surges: bool = False

    def __str__(self) -> str:
        replicas = f"{self.least}" if self.least == self.most else f"{self.least}-{self.most}"
        return f"{self.name} {replicas} x {self.share:g}"


def share_problem(share: Any) -> str | None:
    """Return why Ray cannot give a replica this share. Serve's schema itself refuses what is not a number."""
    if isinstance(share, bool):
        return f"must be a number, not {share}"
    try:
        number = float(share)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return f"must be a finite number, not {share}"
    if number > 1 and number != int(number):
        return f"{share} is more than one GPU but not a whole number"
    if not math.isclose(number * UNITS, round(number * UNITS)):
        return f"{share} is finer than {1 / UNITS:g}, which is as fine as Ray counts"
    return None


def need(name: str, options: Options, defaults: Options) -> Need:
    """Return what a deployment needs with these options of the file, where they replace the defaults of the code."""
    both = {**defaults, **options}
    actor = both.get("ray_actor_options") or {}
    own = options.keys() & {"num_replicas", "autoscaling_config"}
    least, most = _replicas(options if own else defaults)
    return Need(name, actor.get("num_gpus") or 0, least, most, (both.get("max_surge_percent") or 0) > 0)


def _replicas(options: Options) -> tuple[int, int]:
    """Return the least and the most replicas, by the defaults of Serve."""
    number, scaling = options.get("num_replicas"), options.get("autoscaling_config")
    if number == "auto":
        return _bounds({"max_replicas": 100, **(scaling or {})})
    return _bounds(scaling) if scaling is not None else (number or 1, number or 1)


def _bounds(scaling: Options) -> tuple[int, int]:
    return int(scaling.get("min_replicas", 1)), int(scaling.get("max_replicas", 1))


def findings(needs: list[Need], gpus: int | None) -> Iterator[Finding]:
    """Yield how many GPUs are needed, and with a number of GPUs what does not fit on them."""
    needs = [need for need in needs if need.share]
    if not needs:
        yield Finding("", "needs no GPU", "fact")
        return
    least = fewest((need.share, need.least) for need in needs)
    most = fewest((need.share, need.most) for need in needs)
    yield Finding("", f"needs at least {_gpus(least)}, at most {most} ({', '.join(map(str, needs))})", "fact")
    if gpus is not None and least > gpus:
        yield Finding("applications", f"need at least {_gpus(least)}, and --gpus says {gpus}")
    elif gpus is not None or _full(needs, least):
        on = least if gpus is None else gpus
        yield from _cannot_grow(needs, on)
        yield from _cannot_surge(needs, on)


def _full(needs: list[Need], gpus: int) -> bool:
    """Tell whether the fewest replicas fill these GPUs to the last part, so that none of them is kept for more."""
    return sum(round(need.share * UNITS) * need.least for need in needs) == gpus * UNITS


def _cannot_grow(needs: list[Need], gpus: int) -> Iterator[Finding]:
    for one in needs:
        wanted = _with_one_more(one, needs)
        if one.most > one.least and wanted > gpus:
            why = f"one replica more needs {_gpus(wanted)} even with all others at their fewest"
            yield Finding("", f"{one.name} cannot grow on {_gpus(gpus)}: {why}", "note")


def _cannot_surge(needs: list[Need], gpus: int) -> Iterator[Finding]:
    for one in needs:
        if one.surges and one.least and _with_one_more(one, needs) > gpus:
            why = "with max_surge_percent a new replica starts before an old one stops, and there is no room for both"
            yield Finding("", f"an update of {one.name} waits for ever on {_gpus(gpus)}: {why}", "note")


def _with_one_more(one: Need, needs: list[Need]) -> int:
    return fewest((need.share, need.least + (need is one)) for need in needs)


def _gpus(number: int) -> str:
    return f"{number} GPU" if number == 1 else f"{number} GPUs"


def fewest(shares: Iterable[tuple[float, int]]) -> int:
    """Return the fewest GPUs that hold all shares, which are given as (share, how many)."""
    whole, parts = 0, Counter[int]()
    for share, count in shares:
        whole += int(share) * count if share >= 1 else 0
        parts[round(share * UNITS)] += count if share < 1 else 0
    return whole + _packed(+parts)


def _packed(parts: Counter[int]) -> int:
    """Return the fewest GPUs for parts of a GPU. Where the parts are many, the largest are packed first."""
    enough = _largest_first(parts)
    if not _few(parts):
        return enough
    in_order = tuple(sorted(parts.elements(), reverse=True))
    least = math.ceil(sum(in_order) / UNITS)
    return next((gpus for gpus in range(least, enough) if _fits(in_order, (UNITS,) * gpus)), enough)


def _few(parts: Counter[int]) -> bool:
    choices = math.prod(count + 1 for count in parts.values())
    return parts.total() <= FEW_REPLICAS and choices <= FEW_CHOICES


def _largest_first(parts: Counter[int]) -> int:
    """Return how many GPUs are taken if the largest part goes first, each to the first GPU that has room."""
    rooms: list[tuple[int, int]] = []  # (the room that is left, on how many GPUs)
    for part, count in sorted(parts.items(), reverse=True):
        filled: list[tuple[int, int]] = []
        for room, gpus in [*rooms, (UNITS, count)]:
            each = room // part
            full, rest = divmod(min(count, each * gpus), each) if each else (0, 0)
            filled += [(room - each * part, full), (room - rest * part, int(rest > 0))]
            filled += [(room, gpus - full - int(rest > 0))]
            count -= full * each + rest
        rooms = [(room, gpus) for room, gpus in filled if gpus and room < UNITS]
    return sum(gpus for _, gpus in rooms)


@cache
def _fits(parts: tuple[int, ...], rooms: tuple[int, ...]) -> bool:
    """Tell whether the parts, the largest first, find room in any way; GPUs with equal room are tried once."""
    if not parts:
        return True
    first, rest = parts[0], parts[1:]
    return any(_fits(rest, tuple(sorted(_less(rooms, room, first)))) for room in set(rooms) if room >= first)


def _less(rooms: tuple[int, ...], room: int, part: int) -> list[int]:
    place = rooms.index(room)
    return [*rooms[:place], room - part, *rooms[place + 1 :]]
