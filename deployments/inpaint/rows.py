"""The UNet's input for a group of paintings, laid out once for as long as they stay together."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from deployments.inpaint.denoiser import Denoiser
from deployments.inpaint.painting import Painting


class Rows:
    """The rows of one step for all of `paintings`, each at its own timestep and with its own guidance.

    Their order: all guided paintings without their text, the same with it, all unguided ones, padding of zeros. What
    stays the same from step to step (masks, masked latents, texts) is written here once; only latents and
    timesteps change.
    """

    def __init__(self, paintings: Sequence[Painting], denoiser: Denoiser) -> None:
        guided = [painting for painting in paintings if painting.rows == 2]
        unguided = [painting for painting in paintings if painting.rows == 1]
        self.paintings = guided + unguided
        self._denoiser = denoiser
        self._guided = len(guided)
        one = paintings[0].latents
        self._count = len(guided) + len(self.paintings)
        padded = denoiser.padded(self._count)
        self._channels = one.new_zeros(padded, 9, *one.shape[2:])
        self._text = one.new_zeros(padded, *paintings[0].text.shape[1:])
        constant = torch.cat([torch.cat([each.mask, each.masked_latents], 1) for each in self.paintings])
        for rows, source in self._halves(constant):
            self._channels[rows, 4:] = source
        # In a painting's own text the negative prompt comes first.
        texts = [each.text[0] for each in guided] + [each.text[-1] for each in self.paintings]
        self._text[: self._count] = torch.stack(texts)
        # In float32, whatever the model computes in: 7.3 is no float16.
        self._scales = self._on_device([each.guidance_scale for each in guided])[:, None, None, None]

    def predict(self) -> list[torch.Tensor]:
        """Return the prediction [1, 4, h, w] for each of `self.paintings`, with guidance applied."""
        latents = torch.cat([each.model_input() for each in self.paintings])
        for rows, source in self._halves(latents):
            self._channels[rows, :4] = source
        made = self._denoiser(self._channels, self._timesteps(), self._text)
        without_text, with_text = made[: self._guided], made[self._guided : 2 * self._guided]
        guided = (without_text + self._scales * (with_text - without_text)).to(made.dtype)
        return list(torch.cat([guided, made[2 * self._guided : self._count]]).split(1))

    def _halves(self, each: torch.Tensor) -> list[tuple[slice, torch.Tensor]]:
        """Return where the rows of all paintings go: those of guided ones twice."""
        return [
            (slice(0, self._guided), each[: self._guided]),
            (slice(self._guided, self._count), each),
        ]

    def _timesteps(self) -> torch.Tensor:
        """Return the timestep of each row."""
        times = [float(each.timestep) for each in self.paintings]
        filled = times[: self._guided] + times
        filled += [0.0] * (len(self._channels) - self._count)
        return self._on_device(filled)

    def _on_device(self, numbers: list[float]) -> torch.Tensor:
        """Copy the numbers without waiting for what the device is doing."""
        host = torch.tensor(numbers, dtype=torch.float32, pin_memory=self._channels.is_cuda)
        return host.to(self._channels.device, non_blocking=True)
