"""The workers of a batch: several edits at a time, and one row of the report for each.

What will not be better for the next row, such as a wrong key or a service that is away, ends the batch: at once if
nothing has worked before, and otherwise after `PATIENCE` rows in succession.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator

import httpx

from retouch.async_client import AsyncRetouch
from retouch.cli.batch.board import Board
from retouch.cli.batch.jobs import Job
from retouch.cli.batch.report import DONE, FAILED, NOT_FOUND, Record, Report
from retouch.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    InvalidResponse,
    NotFoundError,
    PermissionDeniedError,
    RetouchError,
    TargetNotFound,
)
from retouch.pictures import ranked, write_picture
from retouch.results import EditResult

PATIENCE = 10
UNREADABLE = "unreadable_file"


class Crew:
    """Works off jobs by `client`, writes their pictures, records how they end, and shows it on `board`."""

    def __init__(self, client: AsyncRetouch, report: Report, board: Board) -> None:
        self._client = client
        self._report = report
        self._board = board
        self._has_worked = False
        self._hopeless_in_succession = 0

    async def work_off(self, jobs: Iterable[Job], workers: int) -> None:
        """Do all `jobs`, up to `workers` at a time. Raises the error that makes it useless to go on."""
        left = iter(jobs)
        async with self._client:
            tasks = [asyncio.create_task(self._work(left)) for _ in range(workers)]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, left: Iterator[Job]) -> None:
        for job in left:
            self._board.note(job, await self._do(job))

    async def _do(self, job: Job) -> Record:
        if job.problem:
            return await self._recorded(_failure(job, UNREADABLE, job.problem))
        started = time.monotonic()
        try:
            result = await self._client.edit(
                job.row.image, job.row.prompt, idempotency_key=job.idempotency_key, **job.row.options
            )
        except OSError as error:
            return await self._recorded(_failure(job, UNREADABLE, str(error)))
        except RetouchError as error:
            self._judge(error)
            return await self._recorded(_refusal(job, error, time.monotonic() - started))
        self._has_worked, self._hopeless_in_succession = True, 0
        # A thread ends what it does even when this run is stopped. So a picture is never without its row for long.
        return await asyncio.to_thread(self._keep, job, result, time.monotonic() - started)

    def _keep(self, job: Job, result: EditResult, elapsed_s: float) -> Record:
        job.output.parent.mkdir(exist_ok=True)
        for rank, image in enumerate(result.images, start=1):
            path = ranked(job.output, rank)
            beside = path.with_name(f".{path.stem}.part{path.suffix}")
            write_picture(image, beside)
            beside.replace(path)
        score = result.score
        record = Record(
            image=str(job.row.image),
            output=job.output.name,
            status=DONE,
            seed=result.seed,
            score_before=score.before if score else None,
            score_after=score.after if score else None,
            improved=result.improved,
            seconds=round(elapsed_s, 3),
            request_id=result.request_id,
            digest=job.digest,
        )
        self._report.add(record)
        return record

    async def _recorded(self, record: Record) -> Record:
        await asyncio.to_thread(self._report.add, record)
        return record

    def _judge(self, error: RetouchError) -> None:
        """Raise `error` if there is no use in going on."""
        if not _is_hopeless(error):
            self._has_worked, self._hopeless_in_succession = True, 0
            return
        self._hopeless_in_succession += 1
        if not self._has_worked or self._hopeless_in_succession >= PATIENCE:
            raise error


def _is_hopeless(error: RetouchError) -> bool:
    """Return whether the next row will most likely end in the same way. A slow answer is a matter of its row."""
    if isinstance(error, APITimeoutError):
        return isinstance(error.__cause__, httpx.ConnectTimeout)
    kinds = (APIConnectionError, AuthenticationError, PermissionDeniedError, NotFoundError, InvalidResponse)
    return isinstance(error, kinds)


def _refusal(job: Job, error: RetouchError, elapsed_s: float) -> Record:
    code = error.code if isinstance(error, APIStatusError) else None
    if isinstance(error, APIConnectionError):
        code = "timeout" if isinstance(error, APITimeoutError) else "no_connection"
    status = NOT_FOUND if isinstance(error, TargetNotFound) else FAILED
    request_id = getattr(error, "request_id", None)
    return _failure(job, code, error.message, status, round(elapsed_s, 3), request_id)


def _failure(
    job: Job,
    code: str | None,
    message: str,
    status: str = FAILED,
    elapsed_s: float | None = None,
    request_id: str | None = None,
) -> Record:
    return Record(
        image=str(job.row.image),
        status=status,
        code=code,
        message=message,
        seconds=elapsed_s,
        request_id=request_id,
        digest=job.digest,
    )
