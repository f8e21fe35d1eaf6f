"""What the header `Accept` of a request asks for."""

from __future__ import annotations

from collections.abc import Iterator


def preferences(accept: str) -> Iterator[tuple[str, float]]:
    """Yield each media type that the header names, such as "image/png" or "*/*", with its weight, 0 to 1."""
    for choice in accept.lower().split(","):
        kind, *options = (part.strip() for part in choice.split(";"))
        yield kind, _weight(options)


def _weight(options: list[str]) -> float:
    for option in options:
        if option.startswith("q="):
            try:
                return float(option[2:])
            except ValueError:
                return 0.0
    return 1.0
