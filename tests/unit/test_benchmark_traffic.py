"""The benchmark's traffic has the shape it says it has: figures from another mix would say nothing about production."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.traffic import AGAIN, MEAN_PICTURES, SHARES, edits, quotas, trace
from benchmarks.workload import EditCase

MANY = 4000


@pytest.fixture(scope="module")
def long_trace():
    return trace(MANY, 2.0, seed=1)


def test_the_same_seed_gives_the_same_trace_and_another_seed_another():
    assert trace(50, 1.0, seed=3) == trace(50, 1.0, seed=3)
    assert trace(50, 1.0, seed=3) != trace(50, 1.0, seed=4)


def test_requests_ask_for_one_two_four_and_eight_pictures_in_the_published_shares(long_trace):
    counts = Counter(each.n for each in long_trace)
    assert {n: counts[n] / MANY for n in SHARES} == pytest.approx(SHARES, abs=1 / MANY)


def test_a_short_trace_has_the_shares_as_near_as_whole_requests_allow():
    for requests in (1, 7, 16, 20):
        counts = Counter(quotas(requests, np.random.default_rng(0)))
        assert counts.total() == requests
        assert all(abs(counts[n] - share * requests) < 1 for n, share in SHARES.items())


def test_large_requests_do_not_all_come_at_the_end(long_trace):
    places = [index for index, each in enumerate(long_trace) if each.n == 8]
    assert 0.45 < np.mean(places) / MANY < 0.55


def test_a_third_are_the_same_picture_again_by_the_user_who_sent_it_last(long_trace):
    sent, again = {}, 0
    for each in long_trace:
        if each.picture in sent.values():
            assert sent[each.user] == each.picture
            again += 1
        sent[each.user] = each.picture
    assert again / MANY == pytest.approx(AGAIN, abs=0.02)


def test_nobody_sends_the_picture_of_another(long_trace):
    users = {}
    for each in long_trace:
        assert users.setdefault(each.picture, each.user) == each.user


def test_few_users_send_most(long_trace):
    counts = sorted(Counter(each.user for each in long_trace).values(), reverse=True)
    assert sum(counts[: len(counts) // 10]) > 0.5 * MANY


def test_they_come_in_bursts_at_the_rate_that_was_asked_for(long_trace):
    gaps = np.diff([0.0, *(each.due_s for each in long_trace)])
    assert (gaps > 0).all()
    assert MEAN_PICTURES / gaps.mean() == pytest.approx(2.0, rel=0.1)
    assert gaps.std() / gaps.mean() > 1.5  # of a Poisson process it is 1


def test_edits_of_the_same_picture_have_the_same_pixels_and_seeds_of_their_own():
    image = np.zeros((16, 16, 3), np.uint8)
    known = [EditCase(image, b"", "the apple", "a lemon", image[..., 0] > 0)] * 3
    timed = trace(40, 1.0, seed=5)
    asked = edits(timed, known, first=100)
    pixels = {}
    for each, edit in zip(timed, asked, strict=True):
        assert pixels.setdefault(each.picture, edit.case.image.tobytes()) == edit.case.image.tobytes()
    assert len(set(pixels.values())) == len(pixels)
    seeds = [seed for edit in asked for seed in range(edit.seed, edit.seed + edit.n)]
    assert len(set(seeds)) == len(seeds)
    assert [edit.n for edit in asked] == [each.n for each in timed]
