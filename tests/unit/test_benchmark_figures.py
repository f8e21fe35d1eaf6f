"""How the benchmark counts: a wrong percentile or a ratio the wrong way round would flatter us."""

import json

import pytest

from benchmarks.figures import Comparison, Figure, interleaved, percentile, ratios
from benchmarks.report import Results, table, write


def test_a_percentile_is_one_of_the_values():
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([1.0, 2.0], 0.95) == 2.0


def test_ratios_are_made_round_by_round():
    assert ratios([4.0, 9.0], [2.0, 3.0]) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("value", "target", "below", "met"),
    [(1.6, 1.5, False, True), (1.4, 1.5, False, False), (0.7, 0.75, True, True), (0.8, 0.75, True, False)],
)
def test_a_target_is_a_floor_or_a_ceiling(value, target, below, met):
    figure = Figure("x", (value,), target, below)
    assert figure.met == met
    assert ("missed" in table([figure])) == (not met)


def test_what_is_only_told_is_not_judged():
    figure = Figure("x", (1.0, 3.0, 2.0))
    assert figure.value == 2.0
    assert figure.met is None
    assert "1.00 to 3.00" in table([figure])


def test_all_sides_run_in_every_round_in_changing_order():
    order = []
    sides = {name: lambda number, name=name: order.append(name) or float(number) for name in "ab"}
    made = interleaved(3, sides, lambda _: None)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert made == {"a": [0, 1, 2], "b": [0, 1, 2]}


def test_the_results_name_the_machine_and_no_more(tmp_path):
    write(tmp_path, "run", 5, Results([Figure("speed", (2.0,), 1.5)], [Comparison("an edit", {"steps": {"ms": 12.0}})]))
    written = (tmp_path / "run.json").read_text() + (tmp_path / "run.md").read_text()
    assert "cores" in written
    assert "reached" in written
    assert str(tmp_path) not in written


def test_rows_that_are_not_measured_again_are_kept(tmp_path):
    write(tmp_path, "run", 5, Results([Figure("speed", (2.0,), 1.5), Figure("size", (1.0,))]))
    write(tmp_path, "run", 5, Results([Figure("speed", (3.0,), 1.5)]))
    written = json.loads((tmp_path / "run.json").read_text())
    assert {row["what"]: row["value"] for row in written["figures"]} == {"size": 1.0, "speed": 3.0}
