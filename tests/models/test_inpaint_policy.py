"""How many share a step, and who: pure decisions, planted examples."""

import pytest

from deployments.inpaint import profile
from deployments.inpaint.policy import PATIENCE, Claim, choose, seated

ROOM = 64  # rows


class Steps:
    """What the policy looks at of a painting."""

    def __init__(self, left, rows=2, taken=1):
        self.steps, self.taken, self.rows = left + taken, taken, rows


def free(rows):
    return 1.0


def per_row(rows):
    return float(rows)


def shared(rows):
    return 1.0 + rows


def claim(*paintings, now=0.0):
    """A request that has had its share so far, and is not new."""
    return Claim(list(paintings), now + sum(2 * (each.steps - each.taken) for each in paintings), new=False)


def chosen(claims, cost, now=0.0, room=ROOM):
    return choose(claims, seated(claims, room), now, cost)


def test_where_company_is_free_all_take_every_step():
    paintings = [Steps(left) for left in (1, 50, 20)]
    assert chosen([claim(each) for each in paintings], free) == paintings
    assert chosen([claim(*paintings)], free) == paintings


def test_without_a_cost_all_that_there_is_room_for_take_every_step():
    claims = [claim(Steps(50), Steps(50), Steps(50)), claim(Steps(5))]
    assert len(chosen(claims, None)) == 4
    taken = chosen(claims, None, room=4)
    assert len(taken) == 2
    assert claims[1].paintings[0] in taken


def test_where_it_costs_in_full_the_shortest_goes_first():
    short, long, other = Steps(5), Steps(50), Steps(40)
    assert chosen([claim(long), claim(short), claim(other)], per_row) == [short]


def test_a_request_for_eight_is_as_long_as_its_pictures_together():
    eight = [Steps(20) for _ in range(8)]
    one = Steps(30)
    assert chosen([claim(*eight), claim(one)], per_row) == [one]


def test_alike_ones_share_where_sharing_saves_anything():
    paintings = [Steps(20), Steps(20), Steps(21)]
    assert chosen([claim(each) for each in paintings], shared) == paintings


def test_a_newcomer_takes_the_next_step_with_one_of_its_pictures():
    short = Steps(3)
    newcomer = claim(Steps(50, taken=0), Steps(50, taken=0))
    newcomer.new = True
    assert chosen([claim(short), newcomer], per_row) == [short, newcomer.paintings[0]]
    assert chosen([claim(short), newcomer], per_row) == [short]


def test_a_picture_that_has_begun_is_finished_before_another_of_its_request_begins():
    fresh, begun = Steps(20, taken=0), Steps(9, taken=11)
    assert seated([claim(fresh, begun)], ROOM) == [begun, fresh]
    assert chosen([claim(fresh, begun)], lambda rows: rows**2) == [begun]


def test_no_request_is_passed_over_for_long():
    short, long = claim(Steps(5)), claim(Steps(50), Steps(50))
    taken = [len(chosen([short, long], per_row)) == 2 for _ in range(3 * (PATIENCE + 1))]
    assert taken == 3 * [*[False] * PATIENCE, True]


def test_a_picture_larger_than_the_room_takes_its_steps_alone():
    large, other = Steps(5), Steps(5)
    assert chosen([claim(large), claim(other)], None, room=1) == [large]


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
