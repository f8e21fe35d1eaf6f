"""What the four trainings share: the loop, the learning rate, the average of the weights, checkpoints.

A training is resumed by starting it again: it goes on from the last checkpoint in its work folder.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

WEIGHTS = Path(__file__).parent / "weights"
CHECKPOINT_EVERY_S = 120.0
LOG_EVERY_S = 15.0
WARM_UP = 5  # steps before one is recorded

Model = TypeVar("Model", bound=torch.nn.Module)
Loss = Callable[[int], tuple[torch.Tensor, Mapping[str, float | torch.Tensor]]]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: `learning_rate` is reached after `warmup` steps and then falls as a cosine.

    A training ends after `steps`, or after `seconds` where they are given: borrowed machines are had by the minute.
    """

    steps: int
    learning_rate: float
    warmup: int = 100
    final_share: float = 0.02
    weight_decay: float = 0.01
    ema: float = 0.999
    seconds: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Return how much of the training is over, from 0 to 1 and beyond."""
        return step / self.steps if self.seconds is None else seconds / self.seconds

    def learning_rate_at(self, step: int, progress: float) -> float:
        """Return the learning rate of a step, and of how much of the training is over by then."""
        cosine = (1 + math.cos(math.pi * min(1.0, progress))) / 2
        fallen = self.learning_rate * (self.final_share + (1 - self.final_share) * cosine)
        return fallen * min(1.0, (step + 1) / self.warmup)


def arguments(description: str, steps: int) -> argparse.Namespace:
    """The command line of a training."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--seconds", type=float, help="end after so long, whatever the number of steps")
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
    learning_rate = options.learning_rate or usual.learning_rate
    return replace(usual, steps=options.steps, learning_rate=learning_rate, seconds=options.seconds)


def in_half_precision(model: Model) -> Model:
    """Return a copy of a model as it is stored, in half the bytes. It is loaded in any precision."""
    return copy.deepcopy(model).half()


class Trainer:
    """Fits `model` to the losses of numbered batches; `average` is the model to ship.

    Batch number k of stream s is drawn after torch's generators were seeded with both numbers. On a GPU a step is
    recorded once as a CUDA graph and then played back, since launching its thousands of small operators one by one
    takes longer than they do: what the loss draws it has to draw there, and its Python runs a few times only.
    """

    def __init__(
        self, name: str, model: torch.nn.Module, schedule: Schedule, work: Path, stream: int = 0, record: bool = False
    ) -> None:
        self.name = name
        self.model = model
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.schedule = schedule
        self.checkpoint = work / f"{name}.checkpoint.pt"
        self._stream = stream
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._record = record and trained[0].is_cuda
        self._recorded: torch.cuda.CUDAGraph | None = None
        self._made: Mapping[str, float | torch.Tensor] = {}
        self._learning_rate = torch.zeros((), device=trained[0].device)
        self.optimizer = torch.optim.AdamW(
            trained,
            lr=self._learning_rate if self._record else schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            betas=(0.9, 0.99),
            fused=trained[0].is_cuda,
            capturable=self._record,
        )
        self.step = 0
        self.seconds = 0.0
        if self.checkpoint.exists():
            self._load()

    @property
    def finished(self) -> bool:
        """Whether the schedule is over."""
        return self.schedule.progress(self.step, self.seconds) >= 1

    def fit(self, loss: Loss, save: Callable[[torch.nn.Module], None]) -> None:
        """Run to the end of the schedule; `loss(step)` draws batch number `step`. `save` writes `average`."""
        before = self.seconds
        started = logged = saved = time.monotonic()
        since = self.step
        while not self.finished:
            figures = self._one_step(loss)
            now = time.monotonic()
            self.seconds = before + now - started
            if now - logged > LOG_EVERY_S:
                self._log(figures, (self.step - since) / (now - logged))
                logged, since = now, self.step
            if now - saved > CHECKPOINT_EVERY_S:
                self._save()
                save(self.average)
                saved = now
        self._save()
        save(self.average)
        print(f"{self.name}: done after {self.step} steps, {self.seconds:.0f} s", flush=True)

    def _one_step(self, loss: Loss) -> Mapping[str, float | torch.Tensor]:
        self._learning_rate.fill_(
            self.schedule.learning_rate_at(self.step, self.schedule.progress(self.step, self.seconds))
        )
        if not self._record:
            for group in self.optimizer.param_groups:
                group["lr"] = self._learning_rate.item()
        torch.manual_seed(int(np.random.SeedSequence([self._stream, self.step]).generate_state(1)[0]))
        if self._record and self._recorded is None and self.step >= WARM_UP:
            self._recorded = self._recording(loss)
        if self._recorded is not None:
            self._recorded.replay()
        elif self._record:
            self._made = self._aside(loss)
        else:
            self._made = self._taken(loss)
        self.step += 1
        self._average()
        return self._made

    def _taken(self, loss: Loss) -> Mapping[str, float | torch.Tensor]:
        """Take a step; return what is to be logged of it."""
        self.optimizer.zero_grad(set_to_none=True)
        value, figures = loss(self.step)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return {"loss": value.detach(), **figures}

    def _aside(self, loss: Loss) -> Mapping[str, float | torch.Tensor]:
        """Take a step on a stream of its own, as is asked for before a recording."""
        aside, current = torch.cuda.Stream(), torch.cuda.current_stream()
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            made = self._taken(loss)
        current.wait_stream(aside)
        return made

    def _recording(self, loss: Loss) -> torch.cuda.CUDAGraph | None:
        """Return a step as a CUDA graph, which writes into `_made`; None, and no other try, where that fails."""
        graph = torch.cuda.CUDAGraph()
        try:
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                self._made = self._taken(loss)
        except RuntimeError as error:
            print(f"{self.name}: a step cannot be recorded, so its operators are launched one by one: {error}")
            self._record = False
            return None
        return graph

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        for kept, current in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(current)

    def _log(self, figures: Mapping[str, float | torch.Tensor], steps_per_s: float) -> None:
        over = self.schedule.progress(self.step, self.seconds)
        left = self.seconds * (1 / over - 1) / 60
        text = "  ".join(f"{key} {float(value):.4f}" for key, value in figures.items())
        print(f"{self.name} {self.step}  {text}  {steps_per_s:.2f} steps/s  {left:.1f} min left", flush=True)

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
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
        self.seconds = state.get("seconds", 0.0)
        print(f"{self.name}: going on from step {self.step}", flush=True)
