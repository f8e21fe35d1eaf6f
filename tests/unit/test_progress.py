"""Reports on their way to a reader that may be slower than they are."""

import asyncio

import pytest

from deployments.serving.progress import Latest


async def all_of(latest, result):
    return [item async for item in latest.followed_by(result)]


@pytest.fixture
async def result():
    return asyncio.get_running_loop().create_future()


async def test_a_report_that_nobody_has_taken_is_replaced(result):
    latest = Latest()
    for number in range(5):
        latest.put(number)
    result.set_result("done")
    assert await all_of(latest, result) == [4, "done"]


async def test_kept_reports_are_handed_over_in_order_among_the_newest_others(result):
    latest = Latest()
    for report in (1, 2, "a", "b", 3, 4, "c", 5, 6):
        latest.put(report, kept=isinstance(report, str))
    result.set_result("done")
    assert await all_of(latest, result) == ["a", "b", "c", 6, "done"]


async def test_a_reader_that_is_fast_enough_gets_every_report(result):
    latest = Latest()
    reader = asyncio.create_task(all_of(latest, result))
    for number in range(3):
        latest.put(number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    result.set_result("done")
    assert await reader == [0, 1, 2, "done"]


async def test_what_was_kept_comes_before_the_failure(result):
    latest = Latest()
    latest.put("a", kept=True)
    result.set_exception(ValueError("bad"))
    reports = latest.followed_by(result)
    assert await anext(reports) == "a"
    with pytest.raises(ValueError, match="bad"):
        await anext(reports)


async def test_who_stops_reading_cancels_the_work(result):
    latest = Latest()
    latest.put(1)
    reports = latest.followed_by(result)
    assert await anext(reports) == 1
    await reports.aclose()
    assert result.cancelled()
