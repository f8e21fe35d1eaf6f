"""One picture on its way from noise to latents: everything about it that is its own."""

from __future__ import annotations

import torch

from deployments.inpaint.schedulers import Schedule


class Painting:
    """A picture between two steps.

    `latents` [1, 4, h, w], the noisy picture so far; `mask` [1, 1, h, w] of 0 and 1 and `masked_latents`
    [1, 4, h, w], the picture without the masked part: both stay the same. `text` [2, tokens, width] with the
    negative prompt first, or [1, tokens, width] without classifier-free guidance (Ho and Salimans, arXiv
    2207.12598), which is off at a `guidance_scale` of 1 or less. `previews` are the steps after which an estimate of
    the finished picture is wanted.
    """

    def __init__(
        self,
        latents: torch.Tensor,
        mask: torch.Tensor,
        masked_latents: torch.Tensor,
        text: torch.Tensor,
        guidance_scale: float,
        schedule: Schedule,
        previews: frozenset[int] = frozenset(),
    ) -> None:
        self.latents = latents
        self.mask = mask
        self.masked_latents = masked_latents
        self.text = text
        self.guidance_scale = guidance_scale
        self.schedule = schedule
        self.previews = previews
        self.taken = 0
        self.cancelled = False
        self.joined_s = 0.0  # when its first step began, in seconds of time.time

    @property
    def rows(self) -> int:
        """How many rows a step of this picture has: two with guidance, for which the UNet sees it twice, or one."""
        return len(self.text)

    @property
    def steps(self) -> int:
        """The number of UNet calls from start to end; PNDM takes one more than asked for."""
        return len(self.schedule.timesteps)

    @property
    def finished(self) -> bool:
        """Whether all steps are taken."""
        return self.taken == self.steps

    @property
    def timestep(self) -> torch.Tensor:
        """The timestep of the next step: 0-dimensional, on the CPU."""
        return self.schedule.timesteps[self.taken]

    def model_input(self) -> torch.Tensor:
        """Return the latents as the UNet takes them at the next step."""
        scaled: torch.Tensor = self.schedule.scheduler.scale_model_input(self.latents, self.timestep)
        return scaled

    def advance(self, prediction: torch.Tensor) -> torch.Tensor | None:
        """Take the next step; return an estimate of the finished latents where a preview is wanted."""
        estimate = self._estimate(prediction) if self.taken + 1 in self.previews else None
        self.latents = self.schedule.step(prediction, self.taken, self.latents)
        self.taken += 1
        return estimate

    def _estimate(self, prediction: torch.Tensor) -> torch.Tensor:
        """Return the finished latents that this prediction implies (Song et al., arXiv 2010.02502, eq. 12).

        What the UNet sees is variance-preserving for every scheduler, so one formula serves them all.
        """
        scheduler = self.schedule.scheduler
        kept = float(scheduler.alphas_cumprod[int(self.timestep)])
        signal, noise = kept**0.5, (1 - kept) ** 0.5
        if scheduler.config.prediction_type == "v_prediction":
            return signal * self.model_input() - noise * prediction
        if scheduler.config.prediction_type == "sample":
            return prediction
        return (self.model_input() - noise * prediction) / signal
