"""How many share a step, and who: pure decisions, planted examples."""

import pytest

from deployments.inpaint import profile
from deployments.inpaint.policy import PATIENCE, choose


class Steps:
    """What the policy looks at of a painting."""

    def __init__(self, left, rows=2, taken=1):
        self.steps, self.taken, self.rows, self.passed_over = left + taken, taken, rows, 0


def free(rows):
    return 1.0


def per_row(rows):
    return float(rows)


def test_where_company_is_free_all_take_every_step():
    paintings = [Steps(left) for left in (1, 50, 20)]
    assert set(choose(paintings, free)) == set(paintings)


def test_where_it_costs_in_full_the_shortest_goes_first():
    short, long, other = Steps(5), Steps(50), Steps(40)
    assert choose([long, short, other], per_row) == [short]


def test_alike_ones_share_where_sharing_saves_anything():
    paintings = [Steps(20), Steps(20), Steps(21)]
    assert set(choose(paintings, lambda rows: 1 + rows)) == set(paintings)


def test_a_newcomer_takes_the_next_step():
    short, newcomer = Steps(3), Steps(50, taken=0)
    assert newcomer in choose([short, newcomer], per_row)


def test_nobody_is_passed_over_for_long():
    short, long = Steps(5), Steps(50)
    taken = [long in choose([short, long], per_row) for _ in range(3 * (PATIENCE + 1))]
    assert taken == 3 * [*[False] * PATIENCE, True]


@pytest.fixture
def step(monkeypatch):
    """Makes a step that takes as long as a function of its rows says, and remembers for which it was asked."""

    def made(seconds):
        now = 0.0
        asked = []

        def one(rows):
            nonlocal now
            asked.append(rows)
            now += seconds(rows)

        monkeypatch.setattr(profile.time, "monotonic", lambda: now)
        return one, asked

    return made


def test_where_company_is_free_every_size_is_measured(step):
    one, asked = step(lambda rows: 0.001)
    measured = profile.measure(one)
    assert list(measured) == sorted(set(asked)) == list(profile.CANDIDATES)


def test_where_rows_cost_in_full_the_large_steps_are_not_tried(step):
    one, asked = step(lambda rows: 0.005 * rows)
    measured = profile.measure(one)
    assert max(asked) == 8
    assert measured == pytest.approx({rows: 0.005 * rows for rows in profile.CANDIDATES})


def test_what_is_not_tried_is_no_longer_than_what_is(step):
    one, _ = step(lambda rows: 0.02 * rows)
    assert list(profile.measure(one)) == [2, 4, 8, 16]


def test_measuring_stops_before_a_step_takes_too_long():
    asked = []
    clock = iter(range(1000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile.time, "monotonic", lambda: float(next(clock)))
        assert list(profile.measure(asked.append, longest_s=100, budget_s=0.5)) == [2]
        assert list(profile.measure(asked.append, longest_s=0.5, budget_s=1e9)) == [2]


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        ({2: 0.02, 4: 0.03, 8: 0.05, 16: 0.1}, 16),
        ({2: 0.02, 4: 0.03, 8: 0.05, 16: 0.9}, 8),
        ({2: 9.0}, 2),  # nothing is fast enough: the least
    ],
)
def test_the_most_rows_that_keep_a_step_short(measured, best):
    assert profile.most_rows(measured, 0.5) == best


def test_costs_between_and_beyond_what_was_measured():
    measured = {2: 1.0, 4: 3.0}
    assert [profile.seconds_at(measured, rows) for rows in (1, 2, 3, 4, 8)] == [1.0, 1.0, 2.0, 3.0, 6.0]
