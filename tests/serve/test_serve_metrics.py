"""What Prometheus gets to see of the graph on real Ray: every metric, with the tags and the values of an edit."""

import re
import time

import httpx
import numpy as np
import pytest

from deployments.messages import EditRequest
from deployments.serving.metrics import (
    BATCH_RUN,
    BATCH_SIZE,
    CACHE_HITS,
    CACHE_MISSES,
    METRICS,
    PICTURES,
    PICTURES_WAITING,
    RESULTS,
    ROWS,
    STEP_ROWS,
    STEP_TIME,
)

STEPS = 6
PATIENCE_S = 60
PAUSE_S = 3.0  # replicas hand their figures to Ray every second, and Ray reports them as often here (conftest.py)
ALL = {metric.name for metric in METRICS}
OPERATIONS = [
    {"stage": stage, "operation": operation}
    for stage, operation in [
        ("driver", "edit"),
        ("clip", "locate"),
        ("clip", "score"),
        ("sam", "encode"),
        ("sam", "segment"),
        ("inpaint", "inpaint"),
    ]
]


class Scrape:
    """What the metrics port of the node says of the pocket graph."""

    def __init__(self, text):
        self._series = [
            (name, dict(re.findall(r'(\w+)="([^"]*)"', tags)), float(value))
            for name, tags, value in re.findall(r"^(ray_retouch_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE)
        ]

    def __eq__(self, other):
        return self._series == other._series

    def values(self, name, **tags):
        """The values of all series of a name of ours with these tags."""
        wanted = ({"application": "retouch"} | tags).items()
        return [value for its, its_tags, value in self._series if its == f"ray_{name}" and wanted <= its_tags.items()]

    def total(self, name, **tags):
        return sum(self.values(name, **tags))

    def names(self):
        return {re.sub("_(bucket|sum|count)$", "", name).removeprefix("ray_") for name, _, _ in self._series}

    def tags(self, name):
        return [its_tags for its, its_tags, _ in self._series if its == f"ray_{name}"]


@pytest.fixture(scope="module")
def scrape(handle):
    import ray

    address = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"
    return lambda: Scrape(httpx.get(address, timeout=30).text)


@pytest.fixture(scope="module")
def settled_scrape(scrape):
    """Scrapes until `complete` agrees and no more figures arrive: each replica hands its own on in its own rhythm."""

    def settle(complete):
        until = time.monotonic() + PATIENCE_S
        last = scrape()
        while True:
            time.sleep(PAUSE_S)
            last, before = scrape(), last
            if complete(last) and last == before:
                return last
            assert time.monotonic() < until, sorted(ALL - last.names()) or last

    return settle


@pytest.fixture(scope="module")
def seen(handle, scene, settled_scrape):
    """What Prometheus sees before and after an edit and its repetition."""
    before = settled_scrape(lambda scraped: True)
    image = scene.image.copy()
    image[0, 0] = np.random.default_rng().integers(256, size=3)  # a picture that no stage remembers
    request = EditRequest(image, "a lemon", target="the cactus", seed=1, num_inference_steps=STEPS)
    for _ in range(2):
        handle.edit.remote(request).result(timeout_s=120)

    def complete(scraped):
        ended = [
            scraped.total(RESULTS.name, **where, outcome="ok") - before.total(RESULTS.name, **where, outcome="ok")
            for where in OPERATIONS
        ]
        return min(ended) >= 2 and scraped.names() >= ALL

    return before, settled_scrape(complete)


def test_prometheus_sees_every_metric_and_where_it_comes_from(seen):
    _, after = seen
    assert after.names() == ALL
    for metric in METRICS:
        exported = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
        for tags in after.tags(exported):
            if tags.get("application") == "retouch":
                assert set(metric.tags) | {"deployment", "replica"} <= set(tags)
                assert tags["stage"] == tags["deployment"]


def test_an_edit_counts_at_every_stage(seen):
    before, after = seen
    for where in OPERATIONS:
        failed = after.total(RESULTS.name, **where) - after.total(RESULTS.name, **where, outcome="ok")
        assert failed == before.total(RESULTS.name, **where) - before.total(RESULTS.name, **where, outcome="ok"), where
        if where["stage"] in ("clip", "sam"):
            batches = after.total(f"{BATCH_SIZE.name}_count", **where)
            assert batches == after.total(f"{BATCH_RUN.name}_count", **where) > 0
            assert batches <= after.total(f"{BATCH_SIZE.name}_sum", **where) <= 8 * batches


def test_the_steps_of_an_edit_are_counted_with_their_rows(seen):
    before, after = seen

    def gained(name, **tags):
        return after.total(name, **tags) - before.total(name, **tags)

    steps = gained(f"{STEP_ROWS.name}_count")
    assert steps == gained(f"{STEP_TIME.name}_count") >= STEPS
    assert gained(f"{STEP_ROWS.name}_sum") == gained(ROWS.name, content="picture") >= 2 * 2 * STEPS
    assert 0 < gained(f"{STEP_TIME.name}_sum") < 60
    assert after.values(PICTURES.name) == after.values(PICTURES_WAITING.name) == [0.0]


def test_the_same_edit_again_is_found_in_the_caches(seen):
    before, after = seen
    for stage, cache in [("clip", "pictures"), ("clip", "texts"), ("sam", "embeddings"), ("inpaint", "texts")]:
        where = {"stage": stage, "cache": cache}
        assert after.total(CACHE_HITS.name, **where) > before.total(CACHE_HITS.name, **where), where
        assert after.total(CACHE_MISSES.name, **where) > 0, where
    assert after.total(CACHE_MISSES.name, stage="sam") > before.total(CACHE_MISSES.name, stage="sam")
