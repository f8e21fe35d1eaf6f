"""Which shapes are recorded, kept and given up. Recording itself needs a GPU: tests/gpu."""

import logging
from types import SimpleNamespace

import pytest
import torch

from deployments.errors import SettingError
from deployments.inpaint.cuda_graphs import GraphedForward, RecordingFailed
from deployments.inpaint.denoiser import Denoiser


class Calls:
    """A forward and a recorder that note what they are asked for. What is played back is ten times as much."""

    def __init__(self, failing=()):
        self.failing = failing
        self.plain = []
        self.recorded = []

    def forward(self, channels, timesteps, text):
        self.plain.append(len(channels))
        return channels.sum() + timesteps.sum() + text.sum()

    def record(self, forward, inputs):
        rows = len(inputs[0])
        if rows in self.failing:
            raise RecordingFailed("CUDA out of memory")
        self.recorded.append(rows)
        return lambda *inputs: 10 * sum(each.sum() for each in inputs)


def inputs(rows, side=8, tokens=77, value=1.0):
    return torch.full((rows, 9, side, side), value), torch.zeros(rows), torch.zeros(rows, tokens, 4)


def test_each_shape_is_recorded_once():
    calls = Calls()
    graphed = GraphedForward(calls.forward, calls.record)
    shapes = [inputs(2), inputs(4), inputs(2, side=16), inputs(2, tokens=154)]
    for example in (*shapes, *shapes):
        graphed(*example)
    assert calls.recorded == [2, 4, 2, 2]
    assert graphed.recordings == 4
    assert calls.plain == []


def test_what_is_played_back_has_the_inputs_of_its_own_call():
    calls = Calls()
    graphed = GraphedForward(calls.forward, calls.record)
    first, second = (graphed(*inputs(2, value=value)) for value in (1.0, 3.0))
    assert (float(first), float(second)) == (10 * 2 * 9 * 64, 30 * 2 * 9 * 64)


def test_the_shape_that_was_not_used_for_longest_is_dropped():
    calls = Calls()
    graphed = GraphedForward(calls.forward, calls.record, most=2)
    for rows in (2, 4, 2, 8, 2, 4):
        graphed(*inputs(rows))
    assert calls.recorded == [2, 4, 8, 4]


def test_a_shape_without_memory_to_record_it_is_run_plainly_and_said_once(caplog):
    calls = Calls(failing=(64,))
    graphed = GraphedForward(calls.forward, calls.record)
    with caplog.at_level(logging.WARNING):
        made = [float(graphed(*inputs(rows))) for rows in (64, 64, 2)]
    assert calls.plain == [64, 64]
    assert calls.recorded == [2]
    assert made == [64 * 9 * 64, 64 * 9 * 64, 10 * 2 * 9 * 64]
    (warning,) = caplog.messages
    assert "64 rows" in warning
    assert "CUDA out of memory" in warning


def test_a_warm_up_without_memory_fails_as_the_plain_call_would():
    def record(forward, inputs):
        raise torch.OutOfMemoryError("no room")

    graphed = GraphedForward(Calls().forward, record)
    with pytest.raises(torch.OutOfMemoryError):
        graphed(*inputs(2))
    with pytest.raises(torch.OutOfMemoryError):  # and is tried again the next time, when there may be room
        graphed(*inputs(2))


def test_graphs_are_refused_on_a_cpu():
    with pytest.raises(SettingError, match=r"graphed.*needs a CUDA GPU"):
        Denoiser(SimpleNamespace(device=torch.device("cpu")), "graphed")
