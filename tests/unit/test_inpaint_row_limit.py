"""A step that finds no memory makes the next ones smaller, and not for ever."""

from deployments.inpaint.row_limit import STEPS_UNTIL_MORE, RowLimit


def after(limit: RowLimit, steps: int) -> int:
    for _ in range(steps):
        limit.went_well()
    return limit.now


def test_a_step_that_finds_no_memory_halves_the_limit_and_steps_that_go_well_bring_it_back():
    limit = RowLimit(13)
    limit.failed(12)
    assert limit.now == 6
    limit.failed(6)
    assert limit.now == 3
    assert after(limit, STEPS_UNTIL_MORE - 1) == 3
    assert after(limit, 1) == 6
    assert after(limit, 10 * STEPS_UNTIL_MORE) == 13


def test_a_failure_in_between_counts_the_steps_anew():
    limit = RowLimit(8)
    limit.failed(8)
    assert after(limit, STEPS_UNTIL_MORE - 1) == 4
    limit.failed(4)
    assert after(limit, STEPS_UNTIL_MORE - 1) == 2
    assert after(limit, 1) == 4


def test_there_is_always_room_for_one_row_and_a_smaller_step_that_fails_lifts_no_limit():
    limit = RowLimit(2)
    limit.failed(1)
    assert limit.now == 1
    limit.failed(64)
    assert limit.now == 1
