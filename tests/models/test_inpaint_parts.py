"""The schedulers of a checkpoint: those that are accepted are exactly those that work."""

import contextlib
import io

import diffusers
import pytest
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from deployments.errors import InvalidInput
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.parts import SCHEDULERS


def schedulers():
    """Every scheduler of diffusers that can be used here; some want a package that is not installed."""
    found = (getattr(diffusers, name) for name in dir(diffusers) if name.endswith("Scheduler"))
    return [cls for cls in found if isinstance(cls, type) and issubclass(cls, SchedulerMixin)]


@pytest.fixture
def swap(pipeline):
    """Returns what gives the pipeline a fresh scheduler of another class, with the noise levels of its own."""
    own = pipeline.scheduler

    def put(cls):
        with contextlib.redirect_stdout(io.StringIO()):  # one of them prints
            pipeline.scheduler = cls.from_config(own.config)
        return pipeline

    yield put
    pipeline.scheduler = own


def works(cls, swap, request, stock, latents_of, close):
    """Whether pictures from noise and from another picture, and a preview of each, come out as the stock pipeline's."""
    for one in (request, request.with_options(strength=0.5)):
        expected = stock(swap(cls), one)
        model = InpaintModel(swap(cls))
        if not close(latents_of(model, one), expected):
            return False
        (painting,) = model.prepare(one, previews=1)
        while not painting.finished:
            painting.advance(torch.zeros_like(painting.latents))
        first, last = painting.schedule.timesteps[0], painting.schedule.timesteps[-1]
        if first <= last:  # an inverse scheduler leads from the picture to noise
            return False
    return True


FAILURES = (AttributeError, IndexError, InvalidInput, KeyError, NotImplementedError, TypeError, ValueError)


@pytest.mark.parametrize("cls", schedulers(), ids=lambda cls: cls.__name__)
@pytest.mark.filterwarnings("ignore")
def test_the_schedulers_that_are_accepted_are_those_that_work(cls, swap, request_, stock, latents_of, close):
    try:
        worked = works(cls, swap, request_, stock, latents_of, close)
    except FAILURES:
        worked = False
    assert worked == (cls.__name__ in SCHEDULERS)


def test_every_scheduler_that_is_accepted_was_tried():
    assert {cls.__name__ for cls in schedulers()} >= SCHEDULERS
