"""The command: check each file, print what there is to say, and fail if anything is wrong."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deployments.check_config.check import findings
from deployments.check_config.files import LoadedConfig, configs
from deployments.check_config.findings import Finding


def _checked(loaded: LoadedConfig, gpus: int | None) -> list[Finding]:
    return loaded.findings + (findings(loaded.config, gpus) if loaded.config is not None else [])


def _show(file: str, label: str, finding: Finding) -> None:
    note = "note" if finding.kind == "note" else ""
    line = ": ".join(filter(None, [file, note, label, finding.place, finding.sentence]))
    print(line, file=sys.stderr if finding.kind == "problem" else sys.stdout)


def check(file: str, gpus: int | None = None) -> bool:
    """Print what there is to say about a file, and return whether it is in order."""
    in_order = True
    for loaded in configs(Path(file)):
        for finding in _checked(loaded, gpus):
            _show(file, loaded.label, finding)
            in_order = in_order and finding.kind != "problem"
    if in_order:
        print(f"in order: {file}")
    return in_order


def main(argv: list[str]) -> int:
    """Return 0 when the files are in order, 1 when not; wrong use exits with 2."""
    options = _parser().parse_args(argv)
    in_order = [check(file, options.gpus) for file in options.files]
    return 0 if all(in_order) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deployments.check_config",
        description="Check Serve config files, or Kubernetes manifests with a RayService, before they are deployed: "
        "unknown keys, wrong values, import paths, settings, models, time limits, and how many GPUs they need. "
        "Nothing is started and no network is used.",
        epilog="Problems go to stderr, notes and the GPUs needed to stdout. Exit: 0 in order, 1 problems, 2 wrong use.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a YAML file")
    parser.add_argument(
        "--gpus",
        type=_number,
        metavar="N",
        help="also check that the least replicas fit on N GPUs (left out: as few as they need)",
    )
    return parser


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of GPUs (0 or more)")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
