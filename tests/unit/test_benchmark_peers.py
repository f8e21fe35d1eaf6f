"""The rows that compare us with peers: the best peer counts, and one that is not installed leaves its rows empty."""

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import peers, performance_page, report, trace_mix
from benchmarks.callers import PATIENCE_S, Edit
from benchmarks.figures import Comparison, Figure
from benchmarks.peers import OURS, SEQUENTIAL
from benchmarks.trace_mix import Traffic
from benchmarks.workload import TimedRequest

MADE = {
    "images/s": {OURS: [3.0, 2.0], "slow": [1.0, 1.0], "fast": [1.5, 2.0], SEQUENTIAL: [0.5, 1.0]},
    "s alone": {OURS: [0.5, 0.5], "slow": [1.0, 1.0], "fast": [2.0, 2.0], SEQUENTIAL: [1.0, 0.8]},
}
LIMITS_S = dict.fromkeys(trace_mix.SHARES, 2.0)


def answered(n, latency_s, answered=True):
    return TimedRequest(Edit(None, 0, n), 0.0, latency_s, answered)


@pytest.fixture
def sides():
    ours = Traffic(
        None, [], [answered(1, 1.0), answered(1, 3.0), answered(8, 2.0)], [Edit(None, 0, 1)], [1.0, 1.0], [2.0, 4.0]
    )
    theirs = Traffic(None, [], [answered(1, 4.0), answered(1, 6.0), answered(8, 1.0, False)], [], [1.0], [9.0, 8.0])
    return {OURS: ours, "LitServe": theirs}


def test_throughput_and_latency_are_each_compared_with_the_peer_that_is_best_at_it():
    speed, latency, over_one, latency_over_one = peers.figures(MADE, 0.1)
    assert speed.rounds == (2.0, 1.0)
    assert latency.rounds == (0.5, 0.5)
    assert over_one.rounds == (6.0, 2.0)
    assert latency_over_one.rounds == (0.5, 0.625)
    assert [figure.met for figure in (speed, latency, over_one, latency_over_one)] == [False, True, True, True]


def test_without_a_peer_its_rows_say_so_and_the_others_are_there():
    made = {what: {name: values[name] for name in (OURS, SEQUENTIAL)} for what, values in MADE.items()}
    speed, latency, *others = peers.figures(made, 0.1)
    assert "| LitServe is not installed |" in report.table([speed])
    assert (speed.value, speed.met, latency.value) == (None, None, None)
    assert all(figure.met for figure in others)


def test_the_table_of_peers_has_a_row_for_each_side():
    table = peers.table(MADE, {OURS: 4.0, "slow": 9.0, "fast": 8.0})
    assert table.rows[OURS] == {"images/s, 8 callers": 2.5, "p95 s, 8 callers": 4.0, "s, one caller": 0.5}
    assert table.rows[SEQUENTIAL]["p95 s, 8 callers"] is None
    assert "| one process, one after another | 0.75 |  | 0.9 |" in report.comparison(table)


def test_only_what_is_answered_soon_enough_is_good():
    assert trace_mix.in_time(answered(1, 2.0), LIMITS_S)
    assert not trace_mix.in_time(answered(1, 2.1), LIMITS_S)
    assert not trace_mix.in_time(answered(1, 1.0, answered=False), LIMITS_S)


def test_a_flood_is_judged_by_p95_beside_it_over_the_median_alone(sides):
    good = {OURS: [2.0], "LitServe": [1.0]}
    goodput, p95, flooded, theirs = trace_mix.figures(sides, good, {OURS: 3.0, "LitServe": 1.0}, "LitServe")
    assert goodput.rounds == (2.0,)
    assert p95.rounds == (0.5,)
    assert flooded.rounds == (4.0,)
    assert flooded.met is False
    assert theirs.rounds == (9.0,)
    assert theirs.met is None


def test_without_a_peer_the_flood_is_measured_all_the_same(sides):
    goodput, p95, flooded = trace_mix.figures({OURS: sides[OURS]}, {OURS: [2.0]}, {OURS: 3.0}, None)
    assert goodput.reached == p95.reached == "LitServe is not installed"
    assert flooded.rounds == (4.0,)


def test_the_trace_is_reported_by_side_and_number_of_pictures(sides):
    rows = trace_mix.latencies(sides, {OURS: [2.0], "LitServe": [1.0]}, LIMITS_S).rows
    assert Counter(name.split(",")[0] for name in rows) == {OURS: 5, "LitServe": 5}
    assert rows[f"{OURS}, n=1"] == {
        "requests": 2.0,
        "refusals": 1.0,
        "p50 s": 1.0,
        "p95 s": 3.0,
        "in time": 0.5,
        "good pictures/s": None,
    }
    assert rows[f"{OURS}, n=2"]["p95 s"] is None
    assert rows["LitServe, all"]["in time"] == 0.0
    assert rows["LitServe, n=8"]["p50 s"] == PATIENCE_S  # it was not answered


def test_comparisons_are_written_and_kept_like_figures(tmp_path):
    first = report.Results([Figure("speed", (2.0,))], [Comparison("peers", {OURS: {"s": 1.0}})])
    report.write(tmp_path, "run", 5, first)
    report.write(tmp_path, "run", 5, report.Results([Figure("speed", (3.0,))]))
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["comparisons"] == [{"title": "peers", "rows": {OURS: {"s": 1.0}}}]
    assert "| peers | s |" in (tmp_path / "run.md").read_text()


def test_rows_of_another_commit_are_not_mixed_in(tmp_path, monkeypatch):
    report.write(tmp_path, "run", 5, report.Results([Figure("speed", (2.0,)), Figure("size", (1.0,))]))
    monkeypatch.setattr(report, "commit", lambda: "another")
    report.write(tmp_path, "run", 5, report.Results([Figure("speed", (3.0,))]))
    written = json.loads((tmp_path / "run.json").read_text())
    assert [row["what"] for row in written["figures"]] == ["speed"]
    assert written["commit"] == "another"


def test_the_page_takes_all_its_tables_from_one_run_and_names_its_commit(tmp_path):
    peers_table = Comparison("peers", {OURS: {"s": 1.5}})
    profile = Comparison("an edit", {"steps": {"ms": 12.0}})
    report.write(tmp_path, "run", 5, report.Results([Figure("speed", (2.0,), 3.0)], [peers_table, profile]))
    run = json.loads((tmp_path / "run.json").read_text())
    text = "before\n<!-- benchmark: how -->\nold\n<!-- end of benchmark -->\nafter\n"
    found = performance_page.replaced(text, performance_page.block(run, Path("results/run.json")))
    assert f"Commit {report.commit()}" in found
    assert "(../results/run.md)" in found
    assert "| speed | 2.00 | >= 3 | **missed** |" in found
    assert found.count("| Retouch | 1.5 |") == 1
    assert "old" not in found
    assert "12" not in found.split("| what |")[1]
    assert found.startswith("before\n")
    assert found.endswith("after\n")
    assert performance_page.replaced(found, performance_page.block(run, Path("results/run.json"))) == found


def test_the_page_of_this_project_has_a_place_for_them():
    assert performance_page.BLOCK.search(performance_page.PAGE.read_text())
