"""Asks a server row by row whether it keeps to the OpenAI contract of image edits.

    python -m benchmarks.conformance --base-url http://127.0.0.1:8000/v1 [--api-key KEY] [--model M]
        [--only 'streams.*'] [--extensions] [--json OUT]

Exits with 1 if a row fails, and with 2 if nothing answers at the address.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import httpx

from benchmarks.conformance import report
from benchmarks.conformance.groups import GROUPS
from benchmarks.conformance.rows import Group, Result, Row, run
from benchmarks.conformance.server import Server


def main(argv: Sequence[str] | None = None) -> int:
    """Ask the server that the command line names; return the exit status."""
    options = _options(argv)
    asked = [group for group in GROUPS if options.extensions or not group.only_retouch]
    chosen = [(group, _chosen(group, options.only)) for group in asked]
    if not any(rows for _, rows in chosen):
        print(f"There is no row {options.only!r}. Rows are named like streams.events_*.", file=sys.stderr)
        return 2
    # An empty key would make a header that cannot be sent.
    with Server(options.base_url, options.api_key or "none", options.model) as server:
        if not _answers(server):
            return 2
        results = _ask(server, chosen)
    print(report.summary(results, [group for group in GROUPS if group not in asked]))
    if options.json:
        options.json.write_text(report.as_json(server.base_url, results) + "\n")
    return 1 if any(result.outcome == "fails" for result in results) else 0


def _ask(server: Server, chosen: Sequence[tuple[Group, Sequence[Row]]]) -> list[Result]:
    results: list[Result] = []
    for group, rows in chosen:
        if rows:
            print(f"\n{group.title}")
        for result in run(server, rows):
            print(report.line(result), flush=True)
            results.append(result)
    return results


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conformance", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--base-url", required=True, help="where the API begins, such as http://127.0.0.1:8000/v1")
    parser.add_argument("--api-key", default=os.environ.get("OPENAI_API_KEY"), help="default: $OPENAI_API_KEY, or none")
    parser.add_argument("--model", help="is sent with each request (default: no model is named)")
    parser.add_argument("--only", default="*", help="the rows to ask, a pattern such as 'streams.*'")
    parser.add_argument("--extensions", action="store_true", help="ask for what Retouch adds to the contract, too")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    return parser.parse_args(argv)


def _chosen(group: Group, pattern: str) -> list[Row]:
    return [row for row in group.rows if fnmatch(row.name, pattern)]


def _answers(server: Server) -> bool:
    try:
        server.http.get("/models")
    except httpx.TransportError as error:
        print(f"Nothing answers at {server.base_url}: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
