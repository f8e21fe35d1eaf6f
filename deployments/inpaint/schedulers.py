"""The schedulers a request can name, and the steps one picture takes with its own copy of one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from deployments.config import SchedulerName
from deployments.errors import InvalidInput

CLASSES: dict[SchedulerName, tuple[Any, dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_ancestral": (EulerAncestralDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": (UniPCMultistepScheduler, {}),
    "lcm": (LCMScheduler, {}),
}


@dataclass(frozen=True, eq=False)
class Schedule:
    """A scheduler of one picture's own, set to its steps. `timesteps` are those that are left at its strength, each [].

    Multistep schedulers keep the history of *their* picture, so one is never shared. Everything that a step looks up
    lies on the CPU: on a GPU a single number that is read back would drain the queue. Latents, noise and predictions
    are [1, 4, h, w].
    """

    scheduler: Any
    timesteps: tuple[torch.Tensor, ...]
    options: dict[str, Any]

    def start(self, noise: torch.Tensor, picture: torch.Tensor | None = None) -> torch.Tensor:
        """Return the first latents: noise alone, or those of a picture under the noise of the first timestep."""
        if picture is None:
            return noise * self.scheduler.init_noise_sigma
        return self.scheduler.add_noise(picture, noise, self.timesteps[0][None])

    def step(self, prediction: torch.Tensor, index: int, latents: torch.Tensor) -> torch.Tensor:
        """Return the latents after step `index`, from the UNet's prediction for them."""
        return self.scheduler.step(prediction, self.timesteps[index], latents, **self.options, return_dict=False)[0]


def named(base: Any, name: SchedulerName | None) -> Any:
    """Return a new scheduler of that name with the noise levels of the checkpoint's own, `base`.

    Without a name it is a copy of `base`.
    """
    if name is None:
        return copy.deepcopy(base)
    cls, options = CLASSES[name]
    return cls.from_config(base.config, **options)


def schedule(base: Any, name: str | None, steps: int, strength: float, generator: torch.Generator) -> Schedule:
    """Return the schedule of one picture. Raises InvalidInput, naming the field, where the scheduler cannot do it."""
    if name is not None and name not in CLASSES:
        raise InvalidInput(f"`scheduler` must be one of {', '.join(CLASSES)}.", "scheduler")
    scheduler = named(base, name)
    try:
        scheduler.set_timesteps(steps, device="cpu")
    except ValueError:
        highest = scheduler.config.get("original_inference_steps", len(scheduler))
        message = f"`num_inference_steps` must be at most {highest} with this scheduler."
        raise InvalidInput(message, "num_inference_steps") from None
    # Which steps a strength takes: StableDiffusionInpaintPipeline.get_timesteps.
    first = (steps - min(int(steps * strength), steps)) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    timesteps = tuple(scheduler.timesteps[first:])
    if int(steps * strength) < 1:
        message = f"`strength` must be at least 1/{steps}: {strength:g} leaves none of the {steps} steps."
        raise InvalidInput(message, "strength")
    # Only some schedulers draw noise of their own, and only DDIM's family knows eta.
    options = {"generator": generator, "eta": 0.0}
    return Schedule(scheduler, timesteps, {key: options[key] for key in options.keys() & _accepted(scheduler.step)})


def _accepted(step: Callable[..., Any]) -> Set[str]:
    return inspect.signature(step).parameters.keys()
