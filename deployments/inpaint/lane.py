"""Who is in the step loop, of one latent size: the requests, their pictures, and the rows laid out for these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from deployments.inpaint.denoiser import Denoiser
from deployments.inpaint.painting import Painting
from deployments.inpaint.policy import Claim, rows_left
from deployments.inpaint.rows import Rows
from deployments.inpaint.shares import EqualShares

MOST_LAID_OUT = 4  # groups of one lane whose rows are kept from step to step


class Watcher(Protocol):
    """Receives the events of a painting. It is called in the loop's thread, so it must only hand them on."""

    def stepped(self, painting: Painting, estimate: torch.Tensor | None) -> None:
        """Note that a step was taken. `estimate` has the finished latents, [1, 4, h, w], where a preview is wanted."""

    def ended(self, painting: Painting, error: Exception | None) -> None:
        """Note that the painting has left: it is finished, has failed (`error`), or was cancelled."""


@dataclass(frozen=True, eq=False)
class _Guest:
    claim: Claim
    watcher: Watcher


@dataclass(eq=False)
class Lane:
    """All pictures of one latent size that one denoiser paints.

    `spent_s` is what each of their requests has had of the loop's time.
    """

    denoiser: Denoiser
    claims: list[Claim] = field(default_factory=list)
    guests: dict[Painting, _Guest] = field(default_factory=dict)
    shares: EqualShares = field(default_factory=EqualShares)
    seats: set[Painting] = field(default_factory=set)  # those that there was room for at the last step
    spent_s: float = 0.0
    laid_out: dict[tuple[Painting, ...], Rows] = field(default_factory=dict)

    def join(self, paintings: Sequence[Painting], watcher: Watcher) -> None:
        """Take in the paintings of one request."""
        claim = Claim(list(paintings), self.shares.enter(sum(map(rows_left, paintings))))
        self.claims.append(claim)
        self.guests |= {painting: _Guest(claim, watcher) for painting in paintings}

    def leave(self, painting: Painting) -> Watcher:
        """Forget the painting, which need not be finished, and return its watcher."""
        guest = self.guests.pop(painting)
        claim = guest.claim
        claim.paintings.remove(painting)
        claim.undone += rows_left(painting)
        self.seats.discard(painting)
        if not claim.paintings:
            self.claims.remove(claim)
            if claim.undone:
                self.shares.leave(claim.due, claim.undone)
        self.laid_out.clear()
        return guest.watcher

    def waiting(self) -> int:
        """Return how many pictures there has been no room for."""
        return len(self.guests) - len(self.seats)

    def rows_for(self, paintings: tuple[Painting, ...]) -> Rows:
        """Return the rows of these paintings, which are laid out once for those that take many steps together."""
        if paintings not in self.laid_out:
            while len(self.laid_out) >= MOST_LAID_OUT:
                del self.laid_out[next(iter(self.laid_out))]
            self.laid_out[paintings] = Rows(paintings, self.denoiser)
        return self.laid_out[paintings]
