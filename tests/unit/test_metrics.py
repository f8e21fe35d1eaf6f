"""What is measured and how it is handed on, with a recorder that keeps everything in Ray's place."""

import asyncio
import re
import threading
from pathlib import Path

import pytest

from deployments.config import BatchSettings
from deployments.errors import InvalidInput, Overloaded, TargetNotFound
from deployments.messages import EditRequest, LocateRequest, ScoreRequest
from deployments.serving import metrics as seam
from deployments.serving.batching import Batcher
from deployments.serving.caching import Lru, SharedCache
from deployments.serving.metrics import (
    BATCH_RUN,
    BATCH_SIZE,
    BATCH_WAIT,
    CACHE_HITS,
    CACHE_MISSES,
    METRICS,
    NOWHERE,
    PICTURES,
    RESULTS,
    Occupancy,
    RayRecorder,
    batches,
    lookups,
    recorder,
    result,
)

OPERATING = Path(__file__).parent.parent.parent / "docs/operate.md"


# The metrics


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_follows_the_conventions_of_prometheus(metric):
    assert re.fullmatch(r"retouch_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.endswith("_seconds") == (metric.unit == "seconds")
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert metric.tags[0] == "stage"


@pytest.mark.parametrize("metric", [one for one in METRICS if one.buckets], ids=lambda metric: metric.name)
def test_buckets_are_as_exact_as_they_are_said_to_be(metric):
    pairs = list(zip(metric.buckets, metric.buckets[1:], strict=False))
    assert all(0 < low < high for low, high in pairs)
    if metric.unit == "seconds":
        assert all(high / low <= 1.5001 for low, high in pairs)
        assert (metric.buckets[0], metric.buckets[-1]) == (0.001, 100.0)
    else:
        assert [(low + high) / 2 for low, high in pairs][:8] == list(range(1, 9))
        assert all(high <= 2 * low for low, high in pairs[8:])


def test_no_two_metrics_share_a_name():
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_operating_guide_lists_every_metric_as_it_is():
    rows = re.findall(
        r"^\| `(retouch_\w+)` \| (\w+) \| (.+?) \| (\w+) \| (.+) \|$", OPERATING.read_text(), re.MULTILINE
    )
    listed = [(name, kind, tuple(re.findall(r"`(\w+)`", tags)), unit, tells) for name, kind, tags, unit, tells in rows]
    assert listed == [(one.name, one.kind, one.tags, one.unit, one.meaning) for one in METRICS]


def test_the_operating_guide_asks_for_metrics_that_there_are():
    """A query names a metric as Ray exports it, a histogram by one of its three series."""
    exported = set()
    for metric in METRICS:
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        exported |= {f"ray_{metric.name}{end}" for end in ends}
    asked = set(re.findall(r"ray_retouch_\w+", OPERATING.read_text()))
    assert asked
    assert asked <= exported


# What is recorded


async def test_a_batch_of_three_is_recorded_as_one_of_size_three(metrics):
    batcher = Batcher(
        lambda items: items, BatchSettings(max_batch_size=8, max_wait_s=0.05), batches(metrics, "clip", "score")
    )
    await asyncio.gather(*map(batcher.submit, range(3)))
    tags = {"stage": "clip", "operation": "score"}
    assert metrics.values(BATCH_SIZE, **tags) == [3]
    (wait_s,) = metrics.values(BATCH_WAIT, **tags)
    (run_s,) = metrics.values(BATCH_RUN, **tags)
    assert wait_s >= 0
    assert run_s >= 0


def test_a_lookup_is_a_hit_or_a_miss(metrics):
    cache = Lru(2, lookups(metrics, "inpaint", "texts"))
    for key in ("a", "b", "a", "a"):
        cache.get(key, str.upper)
    tags = {"stage": "inpaint", "cache": "texts"}
    assert metrics.values(CACHE_HITS, **tags) == [1, 1]
    assert metrics.values(CACHE_MISSES, **tags) == [1, 1]


async def test_what_somebody_else_is_making_is_a_hit(metrics):
    cache = SharedCache(2, lookups(metrics, "sam", "embeddings"))

    async def make():
        await asyncio.sleep(0)
        return "made"

    await asyncio.gather(*(cache.get("a", make) for _ in range(3)))
    assert await cache.get("a", make) == "made"
    assert len(metrics.values(CACHE_MISSES)) == 1
    assert len(metrics.values(CACHE_HITS)) == 3


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (InvalidInput("no", "prompt"), "invalid_value"),
        (Overloaded(), "overloaded"),
        (ZeroDivisionError(), "model_failed"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
    ],
)
def test_an_outcome_is_the_code_that_is_answered(metrics, error, outcome):
    def answer():
        with result(metrics, "sam", "encode"):
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            answer()
    else:
        answer()
    assert metrics.values(RESULTS, stage="sam", operation="encode", outcome=outcome) == [1]
    assert len(metrics.values(RESULTS)) == 1


async def test_the_driver_counts_how_requests_end(graph, metrics):
    await graph.edit()
    request = EditRequest(graph.image, "a lemon", target="x", seed=1)
    assert [item async for item in graph.driver.edit_stream(request)]
    await graph.driver.score(ScoreRequest(graph.image, "x"))
    with pytest.raises(InvalidInput):
        await graph.driver.locate(LocateRequest(graph.image, ""))
    graph.clip.stage.found = False
    with pytest.raises(TargetNotFound):
        await graph.edit()
    counted = {
        (operation, outcome): len(metrics.values(RESULTS, stage="driver", operation=operation, outcome=outcome))
        for operation in ("edit", "locate", "score")
        for outcome in ("ok", "invalid_value", "target_not_found")
    }
    assert {ended: count for ended, count in counted.items() if count} == {
        ("edit", "ok"): 2,
        ("edit", "target_not_found"): 1,
        ("score", "ok"): 1,
        ("locate", "invalid_value"): 1,
    }


def test_a_level_ends_where_it_began_whichever_thread_comes_last(metrics):
    level = Occupancy(metrics, PICTURES, {"stage": "inpaint"})
    both = threading.Barrier(2)

    def come_and_go():
        both.wait(5)
        for _ in range(500):
            level.move(2)
            level.move(-2)

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = metrics.values(PICTURES)
    assert (values[0], values[-1]) == (0, 0)
    assert set(values) <= {0, 2, 4}


# Where it goes


def test_outside_of_a_replica_nothing_is_recorded():
    assert recorder() is NOWHERE
    NOWHERE.record(BATCH_SIZE, 3, {})


class Ray:
    """Stands for Ray's instruments: keeps what they are given; `wait_for` blocks until that satisfies a condition."""

    def __init__(self, monkeypatch, pause_s):
        self.given = []
        self._changed = threading.Condition()
        monkeypatch.setattr(seam, "PAUSE_S", pause_s)
        monkeypatch.setattr(seam, "_instrument", self.instrument)

    def instrument(self, metric):
        def take(value, tags):
            with self._changed:
                self.given.append((metric, value, tags["stage"]))
                self._changed.notify_all()

        return take

    def wait_for(self, condition):
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.given), 30)


def test_figures_reach_ray_in_order(monkeypatch):
    ray = Ray(monkeypatch, pause_s=0.005)
    to = RayRecorder()
    figures = [(BATCH_SIZE, 3, "clip"), (CACHE_HITS, 1, "sam"), (BATCH_SIZE, 2, "clip")]
    for metric, value, stage in figures:
        to.record(metric, value, {"stage": stage})
    ray.wait_for(lambda given: len(given) == 3)
    assert ray.given == figures


def test_a_gauge_is_set_again_and_again_to_what_it_was_last_set_to(monkeypatch):
    """Ray forgets a gauge that nobody has set for a while, also where nothing has changed."""
    ray = Ray(monkeypatch, pause_s=0.005)
    to = RayRecorder()
    to.record(PICTURES, 3, {"stage": "a"})
    to.record(PICTURES, 1, {"stage": "a"})
    to.record(PICTURES, 7, {"stage": "b"})
    last = {(PICTURES, 1, "a"), (PICTURES, 7, "b")}
    ray.wait_for(lambda given: min(map(given.count, last)) > 3)
    to.record(PICTURES, 0, {"stage": "a"})
    ray.wait_for(lambda given: given.count((PICTURES, 0, "a")) > 3)
    assert set(ray.given[ray.given.index((PICTURES, 0, "a")) :]) == {(PICTURES, 0, "a"), (PICTURES, 7, "b")}


def test_what_ray_does_not_take_is_said_once_and_harms_no_other_figure(monkeypatch, caplog):
    ray = Ray(monkeypatch, pause_s=1000)
    take_of = ray.instrument

    def refuses(value, tags):
        raise RuntimeError("no agent")

    monkeypatch.setattr(seam, "_instrument", lambda metric: refuses if metric is BATCH_SIZE else take_of(metric))
    broken = RayRecorder()
    for metric in (BATCH_SIZE, BATCH_WAIT, BATCH_SIZE, BATCH_RUN):
        broken.record(metric, 3, {"stage": "clip"})
    broken._hand_on()
    assert [metric for metric, _, _ in ray.given] == [BATCH_WAIT, BATCH_RUN]
    assert [record.getMessage() for record in caplog.records] == ["retouch_batch_size cannot be recorded"]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_ray_takes_every_metric(metric):
    """Its classes check names, buckets, tags and values also where no Ray runs."""
    take = seam._instrument(metric)
    take(2, dict.fromkeys(metric.tags, "x"))
    with pytest.raises(ValueError, match="tag key"):
        take(2, {})
