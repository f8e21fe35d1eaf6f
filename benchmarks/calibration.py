"""From margins to probabilities: what `presence_scale` and `presence_shift` of the CLIP deployment should be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize


def fit(present: Sequence[float], absent: Sequence[float]) -> tuple[float, float]:
    """Scale and shift so that sigmoid(scale * margin + shift) is the probability that the phrase's thing is there.

    Platt's scaling (Probabilistic Outputs for Support Vector Machines, 1999), with his targets short of 0 and 1, which
    keep the scale finite where the margins part cleanly. Both sides count the same, however many cases they have.
    """
    margins = np.concatenate([present, absent])
    is_there = np.arange(len(margins)) < len(present)
    targets = np.where(is_there, (len(present) + 1) / (len(present) + 2), 1 / (len(absent) + 2))
    weights = np.where(is_there, 0.5 / len(present), 0.5 / len(absent))

    def loss(parameters: np.ndarray) -> float:
        logits = parameters[0] * margins + parameters[1]
        return float((weights * (np.logaddexp(0, logits) - targets * logits)).sum())

    scale, shift = minimize(loss, np.array([1.0, 0.0])).x
    return float(scale), float(shift)
