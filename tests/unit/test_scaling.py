"""How many replicas the painter asks for."""

from dataclasses import dataclass, field

import pytest

from deployments.serving.scaling import ROW_STEPS, ROW_STEPS_PER_S, ScaleByWork


@dataclass
class Context:
    """What Serve tells a policy."""

    target_num_replicas: int = 1
    total_num_requests: float = 0.0
    total_queued_requests: float = 0.0
    aggregated_metrics: dict = field(default_factory=dict)


def wanted(left, requests=1.0, queued=0.0, per_s=100.0, target_s=2.0):
    """The replicas for the row-steps that each replica has left, where each does `per_s`."""
    metrics = {
        ROW_STEPS: dict(enumerate(left)),
        ROW_STEPS_PER_S: dict.fromkeys(range(len(left)), per_s),
    }
    replicas, state = ScaleByWork(target_s)(Context(len(left), requests, queued, metrics))
    assert state == {}
    return replicas


def test_as_many_as_do_all_that_is_left_in_the_target_time():
    assert wanted([600.0]) == 3
    assert wanted([600.0], target_s=6.0) == 1
    assert wanted([300.0, 300.0]) == 3
    assert wanted([600.0], per_s=300.0) == 1


def test_one_large_request_counts_like_many_small_ones():
    assert wanted([8 * 60.0], requests=1.0) == wanted([8 * 60.0], requests=8.0)


def test_what_no_replica_has_yet_counts_like_what_they_have():
    assert wanted([300.0], requests=10.0, queued=5.0) == wanted([600.0], requests=10.0) == 3


def test_without_work_none_is_wanted():
    assert wanted([0.0, 0.0], requests=0.0) == 0


def test_before_anything_is_reported_it_stays_as_it_is():
    assert ScaleByWork()(Context(2, 5.0)) == (2, {})
    assert ScaleByWork()(Context(0, 5.0)) == (1, {})
    assert ScaleByWork()(Context(1, 0.0)) == (0, {})
    assert wanted([600.0, 600.0], per_s=0.0) == 2


def test_a_target_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="target_s"):
        ScaleByWork(0.0)
