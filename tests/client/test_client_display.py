"""What a terminal shows that a pipe does not, and text that would harm either."""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from retouch.cli.batch.board import Board
from retouch.cli.batch.jobs import Job
from retouch.cli.batch.report import Record
from retouch.cli.batch.source import Row
from retouch.cli.display import Display, printable
from retouch.cli.wording import NOTE, match, seconds, shortened, stage_names
from retouch.results import Progress


class Screen(io.TextIOWrapper):
    """A stream that says whether it is a terminal, and in which encoding."""

    def __init__(self, encoding: str = "utf-8", is_terminal: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    @property
    def shown(self) -> str:
        return bytes(self.buffer.getvalue()).decode(self.encoding)  # type: ignore[attr-defined]

    @property
    def plain(self) -> str:
        """Without colours and cursor movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown)


@pytest.fixture
def screens(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(encoding: str = "utf-8", is_terminal: bool = True, term: str = "xterm") -> tuple[Screen, Screen]:
        out, err = Screen(encoding, is_terminal), Screen(encoding, is_terminal)
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("COLUMNS", "60")
        return out, err

    return install


def display(as_json: bool = False, quiet: bool = False) -> Display:
    return Display(argparse.Namespace(json=as_json, quiet=quiet))


def test_a_terminal_gets_a_bar_that_goes_away(screens: Any) -> None:
    out, err = screens()
    shown = display()
    with shown.working("Painting [red]"):
        shown.pause(1.5, lambda seconds: None)
    assert "Painting [red]" in err.plain
    assert "Painting [red], try 2" in err.plain
    assert "━━━" in err.plain
    assert err.shown.endswith("\x1b[1A\x1b[2K")
    assert out.shown == ""


STAGES = {"locate": 'Looking for "the apple"', "inpaint": "Painting [red]"}


def frames(err: Screen) -> list[str]:
    """What stood beside the bar, one after the other."""
    lines = [re.sub(r"^[⠀-⣿] [━╸╺ ]{20} +\d+ s ", "", line).rstrip() for line in re.split(r"[\r\n]+", err.plain)]
    shown = [line for line in lines if line]
    return [line for before, line in zip(["", *shown], shown, strict=False) if line != before]


def test_a_terminal_is_shown_the_stage_and_the_steps(screens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = screens()
    monkeypatch.setenv("COLUMNS", "80")
    shown = display()
    with shown.working("Painting", STAGES):
        shown.advance(Progress("locate", 0, 0))
        for done in (0, 12, 30):
            shown.advance(Progress("inpaint", done, 30))
        shown.advance(Progress("tidy up", 0, 0))
        shown.pause(1.5, lambda seconds: None)
    assert frames(err) == [
        "Painting",
        'Looking for "the apple"',
        "Painting [red], step 0 of 30",
        "Painting [red], step 12 of 30",
        "Painting [red], step 30 of 30",
        "tidy up",
        "No luck, trying again in 1.5 s",
        "Painting, try 2",
    ]


@pytest.mark.parametrize("columns", [40, 79, 80])
def test_the_bar_keeps_its_place_and_the_words_are_cut_off(
    screens: Any, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    _, err = screens()
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = display()
    with shown.working("Painting " * 20, STAGES):
        shown.advance(Progress("inpaint", 12, 30))
    lines = [line for line in re.split(r"[\r\n]+", err.plain) if line]
    assert {len(re.sub(r"\d+ s.*", "", line)) for line in lines} == {13 if columns < 80 else 25}
    assert max(map(len, lines)) == columns
    assert "…" in lines[0]


def test_the_bar_goes_away_on_failure_too(screens: Any) -> None:
    _, err = screens()
    with pytest.raises(KeyboardInterrupt), display().working("Painting"):
        raise KeyboardInterrupt
    assert "\x1b[?25h" in err.shown
    assert err.shown.endswith("\x1b[1A\x1b[2K")


@pytest.mark.parametrize(("is_terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_elsewhere_plain_lines(screens: Any, is_terminal: bool, term: str) -> None:
    _, err = screens(is_terminal=is_terminal, term=term)
    shown = display()
    with shown.working("Painting"):
        shown.pause(1.5, lambda seconds: None)
    assert err.shown == "Painting ...\nNo luck, trying again in 1.5 s ...\nPainting, try 2 ...\n"


@pytest.mark.parametrize("options", [{"quiet": True}, {"as_json": True}])
def test_no_progress_for_programs(screens: Any, options: dict[str, bool]) -> None:
    _, err = screens(is_terminal=False)
    shown = display(**options)
    with shown.working("Painting"):
        shown.pause(1.5, lambda seconds: None)
    assert err.shown == ""


def test_long_lines_stay_whole_in_a_pipe(screens: Any) -> None:
    out, _ = screens(is_terminal=False)
    display().show("a" * 200, [("mask", "b c " * 50 + "end")], bare="", data={})
    assert out.shown == f"✔ {'a' * 200}\n  mask  {'b c ' * 50}end\n"


def test_colour_on_a_terminal_only(screens: Any) -> None:
    out, _ = screens()
    display().show("new.png", [("seed", "1")], bare="", data={})
    assert "\x1b[1mnew.png" in out.shown
    assert out.plain == "✔ new.png\n  seed  1\n"


ROWS = [("", "#", "place", "box"), (">", "0", "120,80", "1,2,30,40"), ("", "10", "5,6", "1,2,3,4")]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_rows_stand_in_columns(screens: Any, is_terminal: bool) -> None:
    out, _ = screens(is_terminal=is_terminal)
    display().show("new.png", [("seed", "1")], bare="", data={}, rows=ROWS)
    assert out.plain.splitlines()[2:] == [
        "     #   place   box",
        "  >  0   120,80  1,2,30,40",
        "     10  5,6     1,2,3,4",
    ]


def test_a_narrow_terminal_gets_the_last_cell_below_and_a_pipe_does_not(
    screens: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns, is_terminal, lines in ((26, True, 3), (25, True, 6), (25, False, 3)):
        out, _ = screens(is_terminal=is_terminal)
        monkeypatch.setenv("COLUMNS", str(columns))
        display().show("new.png", [("seed", "1")], bare="", data={}, rows=ROWS)
        shown = out.plain.splitlines()[2:]
        assert len(shown) == lines
        assert max(map(len, shown)) <= columns or not is_terminal
        if lines == 6:
            assert shown[2:4] == ["  >  0   120,80", "     1,2,30,40"]


def test_no_rows_no_table(screens: Any) -> None:
    out, _ = screens(is_terminal=False)
    display().show("new.png", [("seed", "1")], bare="", data={}, rows=[])
    assert out.shown == "✔ new.png\n  seed  1\n"


def test_a_note_is_coloured(screens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = screens()
    display().show("new.png", [(NOTE, "nothing improved")], bare="", data={})
    assert "\x1b[33m  note  \x1b[0mnothing improved" in out.shown
    monkeypatch.setenv("NO_COLOR", "1")
    out, _ = screens()
    display().show("new.png", [(NOTE, "nothing improved")], bare="", data={})
    assert "\x1b[33m" not in out.shown
    assert "  note  nothing improved\n" in out.plain


def test_markup_and_control_characters_are_shown_not_obeyed(screens: Any) -> None:
    out, err = screens(is_terminal=False)
    shown = display()
    shown.show("[bold]a[/bold]:smile:", [("text", "x\x1b[31m\a\udcff")], bare="", data={})
    shown.complain("[/oops] \x1b]0;title\a")
    assert out.shown == "✔ [bold]a[/bold]:smile:\n  text  x\\x1b[31m\\x07\\udcff\n"
    assert err.shown == "retouch: [/oops] \\x1b]0;title\\x07\n"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_that_knows_only_ascii(screens: Any, is_terminal: bool) -> None:
    out, err = screens("ascii", is_terminal)
    shown = display()
    with shown.working("Painting é"):
        pass
    shown.show("é.png", [("match", match(0.2, 0.3))], bare="", data={})
    shown.show("é.png", [("match", "-")], bare="", data={}, good=False)
    assert "Painting \\xe9" in err.plain
    assert out.plain == "* \\xe9.png\n  match  0.200 -> 0.300 (+0.100)\n! \\xe9.png\n  match  -\n"


def test_words() -> None:
    assert match(0.3, 0.25) == "0.300 → 0.250 (-0.050)"
    assert seconds(3.25, {"locate": 0.2}) == "3.2 s (locate 0.20)"
    assert seconds(3.25, {}) == "3.2 s"
    assert len(shortened("word " * 100)) <= 32
    assert printable("a\nb\tc", "utf-8") == "a\nb\\tc"


def test_the_words_of_the_stages() -> None:
    def inpaint_and_locate(**options: str) -> tuple[str, str]:
        names = stage_names(argparse.Namespace(**{"target": None, **options}))
        return names["inpaint"], names["locate"]

    assert inpaint_and_locate(prompt="a lemon") == ('Painting "a lemon"', 'Looking for "a lemon"')
    assert inpaint_and_locate(prompt="x", target="an apple") == ('Painting "x"', 'Looking for "an apple"')
    assert inpaint_and_locate(target="an apple") == ("Painting the ground", 'Looking for "an apple"')
    assert inpaint_and_locate() == ("Painting the ground", "Looking where that is")


def test_the_longest_line_of_an_edit_fits_into_80_columns(screens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = screens()
    monkeypatch.setenv("COLUMNS", "80")
    names = stage_names(argparse.Namespace(prompt="word " * 50, target=None))
    shown = display()
    with shown.working("Painting", names):
        shown.advance(Progress("inpaint", 100, 150))
    assert frames(err)[-1] == f"{names['inpaint']}, step 100 of 150"


def board_of(count: int, **options: bool) -> Board:
    return Board(argparse.Namespace(**{"json": False, "quiet": False, **options}), count)


def a_job(name: str) -> Job:
    return Job(Row(Path(f"photos/{name}.jpg"), "a lemon", {}), "", Path(f"edited/{name}.png"), "", "")


def test_a_batch_on_a_terminal_is_a_bar_with_counts(screens: Any) -> None:
    _, err = screens()
    board = board_of(3)
    with board.shown():
        board.note(a_job("a"), Record("a", status="done"))
        board.note(a_job("b"), Record("b", status="failed", message="It says [red]why\x07."))
        board.note(a_job("c"), Record("c", status="not_found", message="Nothing."))
    assert "3/3" in err.plain
    assert "1 done, 2 failed, 0 left" in err.plain
    lines = [line.strip() for line in re.split(r"[\r\n]+", err.plain)]
    assert "[2/3] photos/b.jpg: failed, It says [red]why\\x07." in lines
    assert "[3/3] photos/c.jpg: not found, Nothing." in lines
    assert not [line for line in lines if "a.png" in line], "what is done is in the bar alone"
    assert err.shown.endswith("\x1b[1A\x1b[2K")


@pytest.mark.parametrize(("is_terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_a_batch_elsewhere_is_a_line_for_each_row(screens: Any, is_terminal: bool, term: str) -> None:
    _, err = screens(is_terminal=is_terminal, term=term)
    board = board_of(2)
    with board.shown():
        board.note(a_job("a"), Record("a", status="done"))
        board.note(a_job("b"), Record("b", status="failed", message="Two\nlines."))
    assert err.shown == "[1/2] photos/a.jpg: done, edited/a.png\n[2/2] photos/b.jpg: failed, Two lines.\n"


@pytest.mark.parametrize("options", [{"quiet": True}, {"json": True}])
def test_a_batch_shows_no_progress_to_programs(screens: Any, options: dict[str, bool]) -> None:
    _, err = screens(is_terminal=False)
    board = board_of(1, **options)
    with board.shown():
        board.note(a_job("a"), Record("a", status="failed", message="No."))
    assert err.shown == ""
