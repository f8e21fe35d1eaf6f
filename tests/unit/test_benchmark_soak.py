"""How the soak judges: a leak, a replaced process or a wrong answer must not pass, and noise must."""

from collections import Counter

import pytest

from benchmarks.soak.plan import plan, shared_out
from benchmarks.soak.processes import Reading, growth, part_of, replaced
from benchmarks.soak.run import Course, Soaked
from benchmarks.soak.stillness import Stillness
from benchmarks.soak.verdict import figures, table

STILL = Stillness(0, 0, 0, 5.0)
NOISE_MB = (0.0, 9.0, -7.0, 3.0, -4.0)


def readings(mb_per_request=0.0, descriptors_per_request=0.0, pid=lambda done: 7, requests=1000):
    """Return forty-one readings over the requests of a process of 400 MB and 50 descriptors."""
    return [
        Reading(
            done,
            {"sam": pid(done), "clip": 8},
            {"sam": 400 + NOISE_MB[done // 25 % 5] + mb_per_request * done, "clip": 600.0},
            {"sam": round(50 + descriptors_per_request * done), "clip": 30},
        )
        for done in range(0, requests + 1, requests // 40)
    ]


def missed(taken, course=None, end=STILL):
    soaked = Soaked(course or Course(), taken, STILL, end, 0)
    return [figure.what for figure in figures(soaked) if figure.met is False]


def test_a_service_that_stays_what_it_was_passes():
    assert missed(readings()) == []


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ({"mb_per_request": 0.06}, ["resident memory of all, over that of half-time", "MB that one process grew"]),
        ({"descriptors_per_request": 0.02}, ["descriptors that one process has more"]),
        ({"pid": lambda done: 7 if done < 300 else 9}, ["processes that were replaced"]),
    ],
    ids=["a-picture-per-edit", "a-descriptor-per-fifty-edits", "a-new-process"],
)
def test_a_leak_or_a_replaced_process_is_found(fault, what):
    found = missed(readings(**fault))
    assert len(found) == len(what)
    assert all(each.startswith(start) for each, start in zip(sorted(found), sorted(what), strict=True))


def test_a_run_that_is_too_short_to_fill_the_caches_shows_its_memory_without_a_bar():
    leaking = {"mb_per_request": 0.06, "requests": 200}
    assert missed(readings(**leaking)) == []
    shown = {each.what: each for each in figures(Soaked(Course(), readings(**leaking), STILL, STILL, 0))}
    assert shown["MB that one process grew beyond its share"].met is None
    assert missed(readings(descriptors_per_request=0.1, requests=200)) != []


@pytest.mark.parametrize(
    ("end", "what"),
    [
        (Stillness(1, 0, 0, 5.0), "calls under way"),
        (Stillness(0, 1, 0, 5.0), "pictures that the painter holds"),
        (Stillness(0, 0, 1, 5.0), "claims in the ledger"),
        (Stillness(0, 0, 0, 7.0), "MB in the object store"),
    ],
)
def test_what_is_left_at_the_end_is_found(end, what):
    (found,) = missed(readings(), end=end)
    assert found.startswith(what)


def test_wrong_answers_to_good_and_to_abusive_requests_are_counted_apart():
    course = Course(2, {}, [("stream", "no previews"), ("GIF", "status 500"), ("GIF", "status 500")])
    good, abusive, *_ = figures(Soaked(course, readings(), STILL, STILL, 0))
    assert (good.value, abusive.value) == (1, 2)


def test_growth_is_that_of_most_readings_and_not_of_the_last():
    flat = [(float(x), 100.0) for x in range(20)]
    assert growth([*flat, (20.0, 900.0)]) == 0.0
    assert growth([(float(x), 3.0 * x) for x in range(11)]) == pytest.approx(30.0)
    assert growth([(1.0, 5.0)]) == 0.0


def test_a_process_is_known_by_its_part_whatever_it_is_doing():
    assert part_of("ray::ServeReplica:soak:driver.handle_request_with_rejection", "python", "soak") == "driver"
    assert part_of("ray::ServeReplica:other:driver", "python", "soak") is None
    assert part_of("ray::ProxyActor.receive_asgi_messages", "python", "soak") == "proxy"
    assert part_of("/somewhere/raylet --flags", "raylet", "soak") == "raylet"
    assert part_of("python -m benchmarks.soak", "python", "soak") is None


def test_a_process_that_is_gone_counts_as_replaced():
    first, *others = readings()
    gone = [Reading(each.done, {"sam": 7}, each.memory_mb, each.descriptors) for each in others]
    assert replaced([first, *gone]) == ["clip"]


def test_the_table_has_a_row_for_each_process():
    rows = table(readings(mb_per_request=0.06)).rows
    assert list(rows) == ["clip", "sam"]
    assert rows["sam"]["MB grown in the second half"] == pytest.approx(0.06 * 475, abs=3)
    assert rows["clip"]["descriptors last"] == 30


def test_a_tenth_is_abusive_every_abuse_as_often_and_the_rest_has_the_shares_of_production():
    made = plan(2000, ["a", "b", "c"])
    abuse = Counter(each.abuse for each in made if each.abuse)
    assert abuse.total() == 200
    assert max(abuse.values()) - min(abuse.values()) <= 1
    good = [each for each in made if not each.abuse]
    shares = Counter(each.n for each in good)
    assert {n: count / len(good) for n, count in shares.items()} == pytest.approx(
        {1: 0.58, 2: 0.08, 4: 0.19, 8: 0.15}, abs=0.001
    )
    assert Counter(each.kind for each in good) == {"edit": 1350, "stream": 270, "key": 180}
    assert {each.steps for each in good} == {2, 3, 4, 5, 6}
    assert [each.number for each in made] == list(range(2000))
    assert made == plan(2000, ["a", "b", "c"])


def test_no_request_is_lost_when_the_slow_ones_get_callers_of_their_own():
    made = plan(100, ["a", "slow"])
    quick, slow = shared_out(made, ("slow",))
    assert {each.abuse for each in slow} == {"slow"}
    assert sorted(each.number for each in quick + slow) == list(range(100))
