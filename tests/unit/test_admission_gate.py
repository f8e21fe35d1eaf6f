"""The gate of a driver, before the book that all share and without it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from deployments.admission import gate as gates
from deployments.admission.gate import Gate
from deployments.errors import Overloaded
from deployments.messages import Admission

LIMIT_S = 6.0
LET_IN = Admission(True)


class Shared:
    """A book in another process: it answers as it is told, or not at all."""

    def __init__(self, answer=LET_IN):
        self.answer = answer
        self.entered, self.kept, self.left = [], [], []

    async def enter(self, name, key, work, limit_s):
        self.entered.append((name, key, work, limit_s))
        await asyncio.sleep(0)
        return self.answer

    async def keep(self, working):
        self.kept.append(working)

    async def leave(self, name, done):
        self.left.append((name, done))


async def settled():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_request_enters_and_leaves_with_what_was_finished():
    shared = Shared()
    async with Gate(shared).passed("key", 100.0, LIMIT_S) as ongoing:
        ongoing.done = 60.0
    await settled()
    ((name, key, work, limit_s),) = shared.entered
    assert (key, work, limit_s) == ("key", 100.0, LIMIT_S)
    assert shared.left == [(name, 60.0)]


async def test_a_request_that_fails_leaves_too():
    shared = Shared()
    with pytest.raises(ValueError, match="x"):
        async with Gate(shared).passed("key", 100.0, LIMIT_S):
            raise ValueError("x")
    await settled()
    assert [done for _, done in shared.left] == [0.0]


async def test_who_is_refused_is_told_when_to_come_back():
    with pytest.raises(Overloaded, match=r"again in 2.5 seconds") as caught:
        async with Gate(Shared(Admission(False, 2.5))).passed("key", 100.0, LIMIT_S):
            raise AssertionError("it was let in")
    assert caught.value.retry_after_s == 2.5


async def test_who_gives_up_while_asking_is_taken_out_of_the_book():
    shared = Shared()

    async def never(name, key, work, limit_s):
        shared.entered.append(name)
        await asyncio.Event().wait()

    shared.enter = never

    async def ask():
        async with Gate(shared).passed("key", 100.0, LIMIT_S):
            raise AssertionError("it was let in")

    asking = asyncio.create_task(ask())
    await settled()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await settled()
    assert shared.left == [(shared.entered[0], 0.0)]


async def test_what_is_under_way_is_told_again_and_again(monkeypatch):
    monkeypatch.setattr(gates, "KEEP_S", 0.001)
    shared = Shared()
    async with Gate(shared).passed("key", 100.0, LIMIT_S) as ongoing:
        ongoing.work = 300.0  # it has turned out to be more
        await asyncio.sleep(0.05)
    assert list(shared.kept[-1].values()) == [300.0]
    await asyncio.sleep(0.05)
    count = len(shared.kept)
    await asyncio.sleep(0.05)
    assert len(shared.kept) == count  # nobody is under way any more


async def test_where_the_shared_book_does_not_answer_the_driver_goes_by_its_own():
    gate = Gate(Shared(answer=None))
    async with AsyncExitStack() as let_in:
        for number in range(5):  # of which the last has four before it, the most while nothing is known of the rate
            await let_in.enter_async_context(gate.passed(f"key {number}", 100.0, LIMIT_S))
        with pytest.raises(Overloaded):
            await let_in.enter_async_context(gate.passed("one more", 100.0, LIMIT_S))
    async with gate.passed("later", 100.0, LIMIT_S):
        pass
