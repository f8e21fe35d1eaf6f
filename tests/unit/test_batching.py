import asyncio
import threading
import time

import pytest

from deployments.config import BatchSettings
from deployments.serving.batching import Batcher, BatchRecord


class Model:
    """Doubles its items, remembers its batches, and blocks while `gate` is closed."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        self.threads = set()

    def __call__(self, items):
        self.gate.wait(5)
        self.batches.append(list(items))
        self.threads.add(threading.current_thread())
        return [2 * item for item in items]


def settings(size=8, wait=0.0):
    return BatchSettings(max_batch_size=size, max_wait_s=wait)


async def closed_gate(model, batcher):
    """Sends a first item and returns its task once the model holds it."""
    model.gate.clear()
    first = asyncio.create_task(batcher.submit(0))
    await asyncio.sleep(0.05)
    return first


async def test_what_arrives_while_the_model_is_busy_goes_into_one_batch():
    model = Model()
    batcher = Batcher(model, settings())
    first = await closed_gate(model, batcher)
    others = [asyncio.create_task(batcher.submit(item)) for item in range(1, 6)]
    await asyncio.sleep(0.05)
    model.gate.set()
    assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10]
    assert model.batches == [[0], [1, 2, 3, 4, 5]]


async def test_a_batch_is_never_larger_than_allowed_and_the_size_changes_live():
    model = Model()
    batcher = Batcher(model, settings(size=2))
    first = await closed_gate(model, batcher)
    others = [asyncio.create_task(batcher.submit(item)) for item in range(1, 8)]
    await asyncio.sleep(0.05)
    batcher.reconfigure(settings(size=3))
    model.gate.set()
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in model.batches] == [1, 3, 3, 1]


async def test_an_idle_model_waits_for_company_only_as_long_as_it_is_told():
    model = Model()
    batcher = Batcher(model, settings(size=3, wait=0.5))
    start = time.monotonic()
    tasks = [asyncio.create_task(batcher.submit(1))]
    await asyncio.sleep(0.05)
    tasks += [asyncio.create_task(batcher.submit(2)), asyncio.create_task(batcher.submit(3))]
    await asyncio.gather(*tasks)
    assert model.batches == [[1, 2, 3]]
    assert time.monotonic() - start < 0.5  # a full batch leaves at once
    assert await batcher.submit(4) == 8  # and a lonely one leaves in the end
    assert model.batches[-1] == [4]


async def test_one_poisoned_item_fails_alone():
    def run(items):
        if any(item == "bad" for item in items):
            raise ValueError("bad item")
        return [item.upper() for item in items]

    batcher = Batcher(run, settings(wait=0.1))
    answers = await asyncio.gather(*map(batcher.submit, ["a", "bad", "b"]), return_exceptions=True)
    assert [answers[0], answers[2]] == ["A", "B"]
    assert isinstance(answers[1], ValueError)
    assert await batcher.submit("c") == "C"


async def test_an_exception_among_the_results_is_raised_to_its_caller_only():
    batcher = Batcher(lambda items: [KeyError(item) if item == 1 else item for item in items], settings(wait=0.05))
    answers = await asyncio.gather(*map(batcher.submit, [0, 1, 2]), return_exceptions=True)
    assert answers[0] == 0
    assert answers[2] == 2
    assert isinstance(answers[1], KeyError)


async def test_a_wrong_number_of_results_fails_and_does_not_mix_them_up():
    batcher = Batcher(lambda items: [], settings())
    with pytest.raises(RuntimeError, match="1 items went in and 0"):
        await batcher.submit(1)


async def test_a_cancelled_item_is_dropped_before_it_costs_anything():
    model = Model()
    batcher = Batcher(model, settings())
    first = await closed_gate(model, batcher)
    gone, stays = (asyncio.create_task(batcher.submit(item)) for item in (1, 2))
    await asyncio.sleep(0.05)
    gone.cancel()
    await asyncio.sleep(0)
    model.gate.set()
    await asyncio.gather(first, stays)
    assert model.batches == [[0], [2]]


async def test_cancelling_a_running_item_leaves_its_neighbours_alone():
    model = Model()
    batcher = Batcher(model, settings(wait=0.05))
    model.gate.clear()
    gone, stays = (asyncio.create_task(batcher.submit(item)) for item in (1, 2))
    await asyncio.sleep(0.2)
    gone.cancel()
    model.gate.set()
    assert await stays == 4
    assert await batcher.submit(5) == 10


async def test_the_event_loop_stays_free_while_the_model_works():
    model = Model()
    batcher = Batcher(model, settings())
    first = await closed_gate(model, batcher)
    start = time.monotonic()
    await asyncio.sleep(0.01)
    assert time.monotonic() - start < 1
    model.gate.set()
    await first
    assert threading.main_thread() not in model.threads


async def test_every_batch_is_recorded():
    records: list[BatchRecord] = []
    batcher = Batcher(lambda items: items, settings(wait=0.05), on_batch=records.append)
    await asyncio.gather(*map(batcher.submit, range(3)))
    assert [record.size for record in records] == [3]
    assert records[0].wait_s >= 0
    assert records[0].run_s >= 0


async def test_a_dead_loop_is_unhealthy():
    batcher = Batcher(lambda items: items, settings())
    batcher.check_health()
    await batcher.submit(1)
    batcher.check_health()
    batcher._loop_task.cancel()
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="has ended"):
        batcher.check_health()


async def test_a_model_call_that_does_not_end_is_unhealthy():
    begun, may_end = threading.Event(), threading.Event()

    def stuck(items):
        begun.set()
        may_end.wait(10)
        return items

    batcher = Batcher(stuck, BatchSettings(max_stall_s=0.01))
    asked = asyncio.create_task(batcher.submit(1))
    await asyncio.to_thread(begun.wait)
    await asyncio.sleep(0.05)
    with pytest.raises(RuntimeError, match="not moved on"):
        batcher.check_health()
    may_end.set()
    await asked
    await asyncio.sleep(0.05)
    batcher.check_health()  # idle for as long, which is no fault
