"""The ledger without Ray: who works, who waits, what is kept and for how long."""

import asyncio

import pytest

from deployments.ledger.ledger import Ledger
from deployments.ledger.remote import LedgerUnreachable, RemoteLedger
from deployments.messages import StoredAnswer, Ticket

KEYED = Ticket("key", "digest", keeps=True, joins=True)
FIRST = Ticket("same", "same", keeps=False, joins=False)
AGAIN = Ticket("same", "same", keeps=False, joins=True)
GOOD = StoredAnswer(200, (("content-type", "application/json"),), b"{}")
BAD = StoredAnswer(429, (), b"busy")
LEASE_S = 10.0
LONG_S = 30  # far more than any of this takes


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(clock):
    return Ledger(clock)


async def turn(ledger, ticket, me):
    return (await ledger.claim(ticket, me)).turn


async def until_it_waits():
    """Let the other tasks of the test run until each of them waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_second_gets_the_answer_of_the_first(ledger):
    assert await turn(ledger, KEYED, "a") == "run"
    waiting = [asyncio.create_task(ledger.claim(KEYED, name, LONG_S)) for name in "bc"]
    await until_it_waits()
    await ledger.settle(KEYED, "a", GOOD)
    assert [(claim.turn, claim.answer) for claim in await asyncio.gather(*waiting)] == [("answer", GOOD)] * 2


async def test_a_success_is_kept_for_its_time(ledger, clock):
    await ledger.claim(KEYED, "a")
    await ledger.settle(KEYED, "a", GOOD)
    clock.now += 299
    assert (await ledger.claim(KEYED, "b")).answer == GOOD
    clock.now += 2
    assert await turn(ledger, KEYED, "c") == "run"


async def test_a_key_that_came_with_another_request_is_refused_while_that_runs_and_later(ledger):
    other = Ticket("key", "other digest", keeps=True, joins=True)
    await ledger.claim(KEYED, "a")
    assert await turn(ledger, other, "b") == "mismatch"
    await ledger.settle(KEYED, "a", GOOD)
    assert await turn(ledger, other, "c") == "mismatch"


@pytest.mark.parametrize(
    "failure", [BAD, StoredAnswer(200, (), b"event: error\n\n", failed=True)], ids=["status", "stream"]
)
async def test_a_failure_goes_to_all_who_wait_and_is_forgotten(ledger, failure):
    await ledger.claim(KEYED, "a")
    waiting = asyncio.create_task(ledger.claim(KEYED, "b", LONG_S))
    assert await turn(ledger, KEYED, "between two questions") == "wait"
    await until_it_waits()
    await ledger.settle(KEYED, "a", failure)
    assert (await waiting).answer == failure
    assert (await ledger.claim(KEYED, "between two questions")).answer == failure
    assert await turn(ledger, KEYED, "later") == "run"


async def test_the_answer_to_a_request_without_a_key_is_not_kept(ledger):
    assert await turn(ledger, FIRST, "a") == "run"
    assert await turn(ledger, AGAIN, "b") == "wait"
    await ledger.settle(FIRST, "a", GOOD)
    assert (await ledger.claim(AGAIN, "b")).answer == GOOD
    assert await turn(ledger, AGAIN, "c") == "run"


async def test_a_first_request_joins_nobody(ledger):
    await ledger.claim(FIRST, "a")
    assert await turn(ledger, FIRST, "b") == "alone"


async def test_when_the_one_who_worked_dies_one_of_those_who_wait_works(ledger, clock):
    await ledger.claim(KEYED, "a")
    clock.now += LEASE_S / 2
    await ledger.renew(KEYED, "a")
    clock.now += LEASE_S * 0.8
    assert [await turn(ledger, KEYED, name) for name in "bc"] == ["wait", "wait"]
    clock.now += LEASE_S * 0.3
    assert [await turn(ledger, KEYED, name) for name in "bc"] == ["run", "wait"]
    await ledger.settle(KEYED, "b", GOOD)
    assert (await ledger.claim(KEYED, "c")).answer == GOOD


async def test_work_that_is_given_up_is_taken_over_at_once(ledger):
    await ledger.claim(KEYED, "a")
    waiting = [asyncio.create_task(ledger.claim(KEYED, name, LONG_S)) for name in "bc"]
    await until_it_waits()
    await ledger.release(KEYED, "a")
    assert sorted([(await each).turn for each in waiting]) == ["run", "wait"]


async def test_an_answer_that_comes_after_its_claim_was_lost_is_as_good_but_a_failure_is_not(ledger, clock):
    await ledger.claim(KEYED, "a")
    clock.now += LEASE_S + 1
    assert await turn(ledger, KEYED, "b") == "run"
    await ledger.settle(KEYED, "a", BAD)
    assert await turn(ledger, KEYED, "c") == "wait"
    await ledger.settle(KEYED, "a", GOOD)
    assert (await ledger.claim(KEYED, "c")).answer == GOOD


async def test_work_is_deserted_when_the_last_who_waited_leaves(ledger):
    await ledger.claim(FIRST, "a")
    waiting = [asyncio.create_task(ledger.claim(AGAIN, name, LONG_S)) for name in "bc"]
    await until_it_waits()
    deserted = asyncio.create_task(ledger.end_if_deserted(FIRST, "a", LONG_S))
    for one in waiting:
        await until_it_waits()
        assert not deserted.done()
        one.cancel()
    assert await deserted
    assert await turn(ledger, AGAIN, "d") == "run"


async def test_work_is_deserted_when_who_waited_does_not_ask_again(ledger, clock):
    await ledger.claim(FIRST, "a")
    await ledger.claim(AGAIN, "b")
    assert not await ledger.end_if_deserted(FIRST, "a")
    clock.now += LEASE_S + 1
    assert await ledger.end_if_deserted(FIRST, "a")


async def test_a_ledger_that_was_restarted_learns_of_work_and_of_answers_again(ledger):
    await ledger.renew(KEYED, "a")
    assert await turn(ledger, KEYED, "b") == "wait"
    await Ledger().settle(KEYED, "a", GOOD)
    await ledger.settle(KEYED, "a", GOOD)
    assert (await ledger.claim(KEYED, "b")).answer == GOOD


async def test_it_counts_what_is_being_worked_on_and_not_what_it_keeps(ledger, clock):
    await ledger.claim(KEYED, "a")
    await ledger.claim(FIRST, "b")
    assert await ledger.running() == 2
    await ledger.settle(KEYED, "a", GOOD)
    assert await ledger.running() == 1
    clock.now += LEASE_S + 1  # the one who worked has died
    assert await ledger.running() == 0


def numbered(number):
    return Ticket(f"key {number}", "digest", keeps=True, joins=True)


async def kept(ledger, numbers):
    """Of these numbers, those whose answers are kept. To ask makes an answer the last that would be forgotten."""
    return [number for number in numbers if await turn(ledger, numbered(number), "asks") == "answer"]


@pytest.mark.parametrize("bound", [{"max_answers": 3}, {"max_mb": 3}])
async def test_what_was_not_asked_for_the_longest_is_forgotten_first(ledger, bound):
    ledger.reconfigure(bound)
    megabyte = StoredAnswer(200, (), bytes(10**6))
    for number in range(3):
        await ledger.settle(numbered(number), "a", megabyte)
    assert await kept(ledger, [0]) == [0]
    await ledger.settle(numbered(3), "a", megabyte)
    assert await kept(ledger, range(4)) == [0, 2, 3]


async def test_an_answer_that_is_larger_than_all_that_may_be_kept_drives_no_other_out(ledger):
    ledger.reconfigure({"max_mb": 1})
    await ledger.settle(numbered(0), "a", GOOD)
    await ledger.settle(numbered(1), "a", StoredAnswer(200, (), bytes(10**6 + 1)))
    assert await kept(ledger, range(2)) == [0]


async def test_the_memory_is_given_back_although_nobody_asks_any_more(clock):
    ledger = Ledger(clock)
    ledger.reconfigure({"keep_s": 0.01})
    await ledger.settle(KEYED, "a", GOOD)
    clock.now += 1
    while ledger._kept:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert ledger._bytes == 0


# The ledger in another process


class Response:
    def __init__(self, outcome):
        self._outcome = outcome
        self.cancelled = False

    def __await__(self):
        return self._outcome().__await__()

    def cancel(self):
        self.cancelled = True
        raise RuntimeError("it never reached a replica")


class Handle:
    """A handle all of whose calls come to the same."""

    def __init__(self, outcome):
        self._outcome = outcome
        self.responses = []

    def __getattr__(self, method):
        return self

    def remote(self, *arguments):
        self.responses.append(Response(self._outcome))
        return self.responses[-1]


async def never():
    await asyncio.Event().wait()


async def dead():
    raise RuntimeError("the actor is dead")


@pytest.mark.parametrize("outcome", [never, dead])
async def test_a_ledger_that_does_not_answer_is_left_alone_for_a_while(outcome, monkeypatch, caplog):
    monkeypatch.setattr("deployments.ledger.remote.PATIENCE_S", 0.01)
    handle = Handle(outcome)
    ledger = RemoteLedger(handle)
    for _ in range(3):
        with pytest.raises(LedgerUnreachable):
            await ledger.renew(KEYED, "a")
    assert [response.cancelled for response in handle.responses] == [True]
    assert caplog.text.count("the ledger did not answer") == 1


async def test_who_stops_waiting_for_the_ledger_cancels_the_call():
    handle = Handle(never)
    waiting = asyncio.create_task(RemoteLedger(handle).claim(KEYED, "a", LONG_S))
    await until_it_waits()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert handle.responses[0].cancelled
