"""The pocket models on the device under test: the GPU, or the CPU with RETOUCH_TEST_DEVICE=cpu, as a rehearsal.

Nothing here or in the tests beside it needs Ray or a plugin of pytest's.
"""

import os

import numpy as np
import pytest
import torch

from deployments.config import InpaintArgs, InpaintSettings
from deployments.inpaint.engine import InpaintEngine
from deployments.inpaint.model import InpaintModel
from deployments.messages import InpaintRequest, PaintOptions, Square
from pocket import world


@pytest.fixture(scope="session", autouse=True)
def device():
    """Where the models run. TF32 is off: in the comparisons with other programs it would be most of the difference."""
    name = os.environ.get("RETOUCH_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here; RETOUCH_TEST_DEVICE=cpu rehearses these tests without one")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return name


@pytest.fixture
def on_gpu(device):
    if device != "cuda":
        pytest.skip("a CPU has no memory of its own that a share could be of")


@pytest.fixture(scope="session")
def model(device):
    return InpaintModel.load(InpaintArgs(device=device))


@pytest.fixture
def new_engine(model):
    """Starts engines, and ends them with the test."""
    engines = []

    def start(its_model=None, settings=None, on_step=None, **args):
        settings = InpaintSettings(**{"max_rows": 16, "max_pictures": 100, **(settings or {})})
        args = InpaintArgs(**{"execution": "eager", "row_threads": 1, **args})
        engines.append(InpaintEngine(its_model or model, args, settings, on_step))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def scene():
    return world.compose(world.evaluation_rng(9, 1), (320, 256))


@pytest.fixture
def request_(model):
    rng = np.random.default_rng(0)
    side = model.native_px
    image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side // 2, side // 8 : side // 2] = True
    options = PaintOptions(negative_prompt="blurry", num_inference_steps=6, guidance_scale=3.0, strength=1.0)
    return InpaintRequest((Square(image, mask),), "a lemon", (7,), options)


@pytest.fixture
def latents_of():
    """The final latents of some requests that an engine paints at the same time."""

    def run(engine, *requests):
        jobs = [engine.submit(request) for request in requests]
        for job in jobs:
            job.future.result(300)
        return [job.paintings[0].latents for job in jobs]

    return run
