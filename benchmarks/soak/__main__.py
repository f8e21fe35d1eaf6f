"""Soaks the pocket graph over HTTP: does it stay what it was under thousands of edits and abuse?

    python -m benchmarks.soak [--edits 2000] [--callers 4] [--keep]

Exits with 1 where a bar is missed. All of it takes twenty minutes on two cores, 250 requests take three.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks import report

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a replica; before torch is imported
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_metrics_report_interval_ms", "1000")  # the gauge of pictures is read at the end
os.environ.setdefault("RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "deployments.http.proxy:middleware")

RESULTS = Path(__file__).parents[1] / "results"
APP = "retouch-soak"
SIZE_WH = (160, 128)
PICTURES = 24
WARM_UP = 0.2  # of the requests
REQUEST_TIMEOUT_S = 60.0  # then Serve's proxy gives up a body that does not come
PATIENCE_S = 180.0  # of the callers, for anything


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def main() -> int:
    """Soak the service, print the tables, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--edits", type=int, default=2000, help="requests with the abuse (default: %(default)s)")
    parser.add_argument("--callers", type=int, default=4, help="at once (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="write the tables to benchmarks/results/, too")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)

    from benchmarks import report

    results = _results(options.edits, options.callers)
    print("\n\n".join(results.tables()))
    if options.keep:
        report.write(RESULTS, f"{time.strftime('%Y-%m-%d')}-soak", 1, results)
    return 1 if any(figure.met is False for figure in results.figures) else 0


def _results(edits: int, callers: int) -> report.Results:
    from ray import serve

    from benchmarks import report
    from benchmarks.setup import Setup, local_service
    from benchmarks.soak import verdict
    from benchmarks.soak.abuse import CASES, Target
    from benchmarks.soak.edits import GoodCallers
    from benchmarks.soak.plan import plan
    from benchmarks.soak.run import soak
    from benchmarks.workload import cases

    known, requests = cases(PICTURES, SIZE_WH), plan(edits, list(CASES))
    warm = round(WARM_UP * edits)
    with local_service(REQUEST_TIMEOUT_S) as url:
        Setup().start(APP, "/")
        good = GoodCallers(url, known, PATIENCE_S)
        target = Target(url, good, PATIENCE_S)
        try:
            soaked = soak(APP, good, target, requests[:warm], requests[warm:], callers, say)
        finally:
            target.close()
            good.close()
            serve.delete(APP)
    say("  ".join(f"{kind}: {count}" for kind, count in sorted(soaked.course.asked.items())))
    say(f"{soaked.refusals} times a good request was refused with 429 and came back")
    results = report.Results()
    for figure in verdict.figures(soaked):
        results.add(figure)
    results.add(verdict.table(soaked.readings))
    return results


if __name__ == "__main__":
    sys.exit(main())
