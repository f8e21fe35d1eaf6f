"""Three processes on one card, each with its share of the memory: one that wants too much fails alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.figures import Figure
from benchmarks.gpu_check.models import Place, noise, scenes
from benchmarks.gpu_check.processes import answers, processes_for
from benchmarks.gpu_check.timing import Clock
from benchmarks.in_process import silence

SHARES = {"clip": 0.1, "sam": 0.2, "inpaint": 0.7}  # those of serve_config.yaml
FILLED = 0.5  # of its share: the rest of the card is for the models of the main process, and for the driver
BEYOND = 0.6  # of its share, on top of that
GIB = 2**30


def measure(place: Place, clock: Clock) -> Iterator[Figure]:
    """Each works, fills its share, wants more, and works again; nobody goes on before all have come so far."""
    context = processes_for(place)
    together, told = context.Barrier(len(SHARES)), context.Queue()
    processes = [
        context.Process(target=_hold, args=(stage, share, place, together, told, clock.left_s()), daemon=True)
        for stage, share in SHARES.items()
    ]
    for process in processes:
        process.start()
    try:
        made = {answer["stage"]: answer for answer in answers(processes, told, clock)}
    finally:
        for process in processes:
            process.join(1)
            process.kill()
    failed = {stage: answer["error"] for stage, answer in made.items() if "error" in answer}
    if failed:
        raise RuntimeError(f"{failed}")
    yield Figure(
        "processes that worked again after each had wanted more than its share",
        (float(sum(answer["worked_again"] for answer in made.values())),),
        len(SHARES),
    )
    if place.device != "cuda":
        return
    yield Figure(
        "processes refused what was beyond their share",
        (float(sum(answer["refused"] for answer in made.values())),),
        len(SHARES),
    )
    for stage, share in SHARES.items():
        answer = made[stage]
        yield Figure(
            f"{stage}: most that it held, over its share of {share}",
            (answer["peak_gib"] / answer["share_gib"],),
            1.0,
            below=True,
            parts={name: answer[name] for name in ("share_gib", "peak_gib", "working_gib")},
        )


def _hold(stage: str, share: float, place: Place, together: Any, told: Any, patience_s: float) -> None:
    """In a process of its own: what production does, and then too much of it."""
    silence()
    try:
        told.put({"stage": stage} | _held(stage, share, place, lambda: together.wait(patience_s)))
    except Exception as error:
        together.abort()
        told.put({"stage": stage, "error": f"{type(error).__name__}: {error}"})


def _held(stage: str, share: float, place: Place, meet: Callable[[], object]) -> dict[str, Any]:
    from deployments.serving.placement import take_share

    take_share(share)
    work = _WORK[stage](place)
    work()
    on_card = place.device == "cuda"
    answer: dict[str, Any] = {}
    if on_card:
        torch.cuda.synchronize()
        size = torch.cuda.get_device_properties(0).total_memory
        answer = {"share_gib": share * size / GIB, "working_gib": torch.cuda.max_memory_reserved() / GIB}
        meet()
        torch.cuda.empty_cache()  # or what is kept for the next time would make room for more than the share has
        filling = _bytes(max(0, int(FILLED * share * size) - torch.cuda.memory_reserved()))
        meet()
        answer["refused"] = _is_refused(int(BEYOND * share * size))
        meet()
        del filling
    else:
        meet()
    work()
    answer["worked_again"] = True
    if on_card:
        torch.cuda.synchronize()
        answer["peak_gib"] = torch.cuda.max_memory_reserved() / GIB
    meet()
    return answer


def _is_refused(size: int) -> bool:
    try:
        _bytes(size)
    except torch.OutOfMemoryError:
        return True
    return False


def _bytes(size: int) -> torch.Tensor:
    return torch.ones(size, dtype=torch.uint8, device="cuda")


def _clip(place: Place) -> Callable[[], object]:
    from deployments.clip.model import ClipMatcher
    from deployments.config import ClipSettings
    from deployments.messages import SearchRequest

    matcher, settings = ClipMatcher(*place.clip()), ClipSettings(min_confidence=0)
    pictures = 2 if place.tiny else 8
    return lambda: matcher.locate([SearchRequest(each, ("the dog",)) for each in noise(pictures, 512)], settings)


def _sam(place: Place) -> Callable[[], object]:
    sam = place.sam()
    return lambda: sam.encode(noise(4, 512))  # as many as SamSettings put together


def _inpaint(place: Place) -> Callable[[], object]:
    """Eight pictures of 4 steps by the engine, with the rows that its profile chooses."""
    from dataclasses import replace

    from deployments.config import InpaintArgs
    from deployments.inpaint.engine import InpaintEngine
    from deployments.inpaint.model import InpaintModel

    engine = InpaintEngine(InpaintModel(place.pipeline()), InpaintArgs(device=place.device))
    request = replace(scenes(1, engine.model.native_px)[0].inpaint(0, 4), seeds=tuple(range(8)))
    return lambda: engine.submit(request).future.result()


_WORK: dict[str, Callable[[Place], Callable[[], object]]] = {"clip": _clip, "sam": _sam, "inpaint": _inpaint}
