"""What the soak shows: a figure for each promise, and a table of the processes.

The first half of the readings is left to allocators, caches and connections, which fill up to their bounds; growth is
that of the second half. Memory may grow by `MEMORY_SHARE` of what there is, and that of one process by this or by
`SMALL_MB`, whichever is more: an allocator takes megabytes at a time, while a leak of a small picture per edit
(60 kB) would pass both within a thousand edits. A leaked descriptor per edit or per abuse shows at once; a few more are
connections that happen to be open. A run of fewer than `ENOUGH` requests does not fill the caches before its second
half: it shows the memory without a bar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.figures import Comparison, Figure
from benchmarks.soak.processes import Reading, growth, replaced
from benchmarks.soak.run import Soaked

ENOUGH = 1000  # requests after the warm-up
MEMORY_SHARE = 0.02
SMALL_MB = 4.0
FEW_DESCRIPTORS = 5.0
OBJECTS_MB = 1.0


def figures(soaked: Soaked) -> Iterator[Figure]:
    """Return the rows."""
    course, readings = soaked.course, soaked.readings
    abusive = [each for each in course.wrong if each[0] not in ("edit", "stream", "key")]
    yield _at_most("good requests that were not answered right", len(course.wrong) - len(abusive), 0)
    yield _at_most("abusive requests that were not answered as they must be", len(abusive), 0)
    yield _at_most("processes that were replaced", len(replaced(readings)), 0)
    late = _second_half(readings)
    parts = sorted(late[0].memory_mb)
    total = sum(late[0].memory_mb.values())
    grown = {part: _memory_growth(late, part) for part in parts}
    enough = late[-1].done - readings[0].done >= ENOUGH
    all_in_all = 1 + sum(grown.values()) / total
    yield _at_most("resident memory of all, over that of half-time", all_in_all, 1 + MEMORY_SHARE if enough else None)
    beyond = {part: mb - max(SMALL_MB, MEMORY_SHARE * late[0].memory_mb[part]) for part, mb in grown.items()}
    yield _at_most("MB that one process grew beyond its share", max(0.0, *beyond.values()), 0 if enough else None)
    descriptors = [growth([(r.done, r.descriptors.get(part, 0)) for r in late]) for part in parts]
    yield _at_most("descriptors that one process has more than at half-time", max(descriptors), FEW_DESCRIPTORS)
    yield _at_most("calls under way at the end", soaked.end.calls, 0)
    yield _at_most("pictures that the painter holds at the end", soaked.end.pictures, 0)
    yield _at_most("claims in the ledger at the end", soaked.end.claims, 0)
    objects = soaked.end.objects_mb - soaked.warm.objects_mb
    yield _at_most("MB in the object store more than after the warm-up", objects, OBJECTS_MB)


def table(readings: Sequence[Reading]) -> Comparison:
    """Return what each process had at the first reading, at half-time and at the last."""
    late = _second_half(readings)
    first, half, last = readings[0], late[0], readings[-1]
    return Comparison(
        "process",
        {
            part: {
                "MB first": first.memory_mb.get(part),
                "MB half-time": half.memory_mb.get(part),
                "MB last": last.memory_mb.get(part),
                "MB grown in the second half": _memory_growth(late, part),
                "descriptors first": _number(first.descriptors.get(part)),
                "descriptors last": _number(last.descriptors.get(part)),
            }
            for part in sorted(first.pids)
        },
    )


def _second_half(readings: Sequence[Reading]) -> list[Reading]:
    if len(readings) < 4:
        raise ValueError("The soak was too short for its readings: ask for more edits.")
    return list(readings[len(readings) // 2 :])


def _memory_growth(readings: Sequence[Reading], part: str) -> float:
    return growth([(each.done, each.memory_mb[part]) for each in readings if part in each.memory_mb])


def _at_most(what: str, value: float, target: float | None) -> Figure:
    return Figure(what, (float(value),), target, below=True)


def _number(value: int | None) -> float | None:
    return None if value is None else float(value)
