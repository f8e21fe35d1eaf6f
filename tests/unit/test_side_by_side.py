"""The CPU's part of several pictures at once: in order, on several threads, and an exception is not lost."""

import threading

import pytest

from deployments.serving.side_by_side import side_by_side


def test_the_results_come_in_the_order_of_the_items():
    first_may_end = threading.Event()

    def work(item):
        if item == 0:
            assert first_may_end.wait(10)  # which only another thread can allow
        first_may_end.set()
        return item * item

    assert side_by_side(work, range(5)) == [0, 1, 4, 9, 16]


def test_a_lone_item_costs_no_change_of_threads():
    assert side_by_side(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]
    assert side_by_side(str, []) == []


def test_what_one_of_them_raises_is_raised():
    def work(item):
        if item == 2:
            raise ValueError("the third")
        return item

    with pytest.raises(ValueError, match="the third"):
        side_by_side(work, [0, 1, 2, 3])
