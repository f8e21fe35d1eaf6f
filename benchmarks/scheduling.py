"""Sharing steps against sharing whole requests, and CLIP in batches: the same work behind Serve handles, scheduled
in different ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from ray import serve

from benchmarks.baselines import RequestBatching, ServeBatchedScores
from benchmarks.figures import Figure, interleaved, percentile, ratios
from benchmarks.setup import Setup
from benchmarks.workload import MIX, EditCase, TimedRequest, arrivals, closed_loop, open_loop
from deployments.clip.server import ClipServer
from deployments.config import ModelArgs
from deployments.inpaint.server import InpaintServer
from deployments.messages import InpaintRequest, ScoreRequest

JOBS = 16
SHORT = min(MIX)
SCORES = 96
CALLERS = 16


def _start(cls: type, name: str, actor_options: Mapping[str, Any], *args: Any, **options: Any) -> Any:
    deployment = serve.deployment(
        cls, name=name, ray_actor_options=dict(actor_options), max_ongoing_requests=1000, **options
    )
    return serve.run(deployment.bind(*args), name=name, route_prefix=None)


def mixed_load(rounds: int, setup: Setup, known: list[EditCase], say: Callable[[str], None]) -> Iterator[Figure]:
    """Mixed step counts arriving at random: the step engine, and `@serve.batch` around whole requests."""
    args, options = setup.args.inpaint, setup.options("inpaint")
    engine = _start(InpaintServer, "bench-engine", options, args, user_config={"max_pictures": 10_000})
    batched = _start(RequestBatching, "bench-requests", options, args)
    mixed = [known[index % len(known)].inpaint(index, MIX[index % len(MIX)]) for index in range(JOBS)]
    try:
        alone = _alone(engine, known)
        sides = {"engine": _asker(engine), "request batching": _asker(batched)}
        capacity = {name: JOBS / closed_loop(ask, mixed, 8) for name, ask in sides.items()}
        say(
            "images/s of mixed steps, 8 callers: "
            + "  ".join(f"{name} {value:.2f}" for name, value in capacity.items())
        )
        for base in capacity:
            yield from _at_load(
                rounds, sides, mixed, 0.7 * capacity[base], f"70 % of the {base}'s capacity", alone, say
            )
    finally:
        serve.delete("bench-engine")
        serve.delete("bench-requests")


def _asker(handle: Any) -> Callable[[InpaintRequest], bool]:
    def ask(request: InpaintRequest) -> bool:
        handle.inpaint.remote(request).result()
        return True

    return ask


def _alone(handle: Any, known: list[EditCase]) -> float:
    """Median seconds of a short job that has the engine to itself."""
    return float(np.median([closed_loop(_asker(handle), [known[0].inpaint(seed, SHORT)], 1) for seed in range(7)]))


def _at_load(
    rounds: int,
    sides: dict[str, Callable[[InpaintRequest], bool]],
    mixed: list[InpaintRequest],
    per_s: float,
    load: str,
    alone: float,
    say: Callable[[str], None],
) -> Iterator[Figure]:
    say(f"mixed steps at {load}, {per_s:.2f} images/s: mean latency in seconds")
    kept: dict[str, list[TimedRequest[InpaintRequest]]] = {name: [] for name in sides}

    def run(name: str) -> Callable[[int], float]:
        def mean_latency(number: int) -> float:
            outcomes = open_loop(sides[name], mixed, arrivals(len(mixed), per_s, number))
            kept[name] += outcomes
            return float(np.mean([outcome.latency_s for outcome in outcomes]))

        return mean_latency

    made = interleaved(rounds, {name: run(name) for name in sides}, say)
    p99 = {name: percentile([outcome.latency_s for outcome in kept[name]], 0.99) for name in sides}
    parts = {f"mean s, {name}": float(np.median(values)) for name, values in made.items()}
    parts |= {f"p99 s, {name}": value for name, value in p99.items()}
    parts |= {
        f"mean s of {steps} steps, {name}": float(np.mean([o.latency_s for o in kept[name] if _steps(o) == steps]))
        for name in sides
        for steps in MIX
    }
    yield Figure(
        f"mean latency, mixed steps at {load}: engine over request batching",
        ratios(made["engine"], made["request batching"]),
        0.75,
        below=True,
        parts=parts,
    )
    short = [outcome.latency_s for outcome in kept["engine"] if _steps(outcome) == SHORT]
    yield Figure(
        f"p95 of {SHORT}-step jobs at {load}, over the same alone",
        (percentile(short, 0.95) / alone,),
        4,
        below=True,
        parts={"s alone": alone},
    )


def _steps(outcome: TimedRequest[InpaintRequest]) -> int:
    return outcome.item.options.num_inference_steps or 0


class CountedClip(ClipServer):
    """Tells how large its batches of scores were."""

    def __init__(self, args: ModelArgs) -> None:
        super().__init__(args)
        self._sizes: list[int] = []
        run = self._matcher.score
        self._scoring._run = lambda requests: self._sizes.append(len(requests)) or run(requests)  # type: ignore

    async def mean_batch(self) -> float:
        sizes, self._sizes = self._sizes, []
        return float(np.mean(sizes))


def clip_batches(rounds: int, setup: Setup, known: list[EditCase], say: Callable[[str], None]) -> Iterator[Figure]:
    """Scores for 16 callers: our batcher, the same without batches, and `@serve.batch`."""
    args, options = setup.args.clip, setup.options("clip")
    ours = _start(CountedClip, "bench-clip", options, args, user_config={"max_batch_size": CALLERS})
    single = _start(CountedClip, "bench-clip-single", options, args, user_config={"max_batch_size": 1})
    serves = _start(ServeBatchedScores, "bench-clip-serve", options, args)
    handles = {"batched": ours, "unbatched": single, "@serve.batch": serves}

    def asked(number: int) -> list[ScoreRequest]:
        """Never the same picture in two rounds, or the cache would answer."""
        many = ((known[index % len(known)], number * SCORES + index) for index in range(SCORES))
        return [ScoreRequest(case.marked(mark).image, case.prompt) for case, mark in many]

    def scores_per_s(handle: Any) -> Callable[[int], float]:
        return lambda number: (
            SCORES / closed_loop(lambda one: handle.score.remote(one).result(), asked(number), CALLERS)
        )

    try:
        for handle in handles.values():
            scores_per_s(handle)(rounds)
            handle.mean_batch.remote().result()
        say(f"CLIP scores/s, {CALLERS} callers")
        made = interleaved(rounds, {name: scores_per_s(handle) for name, handle in handles.items()}, say)
        fill = {name: handle.mean_batch.remote().result() / CALLERS for name, handle in handles.items()}
    finally:
        for name in ("bench-clip", "bench-clip-single", "bench-clip-serve"):
            serve.delete(name)
    parts = {f"scores/s, {name}": float(np.median(values)) for name, values in made.items()}
    parts |= {f"fill, {name}": share for name, share in fill.items()}
    yield Figure(
        "CLIP batched over unbatched, 16 callers", ratios(made["batched"], made["unbatched"]), 1.3, parts=parts
    )
    yield Figure("CLIP mean batch over 16", (fill["batched"],), 0.7)
    yield Figure("CLIP batched over @serve.batch, 16 callers", ratios(made["batched"], made["@serve.batch"]))
