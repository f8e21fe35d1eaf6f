"""How the benchmark counts under overload: whoever is refused counts as such, also where the answer is no refusal."""

import time

import httpx
import pytest

from benchmarks import overload
from benchmarks.callers import Caller, Edit
from benchmarks.overload import FULL, HIGH, LOW, Attempt, Load, Round, Visit
from benchmarks.workload import EditCase, arrivals_within

REQUEST = httpx.Request("POST", "http://test", content=b"bytes")


def answers(*each):
    """Return a server with these answers in turn, and the list of the requests and times at which it is asked."""
    left, asked = list(each), []

    def ask(request):
        asked.append((request, time.perf_counter()))
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask, asked


def busy(**headers):
    return httpx.Response(429, headers={name.replace("_", "-"): value for name, value in headers.items()})


def answered(sent_s, seconds):
    return Visit((Attempt(sent_s, sent_s + seconds, 200),))


def refused(*statuses, wait_s=2.0):
    """Return the visit of a caller whose attempts take 1 s each and end with these statuses."""
    starts = [number * (1 + (wait_s or 0)) for number in range(len(statuses))]
    return Visit(
        tuple(
            Attempt(start, start + 1, status, wait_s if status == 429 else None)
            for start, status in zip(starts, statuses, strict=True)
        )
    )


FINE = answered(0, 1.0)


def rounds(high, low=(FINE,), capacity=1.0):
    return [Round(capacity, {share: Load(tuple(low if share == LOW else high), 0.1) for share in (LOW, FULL, HIGH)})]


@pytest.mark.parametrize(
    ("headers", "wait_s"), [({"retry_after": "7", "retry_after_ms": "60"}, 0.06), ({"retry_after": "0.08"}, 0.08)]
)
def test_a_refused_caller_comes_back_once_with_the_same_bytes_and_not_before_the_promised_wait(headers, wait_s):
    ask, asked = answers(busy(**headers), busy(**headers), httpx.Response(200))
    visit = overload.visit(ask, REQUEST)
    assert [request for request, _ in asked] == [REQUEST, REQUEST]
    assert asked[1][1] - asked[0][1] >= wait_s
    assert visit.admitted is None
    assert [each.wait_s for each in visit.attempts] == [wait_s, wait_s]


def test_a_caller_who_is_admitted_does_not_come_back():
    ask, asked = answers(httpx.Response(200), httpx.Response(200))
    assert overload.visit(ask, REQUEST).admitted is not None
    assert len(asked) == 1


@pytest.mark.parametrize("answer", [busy(), httpx.Response(503, headers={"retry-after": "1"}), httpx.ReadError("gone")])
def test_a_refusal_in_any_other_way_is_a_fault_of_the_server(answer):
    ask, asked = answers(answer, httpx.Response(200))
    visit = overload.visit(ask, REQUEST)
    assert len(asked) == 1
    assert not visit.attempts[0].refused_properly
    *_, proper = overload.figures(rounds([visit, refused(429, 200)]))
    assert proper.value == 0.5
    assert proper.met is False


def test_a_request_that_is_sent_twice_has_the_same_body():
    caller = Caller("http://test")
    request = caller.request(Edit(EditCase(None, b"png", "the apple", "a lemon", None), 3))
    sent = [b"".join(request.stream) for _ in range(2)]
    caller.close()
    assert sent[0] == sent[1]
    assert b"png" in sent[0]
    assert request.headers["content-length"] == str(len(sent[0]))


def test_edits_are_delivered_from_the_first_arrival_to_the_last_answer():
    assert Load((answered(5.0, 1.0), answered(6.0, 9.0)), 0.0).goodput == 2 / 10
    assert Load((answered(5.0, 1.0), answered(6.0, 9.0), refused(429, 429)), 0.0).goodput == 2 / 15
    assert Load((refused(429, 429),), 0.0).goodput == 0.0


def test_goodput_is_compared_with_the_capacity_of_the_same_round():
    made = [*rounds([answered(0, 4.0)] * 8, capacity=2.0), *rounds([answered(0, 4.0)] * 8, capacity=4.0)]
    goodput, *_ = overload.figures(made)
    assert goodput.rounds == (1.0, 0.5)


def test_the_latency_of_one_who_came_back_counts_from_the_request_that_was_admitted():
    _, p99, *_ = overload.figures(rounds([refused(429, 200, wait_s=30.0)], low=[answered(0, 0.5)]))
    assert p99.value == 2.0


def test_the_promise_is_judged_by_those_who_came_back():
    high = [refused(429, 200)] * 3 + [refused(429, 429)] + [answered(0, 1.0)] * 6
    _, _, kept, proper = overload.figures(rounds(high))
    assert kept.value == 0.75
    assert kept.met is False
    assert proper.value == 1.0


def test_where_nobody_is_refused_the_rows_say_so_and_are_not_judged():
    _, _, kept, proper = overload.figures(rounds([answered(0, 1.0)]))
    assert kept.reached == proper.reached == "nobody was refused"
    assert kept.met is proper.met is None


def test_the_table_has_a_row_for_each_load():
    high = [refused(429, 200), refused(429, 429, wait_s=4.0), answered(0, 3.0)]
    rows = overload.table(rounds(high)).rows
    assert list(rows) == ["80% of the capacity", "100% of the capacity", "200% of the capacity"]
    row = rows["200% of the capacity"]
    assert (row["requests"], row["refusals"], row["came back"], row["of them admitted"]) == (3, 3, 2, 1)
    assert (row["p50 s"], row["p99 s"]) == (1.0, 3.0)
    assert row["mean promised wait s"] == pytest.approx(10 / 3)
    assert row["mean s of theirs in all"] == (4 + 6) / 2
    assert rows["80% of the capacity"]["mean promised wait s"] is None


def test_arrivals_fill_the_time_at_the_rate_that_was_asked_for():
    due_s = arrivals_within(1000.0, 2.0, seed=4)
    assert due_s[0] == 0.0
    assert due_s == sorted(due_s)
    assert due_s[-1] < 1000.0
    assert len(due_s) == pytest.approx(2000, rel=0.1)
    assert due_s == arrivals_within(1000.0, 2.0, seed=4)
    assert due_s != arrivals_within(1000.0, 2.0, seed=5)


def test_each_request_of_a_load_is_sent_once_when_all_are_admitted():
    requests = [httpx.Request("POST", f"http://test/{number}") for number in range(5)]
    ask, asked = answers(*(httpx.Response(200) for _ in requests))
    load = overload.offered(ask, requests, [0.0] * 5)
    assert sorted(str(request.url) for request, _ in asked) == [str(request.url) for request in requests]
    assert len(load.visits) == 5
