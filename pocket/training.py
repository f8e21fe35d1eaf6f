"""What the four trainings share: the loop, the learning rate, the average of the weights, checkpoints.

A training is resumed by starting it again: it goes on from the last checkpoint in its work folder.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

WEIGHTS = Path(__file__).parent / "weights"
CHECKPOINT_EVERY_S = 120.0
LOG_EVERY_S = 30.0

Loss = Callable[[int], tuple[torch.Tensor, dict[str, float]]]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: `learning_rate` is reached after `warmup` steps and then falls as a cosine."""

    steps: int
    learning_rate: float
    warmup: int = 100
    final_share: float = 0.02
    weight_decay: float = 0.01
    ema: float = 0.999

    def learning_rate_at(self, step: int) -> float:
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        cosine = (1 + math.cos(math.pi * min(1.0, progress))) / 2
        return self.learning_rate * (self.final_share + (1 - self.final_share) * cosine)


def arguments(description: str, steps: int) -> argparse.Namespace:
    """The command line of a training."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--learning-rate", type=float, help="at its highest")
    parser.add_argument("--start", type=Path, help="begin with the weights in this folder, not with random ones")
    parser.add_argument("--work", type=Path, default=Path("outputs/pocket"), help="checkpoints go here")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the finished weights go here")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def schedule(usual: Schedule, options: argparse.Namespace) -> Schedule:
    """The usual one, with what the command line says otherwise."""
    return replace(usual, steps=options.steps, learning_rate=options.learning_rate or usual.learning_rate)


class Trainer:
    """Fits `model` to the losses of numbered batches; `average` is the model to ship."""

    def __init__(self, name: str, model: torch.nn.Module, schedule: Schedule, work: Path) -> None:
        self.name = name
        self.model = model
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.schedule = schedule
        self.checkpoint = work / f"{name}.checkpoint.pt"
        self.optimizer = torch.optim.AdamW(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            betas=(0.9, 0.99),
        )
        self.step = 0
        if self.checkpoint.exists():
            self._load()

    def fit(self, loss: Loss, save: Callable[[torch.nn.Module], None]) -> None:
        """Runs to the end of the schedule; `loss(step)` draws batch number `step`. `save` writes `average`."""
        logged = saved = time.monotonic()
        since = self.step
        while self.step < self.schedule.steps:
            figures = self._one_step(loss)
            now = time.monotonic()
            if now - logged > LOG_EVERY_S:
                rate = (self.step - since) / (now - logged)
                self._log(figures, rate)
                logged, since = now, self.step
            if now - saved > CHECKPOINT_EVERY_S:
                self._save()
                save(self.average)
                saved = now
        self._save()
        save(self.average)
        print(f"{self.name}: done after {self.step} steps", flush=True)

    def _one_step(self, loss: Loss) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate_at(self.step)
        value, figures = loss(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._average()
        return {"loss": value.item(), **figures}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)
        for kept, current in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(current)

    def _log(self, figures: dict[str, float], steps_per_s: float) -> None:
        left = (self.schedule.steps - self.step) / max(steps_per_s, 1e-9) / 60
        text = "  ".join(f"{key} {value:.4f}" for key, value in figures.items())
        print(
            f"{self.name} {self.step}/{self.schedule.steps}  {text}  {steps_per_s:.2f} steps/s  {left:.0f} min left",
            flush=True,
        )

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _load(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        print(f"{self.name}: going on from step {self.step}", flush=True)
