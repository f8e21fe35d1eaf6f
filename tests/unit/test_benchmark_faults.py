"""How the table of faults counts: a swapped picture or a missed edit that goes unnoticed would make it worthless."""

import json
from dataclasses import replace

import numpy as np
import openai
import pytest

from benchmarks.faults import processes
from benchmarks.faults.answers import Answer, difference, owner
from benchmarks.faults.gauges import not_zero
from benchmarks.faults.load import Load, Outcome, Pool
from benchmarks.faults.report import longest_gap_s, row_of, table, total, write
from benchmarks.workload import EditCase

PATIENCE_S = 60


def answer_of(number):
    """An answer whose picture and mask tell the number."""
    picture = np.full((8, 8, 3), 10 * number, np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[number, 2:6] = True
    return Answer(picture, mask)


def changed(answer, xy, by):
    picture = answer.picture.copy()
    picture[xy[1], xy[0], 0] += by
    return replace(answer, picture=picture)


@pytest.fixture
def pool():
    """Four edits, and what each has to become."""
    case = EditCase(np.zeros((8, 8, 3), np.uint8), b"", "the cactus", "a lemon", np.zeros((8, 8), bool))
    pool = Pool([case], 4)
    pool.learn(lambda edit: answer_of(edit.seed), callers=2)
    return pool


def ended(ask, pool, edits=8, **options):
    load = Load(ask, pool, **options)
    with load.under_way(2, edits):
        pass
    return load


@pytest.mark.parametrize(
    ("xy", "by", "exact", "right"),
    [
        ((3, 1), 2, False, True),
        ((3, 1), 3, False, False),
        ((3, 1), 1, True, False),
        ((0, 0), 1, False, False),
    ],
)
def test_an_answer_may_differ_a_little_inside_its_mask_and_nowhere_else(xy, by, exact, right):
    assert (difference(changed(answer_of(1), xy, by), answer_of(1), exact) == "") == right


def test_another_mask_or_size_is_another_answer():
    one = answer_of(1)
    assert "mask" in difference(replace(one, mask=answer_of(2).mask), one)
    assert difference(Answer(one.picture[:4], one.mask[:4]), one) == "another size"


def test_the_owner_of_a_swapped_picture_is_named():
    known = [answer_of(number) for number in range(4)]
    assert owner(answer_of(2), known) == 2
    assert owner(answer_of(5), known) is None


def test_every_edit_gets_its_own_answer(pool):
    load = ended(lambda edit: answer_of(edit.seed), pool)
    assert {outcome.end for outcome in load.outcomes} == {"right"}
    assert len(load.outcomes) >= 8
    assert row_of("nothing", 1, load.outcomes, load.start_s).met


def test_two_answers_that_are_swapped_are_found(pool):
    load = ended(lambda edit: answer_of({1: 2, 2: 1}.get(edit.seed, edit.seed)), pool)
    row = row_of("a swap", 1, load.outcomes, load.start_s)
    assert row.wrong == sum(outcome.number in (1, 2) for outcome in load.outcomes) > 0
    assert {"the picture of edit 1", "the picture of edit 2"} == {outcome.detail for outcome in load.outcomes} - {""}
    assert not row.met


def test_an_error_counts_as_unanswered_and_a_busy_service_as_not_admitted(pool):
    def ask(edit):
        if edit.seed == 1:
            raise openai.APIConnectionError(request=None)
        if edit.seed == 2:
            raise openai.RateLimitError("busy", response=busy_response(), body=None)
        return answer_of(edit.seed)

    load = ended(ask, pool)
    row = row_of("some", 1, load.outcomes, load.start_s)
    ends = {outcome.number: outcome.end for outcome in load.outcomes}
    assert ends == {0: "right", 1: "unanswered", 2: "refused", 3: "right"}
    assert row.asked == row.right + row.unanswered + row.refused
    assert not row.met


def busy_response():
    import httpx2

    return httpx2.Response(429, request=httpx2.Request("POST", "http://127.0.0.1"))


def test_no_more_edits_are_asked_for_than_are_allowed(pool):
    load = Load(lambda edit: answer_of(edit.seed), pool)
    with load.under_way(3, 5, most=5):
        load.wait_for(5)
    assert len(load.outcomes) == 5


def outcomes(right, **others):
    ends = ["right"] * right + [end for end, count in others.items() for _ in range(count)]
    return [Outcome(number, end, number, number + 1.0) for number, end in enumerate(ends)]


@pytest.mark.parametrize(
    ("ends", "left", "met"),
    [
        (outcomes(1000), [], True),
        (outcomes(999, unanswered=1), [], True),
        (outcomes(998, unanswered=2), [], False),
        (outcomes(1000, refused=500), [], True),
        (outcomes(9999, wrong=1), [], False),
        (outcomes(1000), ["a process outlived the fault"], False),
        (outcomes(0, refused=5), [], False),
    ],
)
def test_the_bar_is_999_of_1000_admitted_no_wrong_picture_and_nothing_left(ends, left, met):
    row = row_of("x", 1, ends, 0.0, left)
    assert row.met == met
    assert ("missed" in table([row])) == (not met)


def test_the_longest_time_without_an_answer_is_from_the_start_to_the_end():
    right = [Outcome(0, "right", 0, 3.0), Outcome(1, "right", 0, 4.0), Outcome(2, "unanswered", 0, 9.0)]
    assert longest_gap_s(right, 1.0) == 5.0
    assert longest_gap_s(right, -7.0) == 10.0


def test_the_total_adds_up_and_repeats_what_was_left():
    rows = [row_of("a", 1, outcomes(5, wrong=1), 0.0), row_of("b", 2, outcomes(3, unanswered=1), 0.0, ["a leak"])]
    both = total(rows)
    assert (both.times, both.asked, both.right, both.wrong, both.unanswered) == (3, 10, 8, 1, 1)
    assert both.left == ("a leak",)


def test_the_files_name_the_commit_and_the_machine_and_say_what_was_missed(tmp_path):
    write(tmp_path, "run", [row_of("a kill", 1, outcomes(2, unanswered=1), 0.0)], "What the service survives")
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["rows"][0]["met"] is False
    assert written["machine"]["cores"] > 0
    assert "**missed**" in (tmp_path / "run.md").read_text()
    assert str(tmp_path) not in (tmp_path / "run.md").read_text()


def test_what_a_living_replica_holds_is_found_and_what_a_dead_one_held_is_not():
    page = """# TYPE ray_retouch_pictures gauge
ray_retouch_pictures{deployment="inpaint",replica="living"} 2.0
ray_retouch_pictures{deployment="inpaint",replica="dead"} 3.0
ray_serve_replica_processing_queries{deployment="sam",replica="living"} 0.0
ray_serve_deployment_queued_queries{deployment="clip",handle="x"} 1.0
ray_other{replica="living"} 9.0
"""
    assert not_zero(page, {"living"}) == {
        "retouch_pictures of inpaint": 2.0,
        "serve_deployment_queued_queries of clip": 1.0,
    }


def test_the_processes_of_a_run_are_found_by_its_mark(monkeypatch):
    import subprocess
    import sys

    code = "print('up', flush=True); input()"
    monkeypatch.setenv(processes.MARK, "one-run")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "up\n"
        (found,) = processes.running("one-run")
        assert (found.pid, found.deployment) == (child.pid, None)
        assert found.own_mb > 0
        assert processes.running("another-run") == []
        processes.kill(child.pid)
        processes.wait_until(lambda: not processes.alive(child.pid), "it has ended", PATIENCE_S)


def test_a_title_names_the_deployment_of_a_replica():
    title = "ray::ServeReplica:retouch:inpaint.handle_request"
    assert processes.Process(1, 0, title, 0.0).deployment == "inpaint"
