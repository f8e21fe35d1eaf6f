"""Who is let in, who is sent away, and whether what those are told is true: a service of known capacity decides."""

import numpy as np
import pytest

from deployments.admission import book as books
from deployments.admission.book import FEW, LEASE_S, Book
from tests.unit.admission_traffic import Service

PER_S = 140.0  # row-steps; a request asks for 100 of them
CAPACITY = PER_S / 100  # requests a second
LIMIT_S = 6.0
SEEDS = range(3)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def learnt(clock, per_s=PER_S):
    """A book that has seen a busy service finish that much a second."""
    book = Book(clock)
    for number in range(4):
        book.enter(f"old {number}", "", 100.0, LIMIT_S)
    for _ in range(100):
        clock.now += 4 / per_s
        book.keep({f"old {number}": 100.0 for number in range(4)})
    for number in range(4):
        book.leave(f"old {number}", 100.0)
    assert book._rate.per_s == pytest.approx(per_s)
    return book


def filled(book, limit_s=LIMIT_S, work=100.0):
    """The book with as much under way as it lets in, and how many requests that are."""
    for number in range(1000):
        if not book.enter(f"n{number}", f"k{number}", work, limit_s).admitted:
            book._places.clear()
            return number
    raise AssertionError("everyone was let in")


@pytest.mark.parametrize("seed", SEEDS)
def test_at_twice_the_capacity_all_of_it_is_used_and_nobody_waits_long(seed):
    calm = Service(PER_S, LIMIT_S, seed).run(0.8 * CAPACITY, 60)
    service = Service(PER_S, LIMIT_S, seed)
    flood = service.run(2 * CAPACITY, 60)
    assert flood.done_work / service.now > 0.9 * PER_S
    assert np.percentile(flood.latencies, 99) < 3 * np.percentile(calm.latencies, 99)
    assert np.percentile(flood.latencies, 99) < 1.6 * LIMIT_S


@pytest.mark.parametrize("seed", SEEDS)
def test_who_comes_back_when_told_to_is_let_in(seed):
    flood = Service(PER_S, LIMIT_S, seed).run(2 * CAPACITY, 60)
    assert flood.came_back > 50
    assert flood.then_admitted / flood.came_back > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_places_that_nobody_takes_leave_nothing_idle(seed):
    service = Service(PER_S, LIMIT_S, seed, comes_back=False)
    flood = service.run(2 * CAPACITY, 60)
    assert flood.done_work / service.now > 0.9 * PER_S
    assert max(flood.waits) < 2 * LIMIT_S  # nobody is sent away for the sake of those who do not come back


def test_at_half_the_capacity_nobody_is_sent_away():
    assert Service(PER_S, LIMIT_S).run(0.5 * CAPACITY, 120).refused == 0


def test_it_holds_for_requests_of_very_different_sizes_too():
    service = Service(PER_S, LIMIT_S, 1)
    flood = service.run(2 * PER_S / 265, 120, sizes=(100.0, 160.0, 280.0, 520.0))
    assert flood.done_work / service.now > 0.9 * PER_S
    assert flood.then_admitted / flood.came_back > 0.8


def test_the_bound_is_the_seconds_that_the_work_takes(clock):
    book = learnt(clock)
    assert filled(book) == pytest.approx(LIMIT_S * CAPACITY, abs=1.5)
    assert book.backlog_s == pytest.approx(LIMIT_S, abs=1)


def test_a_faster_service_lets_more_in(clock):
    assert filled(learnt(clock, 10 * PER_S)) == pytest.approx(10 * LIMIT_S * CAPACITY, abs=2)


def test_the_rate_follows_a_service_that_grows():
    service = Service(PER_S, LIMIT_S)
    service.run(2 * CAPACITY, 30)
    service.per_s = 3 * PER_S
    service.run(6 * CAPACITY, 60)
    assert service.book._rate.per_s == pytest.approx(3 * PER_S, rel=0.05)


def test_on_a_slow_machine_a_few_of_its_size_may_be_before_a_request(clock):
    assert filled(learnt(clock, per_s=1.0)) == FEW + 1


def test_before_anything_is_known_a_few_are_let_in(clock):
    assert filled(Book(clock)) == FEW + 1


def test_large_requests_do_not_lock_a_small_one_out(clock):
    """The painter shares its steps equally, so a small one does not wait for the whole of a large one."""
    book = learnt(clock)
    filled(book, work=500.0)
    assert book.enter("small", "s", 60.0, LIMIT_S).admitted


def test_who_comes_too_early_is_told_the_rest_of_the_same_wait(clock):
    book = learnt(clock)
    filled(book)
    first = book.enter("a", "mine", 100.0, LIMIT_S).retry_after_s
    book.enter("b", "other", 100.0, LIMIT_S)
    clock.now += first / 2
    again = book.enter("c", "mine", 100.0, LIMIT_S)
    assert not again.admitted
    assert again.retry_after_s == pytest.approx(first / 2)


def test_each_who_is_sent_away_comes_after_the_one_before(clock):
    book = learnt(clock)
    filled(book)
    waits = [book.enter(f"w{number}", f"w{number}", 100.0, LIMIT_S).retry_after_s for number in range(5)]
    assert np.diff(waits) == pytest.approx(1 / CAPACITY, rel=0.01)


def test_a_place_that_is_due_is_there_although_newcomers_still_wait(clock):
    book = learnt(clock)
    count = filled(book)
    wait_s = book.enter("a", "mine", 100.0, LIMIT_S).retry_after_s
    book.enter("b", "b", 100.0, LIMIT_S)
    clock.now += wait_s
    book.keep({f"n{number}": 100.0 for number in range(count)})  # nothing has ended: it was slower than thought
    assert not book.enter("c", "newcomer", 100.0, LIMIT_S).admitted
    assert book.enter("d", "mine", 100.0, LIMIT_S).admitted


def test_a_place_that_is_due_is_not_there_where_far_too_much_is_under_way(clock):
    book = learnt(clock)
    filled(book)
    wait_s = book.enter("a", "mine", 100.0, LIMIT_S).retry_after_s
    clock.now += wait_s
    book.keep({f"more {number}": 100.0 for number in range(20)})
    again = book.enter("b", "mine", 100.0, LIMIT_S)
    assert not again.admitted
    assert again.retry_after_s > wait_s


def test_a_request_of_a_driver_that_died_is_forgotten(clock):
    book = learnt(clock)
    filled(book)
    clock.now += LEASE_S + 1
    assert book.backlog_s > 0
    assert book.enter("a", "a", 100.0, LIMIT_S).admitted
    assert book.backlog_s == pytest.approx(100 / PER_S)


def test_a_new_book_learns_what_is_under_way(clock):
    book = Book(clock)
    book.keep({f"n{number}": 100.0 for number in range(FEW + 1)})
    assert not book.enter("a", "a", 100.0, LIMIT_S).admitted


def test_the_places_that_are_kept_are_bounded(clock, monkeypatch):
    monkeypatch.setattr(books, "MOST_PLACES", 10)
    book = learnt(clock)
    filled(book)
    for number in range(50):
        assert not book.enter(f"w{number}", f"w{number}", 100.0, LIMIT_S).admitted
    assert len(book._places) == 10
