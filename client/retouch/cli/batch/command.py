"""The command itself: what is left to do, doing it, and what came of it."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
from pathlib import Path

from retouch.async_client import AsyncRetouch
from retouch.cli.batch.board import WORDS, Board
from retouch.cli.batch.crew import Crew
from retouch.cli.batch.jobs import Job, check_folder, plan
from retouch.cli.batch.report import DONE, FAILED, NOT_FOUND, Report
from retouch.cli.batch.source import read_rows
from retouch.cli.display import Display
from retouch.cli.wording import NOTE, Facts
from retouch.errors import RetouchError


def batch(options: argparse.Namespace, client: AsyncRetouch, display: Display) -> int:
    """Do `retouch batch`."""
    started = time.monotonic()
    rows = read_rows(options)
    folder = options.out or _beside(options.source)
    check_folder(folder, rows, options.source)
    with Report(folder) as report:
        recorded = report.read()
        with display.working("Reading the pictures"):
            jobs = plan(rows, folder, recorded, f"-{secrets.token_hex(8)}" if options.again else "")
        left = [job for job in jobs if options.again or job.digest not in recorded]
        board = Board(options, len(left))
        if left:
            report.start({job.digest for job in left})
            _work_off(Crew(client, report, board), report, board, options, left)
    _show(display, board, options, report.path, len(jobs) - len(left), time.monotonic() - started)
    return 0 if board.counts[DONE] == len(left) else 1


def _work_off(crew: Crew, report: Report, board: Board, options: argparse.Namespace, left: list[Job]) -> None:
    try:
        with board.shown():
            asyncio.run(crew.work_off(left, options.workers))
    except KeyboardInterrupt:
        ended = f"{report.added} of {len(left)} rows have ended"
        raise KeyboardInterrupt(f"stopped: {ended}, and {_goes_on(options, report)}") from None
    except (RetouchError, OSError):
        if report.added:
            ended = f"{report.added} of {len(left)} rows have ended"
            board.say(f"Stopped: {ended}. When this is put right, {_goes_on(options, report)}.")
        raise


def _goes_on(options: argparse.Namespace, report: Report) -> str:
    """Return what to do after a stop. With --again the same command would begin with the first row once more."""
    if not options.again:
        return "the same command goes on with the others"
    if not report.added:
        return "the same command begins anew"
    return "without --again the same command goes on with the others; the service may repeat answers that it has kept"


def _beside(source: Path) -> Path:
    """Return the folder beside `source` that is named after it."""
    named = source if source.name not in ("", "..") else source.resolve()
    return named.with_name(f"{named.name if source.is_dir() else named.stem}-edited")


def _show(
    display: Display, board: Board, options: argparse.Namespace, results: Path, skipped: int, elapsed_s: float
) -> None:
    counts = {status: board.counts[status] for status in (DONE, NOT_FOUND, FAILED)}
    is_good = counts[DONE] == board.total
    facts: Facts = [("done", f"{counts[DONE]} of {board.total}")]
    facts += [(WORDS[status], str(counts[status])) for status in (NOT_FOUND, FAILED) if counts[status]]
    if skipped:
        facts.append(("skipped", f"{skipped}, done by an earlier run (--again edits them too)"))
    if not is_good:
        command = "without --again the same command" if options.again else "the same command"
        facts.append((NOTE, f"{results.name} says why; {command} tries again what is not done"))
    display.show(
        title=str(results.parent),
        facts=[*facts, ("results", str(results)), ("took", f"{elapsed_s:.1f} s")],
        bare=str(results),
        data={
            "folder": str(results.parent),
            "results": str(results),
            **counts,
            "skipped": skipped,
            "seconds": round(elapsed_s, 3),
        },
        good=is_good,
    )
