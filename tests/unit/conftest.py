"""Unit tests start no Ray: whoever tries to is told so. Stages for the driver, small real objects behind handles."""

import asyncio
import inspect

import numpy as np
import pytest
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import RayServeException, RequestCancelledError

from deployments.driver.server import Driver
from deployments.messages import (
    EditRequest,
    Embedding,
    HeatMap,
    Masks,
    PackedMask,
    Painted,
    Preview,
    Progress,
    ScoreRequest,
    Search,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
POINT = (40, 30)


class Response:
    """Stands for Serve's DeploymentResponse: runs at once, can be awaited, passed on and cancelled.

    As in Serve, giving up waiting does not stop it; only `cancel` does. A call whose argument cannot be had, because
    the call that makes it has failed, reaches no replica; `cancel` raises that failure, long after it has been handled.
    """

    def __init__(self, call, args):
        self.cancelled = False
        self.unassigned = None
        self.task = asyncio.ensure_future(self._run(call, args))

    async def _result(self):
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if self.cancelled:  # what Serve raises to those who wait for a response that was cancelled
                raise RequestCancelledError("x") from None
            raise

    async def _run(self, call, args):
        return await call(*await self._resolved(args))

    async def _resolved(self, args):
        try:
            return [await arg.task if isinstance(arg, Response) else arg for arg in args]
        except ActorDiedError as error:
            self.unassigned = RayServeException(f"an upstream call failed: {error}")
            raise self.unassigned from None

    def __await__(self):
        return self._result().__await__()

    def cancel(self):
        if self.unassigned is not None:
            raise self.unassigned
        self.cancelled = not self.task.done()
        self.task.cancel()


class Stream:
    """Stands for Serve's DeploymentResponseGenerator."""

    def __init__(self, items):
        self.items = items
        self.cancelled = False

    def __aiter__(self):
        return self.items

    def cancel(self):
        self.cancelled = True


class Handle:
    """Calls the methods of `stage`; keeps every response it gave out."""

    def options(self, *, stream=False, session_id=None):
        assert stream or session_id
        self.sessions.append(session_id)
        return self

    def __init__(self, stage):
        self.stage = stage
        self.responses = []
        self.sessions = []

    def __getattr__(self, name):
        method = getattr(self.stage, name)

        class Method:
            @staticmethod
            def remote(*args):
                streams = inspect.isasyncgenfunction(method)
                self.responses.append(Stream(method(*args)) if streams else Response(method, args))
                return self.responses[-1]

        return Method


class Clip:
    found = True

    def __init__(self):
        self.requests = []
        self.started = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def locate(self, request):
        """Every phrase is hot around POINT, but for a dog at its right and coins at two places."""
        self.started.set()
        self.requests.append(request)
        await self.may_answer.wait()
        return Search(tuple(self._heat_map(phrase) for phrase in request.phrases))

    def _heat_map(self, phrase):
        heat = np.zeros((8, 10), np.float32)
        if phrase == "dog":
            heat[2:4, 7:9] = 0.9
            return HeatMap(phrase, (80, 30), 0.9, 2.0, self.found, heat)
        if phrase == "coin":
            heat[1:3, 1:3] = 0.9
            heat[5:7, 7:9] = 0.8
            return HeatMap(phrase, (20, 20), 0.9, 2.0, self.found, heat)
        heat[2:4, 3:5] = 0.9
        return HeatMap(phrase, POINT, 0.9, 2.0, self.found, heat)

    async def score(self, request):
        return float(request.image.mean()) / 255

    async def score_views(self, request):
        return [await self.score(ScoreRequest(view, request.text, request.param)) for view in request.views]


class Sam:
    def __init__(self):
        self.encoded = asyncio.Event()
        self.lost_encodings = 0
        self.images = []
        self.requests = []
        self.failures = []

    async def encode(self, image):
        self.encoded.set()
        self.images.append(image)
        if self.lost_encodings:
            self.lost_encodings -= 1
            raise ActorDiedError()
        return Embedding(np.zeros((1, 2, 2), np.float32), image.shape[:2], image.shape[:2])

    async def segment(self, embedding, request):
        """For each prompt an empty mask and a square around its first point, or its box."""
        if self.failures:
            raise self.failures.pop(0)
        self.requests.append(request)
        masks = [mask for prompt in request.prompts for mask in self._masks(embedding.source_size, prompt)]
        small = np.stack([mask[::2, ::2] for mask in masks])
        numbers = tuple(number for number in range(len(request.prompts)) for _ in range(2))
        return Masks(tuple(map(PackedMask.of, masks)), small, np.tile([0.9, 0.8], len(numbers) // 2), numbers)

    async def cut_out(self, image, request):
        return await self.segment(await self.encode(image), request)

    def _masks(self, size, prompt):
        mask = np.zeros(size, bool)
        if prompt.box_xyxy:
            left, top, right, bottom = prompt.box_xyxy
            mask[top:bottom, left:right] = True
        else:
            x, y = prompt.points_xy[0]
            mask[max(0, y - 10) : y + 10, max(0, x - 10) : x + 10] = True
        mask[:3, :3] = True  # a speck that has nothing to do with the point
        return np.zeros_like(mask), mask


class Inpaint:
    def __init__(self):
        self.requests = []
        self.failures = []
        self.fails_at = 2
        self.previews = []
        self.flagged = ()
        self.started = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def inpaint(self, request):
        self.started.set()
        self.requests.append(request)
        await self.may_answer.wait()
        images = tuple(
            np.stack([np.full(square.image.shape, seed % 256, np.uint8) for seed in request.seeds])
            for square in request.squares
        )
        scale = 3.0 if request.options.guidance_scale is None else request.options.guidance_scale
        return Painted(images, scale, tuple(seed in self.flagged for seed in request.seeds), "traced", "float32")

    async def inpaint_stream(self, request, previews):
        """Each preview is grey, as light as its step is late."""
        self.previews.append(previews)
        steps = request.options.num_inference_steps
        shown = {round(steps * (number + 1) / (previews + 1)) for number in range(previews)}
        for step in range(1, steps + 1):
            if self.failures and step == self.fails_at:
                raise self.failures.pop(0)
            yield Progress("inpaint", step, steps)
            for number, square in enumerate(request.squares if step in shown else ()):
                yield Preview(number, step, np.full(square.image.shape, step, np.uint8))
        yield await self.inpaint(request)


class Graph:
    def __init__(self, metrics):
        self.clip, self.sam, self.inpaint = Handle(Clip()), Handle(Sam()), Handle(Inpaint())
        self.driver = Driver(self.clip, self.sam, self.inpaint, metrics=metrics)

    image = IMAGE
    point = POINT

    def edit(self, **fields):
        return self.driver.edit(
            EditRequest(**{"image": IMAGE, "prompt": "a lemon", "target": "x", "seed": 200} | fields)
        )

    @property
    def responses(self):
        return self.clip.responses + self.sam.responses + self.inpaint.responses


@pytest.fixture
async def graph(metrics):
    return Graph(metrics)


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    import ray

    def refuse(*args, **kwargs):
        raise AssertionError("a unit test tried to start Ray")

    monkeypatch.setattr(ray, "init", refuse)
