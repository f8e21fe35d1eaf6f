"""What the deployments measure of themselves: every metric, and the one place where the figures are handed on.

A server records into a `Recorder`. In a replica that is Ray's: the agent of each Ray node offers the figures to
Prometheus, under the names below with `ray_` before them, and Ray adds the tags `application`, `deployment` and
`replica`. Outside of a replica, in tests and offline, the figures go nowhere. `docs/operate.md` lists the metrics for
whoever runs the service.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from deployments.errors import ModelFailed, ServiceError
from deployments.serving.batching import BatchRecord

logger = logging.getLogger(__name__)

MetricKind = Literal["counter", "gauge", "histogram"]

# Ray hands on how many values lie in each bucket, and takes each for the middle of its bucket when it adds them up. So
# the buckets decide how exact a sum is. Counts up to 8 have a bucket of their own with the count in its middle, which
# makes their sums exact; beyond, a bucket is at most as wide as its lower end.
COUNTS = (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 12.5, 16.5, 24.5, 32.5, 64.5, 128.5, 256.5, 512.5, 1024.5)
# From a millisecond (a small model on a GPU) to 100 s (nearly the default deadline). Neighbours are at most a factor
# of 1.5 apart, so that what is read from the middle of a bucket is at most a quarter off.
SECONDS = (
    *(round(10.0**decade * start, 6) for decade in range(-3, 2) for start in (1.0, 1.5, 2.2, 3.3, 4.7, 6.8)),
    100.0,
)

PAUSE_S = 1.0  # between two times that figures are handed to Ray, which reports them no more often than that


@dataclass(frozen=True)
class Metric:
    """A metric: its name without Ray's `ray_`, its own tags, its unit, what it tells, and a histogram's `buckets`."""

    kind: MetricKind
    name: str
    tags: tuple[str, ...]
    unit: str
    meaning: str
    buckets: tuple[float, ...] = ()


RESULTS = Metric(
    "counter",
    "retouch_results_total",
    ("stage", "operation", "outcome"),
    "requests",
    "requests that have ended; `outcome` is `ok`, `cancelled`, or the code of the error that was answered",
)
BATCH_SIZE = Metric(
    "histogram",
    "retouch_batch_size",
    ("stage", "operation"),
    "requests",
    "requests that shared a model call",
    COUNTS,
)
BATCH_WAIT = Metric(
    "histogram",
    "retouch_batch_wait_seconds",
    ("stage", "operation"),
    "seconds",
    "how long the request of a batch that came first waited for the model",
    SECONDS,
)
BATCH_RUN = Metric(
    "histogram",
    "retouch_batch_run_seconds",
    ("stage", "operation"),
    "seconds",
    "how long the model call of a batch took",
    SECONDS,
)
STEP_ROWS = Metric(
    "histogram",
    "retouch_step_rows",
    ("stage",),
    "rows",
    "rows of pictures in a step of the UNet; a picture with guidance has two, one without has one",
    COUNTS,
)
STEP_TIME = Metric(
    "histogram",
    "retouch_step_seconds",
    ("stage",),
    "seconds",
    "how long a step of the UNet took for all pictures in it",
    SECONDS,
)
ROWS = Metric(
    "counter",
    "retouch_rows_total",
    ("stage", "content"),
    "rows",
    "rows that the UNet has computed; `content` is `picture`, or `padding` for the empty ones that fill a row bucket",
)
PICTURES = Metric(
    "gauge",
    "retouch_pictures",
    ("stage",),
    "pictures",
    "pictures, one for each seed and square, that were accepted and are not finished",
)
PICTURES_WAITING = Metric(
    "gauge",
    "retouch_pictures_waiting",
    ("stage",),
    "pictures",
    "those of them that are prepared and wait for a place among the steps",
)
BACKLOG = Metric(
    "gauge",
    "retouch_backlog_seconds",
    ("stage",),
    "seconds",
    "how long all requests under way take together, by what the service has got done a second",
)
CACHE_HITS = Metric(
    "counter",
    "retouch_cache_hits_total",
    ("stage", "cache"),
    "lookups",
    "lookups that found what they asked for, ready or just being made",
)
CACHE_MISSES = Metric(
    "counter",
    "retouch_cache_misses_total",
    ("stage", "cache"),
    "lookups",
    "lookups after which it had to be made",
)

METRICS = (
    RESULTS,
    BATCH_SIZE,
    BATCH_WAIT,
    BATCH_RUN,
    STEP_ROWS,
    STEP_TIME,
    ROWS,
    PICTURES,
    PICTURES_WAITING,
    BACKLOG,
    CACHE_HITS,
    CACHE_MISSES,
)


Measurement = tuple[Metric, float, Mapping[str, str]]


class Recorder(Protocol):
    """Takes figures. Called from any thread, also between two steps, so it returns within microseconds."""

    def record(self, metric: Metric, value: float, tags: Mapping[str, str]) -> None:
        """Add `value` (above 0) to a counter, set a gauge to it, or put it into a histogram.

        `tags` has a value for each of the metric's tags, and stays as it is from here on.
        """


class Nowhere:
    """A recorder that forgets everything."""

    def record(self, metric: Metric, value: float, tags: Mapping[str, str]) -> None:
        """Do nothing."""


NOWHERE = Nowhere()


class RayRecorder:
    """Hands figures to Ray, a second's worth at a time, in a thread of its own.

    Ray takes a figure in some 6 microseconds, and in 25 where it is asked once in a while. Steps do not wait for that.

    Ray reports a gauge only where it was set since its last report, and forgets it soon after. So each gauge is set
    every time, to what it was last recorded as: an idle replica is one without pictures, not one that is gone.

    A figure that Ray does not take is lost, and the log says so once for each metric.
    """

    def __init__(self) -> None:
        self._instruments = {metric.name: _instrument(metric) for metric in METRICS}
        self._recorded: deque[Measurement] = deque()
        self._gauges: dict[tuple[str, ...], Measurement] = {}
        self._lost: set[str] = set()
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def record(self, metric: Metric, value: float, tags: Mapping[str, str]) -> None:
        """See `Recorder`."""
        self._recorded.append((metric, value, tags))

    def _run(self) -> None:
        while True:
            time.sleep(PAUSE_S)
            self._hand_on()

    def _hand_on(self) -> None:
        while self._recorded:
            metric, value, tags = self._recorded.popleft()
            if metric.kind == "gauge":
                self._gauges[metric.name, *tags.values()] = (metric, value, tags)
            else:
                self._give(metric, value, tags)
        for gauge in self._gauges.values():
            self._give(*gauge)

    def _give(self, metric: Metric, value: float, tags: Mapping[str, str]) -> None:
        try:
            self._instruments[metric.name](value, tags)
        except Exception:  # and the next one is given all the same
            if metric.name not in self._lost:
                self._lost.add(metric.name)
                logger.warning("%s cannot be recorded", metric.name, exc_info=True)


def _instrument(metric: Metric) -> Callable[[float, Mapping[str, str]], None]:
    """Return the function by which Ray takes a value of this metric."""
    from ray.serve import metrics as ray_metrics

    made: Any
    if metric.kind == "histogram":
        made = ray_metrics.Histogram(metric.name, metric.meaning, list(metric.buckets), metric.tags)
        return made.observe
    if metric.kind == "counter":
        made = ray_metrics.Counter(metric.name, metric.meaning, metric.tags)
        return made.inc
    made = ray_metrics.Gauge(metric.name, metric.meaning, metric.tags)
    return made.set


def recorder() -> Recorder:
    """Return Ray's recorder in a replica, and one that forgets everything elsewhere."""
    ray = sys.modules.get("ray")  # a replica has it loaded
    if ray is None or not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return NOWHERE
    return RayRecorder()


def batches(to: Recorder, stage: str, operation: str) -> Callable[[BatchRecord], None]:
    """Return the function that records each batch of a stage's operation."""
    tags = {"stage": stage, "operation": operation}

    def record(batch: BatchRecord) -> None:
        to.record(BATCH_SIZE, batch.size, tags)
        to.record(BATCH_WAIT, batch.wait_s, tags)
        to.record(BATCH_RUN, batch.run_s, tags)

    return record


def lookups(to: Recorder, stage: str, cache: str) -> Callable[[bool], None]:
    """Return the function that records each lookup in a stage's cache; it is called with whether that was a hit."""
    tags = {"stage": stage, "cache": cache}
    return lambda hit: to.record(CACHE_HITS if hit else CACHE_MISSES, 1, tags)


@contextmanager
def result(to: Recorder, stage: str, operation: str) -> Iterator[None]:
    """Record how a request ends that is answered inside of this context."""
    outcome = "ok"
    try:
        yield
    except ServiceError as error:
        outcome = error.code
        raise
    except (asyncio.CancelledError, GeneratorExit):  # GeneratorExit: whoever read a stream has left
        outcome = "cancelled"
        raise
    except Exception:
        outcome = ModelFailed.code
        raise
    finally:
        to.record(RESULTS, 1, {"stage": stage, "operation": operation, "outcome": outcome})


class Occupancy:
    """A gauge that goes up and down with what comes and goes, from any thread. It starts at 0."""

    def __init__(self, to: Recorder, metric: Metric, tags: Mapping[str, str]) -> None:
        self._to = to
        self._metric = metric
        self._tags = tags
        self._value = 0
        self._lock = threading.Lock()
        self.move(0)

    def move(self, by: int) -> int:
        """Add `by`, which may be negative, and return the new level."""
        # The lock is also held while recording: of two threads the one with the older value must not come last.
        with self._lock:
            self._value += by
            self._to.record(self._metric, self._value, self._tags)
            return self._value
