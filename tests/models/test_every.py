"""All things of a name on the pocket models: each is found with a mask of its own, and nothing else is."""

import asyncio

import numpy as np
import pytest

from deployments.clip.model import ClipMatcher
from deployments.config import ClipSettings, DriverSettings, GroundingSettings, ModelArgs
from deployments.driver.calls import Calls
from deployments.driver.finder import Finder
from deployments.driver.jobs import complete_locate
from deployments.messages import LocateRequest
from deployments.pixels.masks import iou
from pocket import world
from pocket.evaluate import PHOTOGRAPHS, SIZES_WH
from pocket.vocabulary import BY_NAME

SCENES = 12
SHARE_FOUND = 0.9
SIZES = (0.12, 0.3)  # of a thing's longest side over the picture's shorter one: so many have room


class Method:
    """Stands for a handle's method: `remote` computes at once, and its answer may be an argument of another."""

    def __init__(self, call):
        self._call = call

    def remote(self, *arguments):
        future = asyncio.get_running_loop().create_future()
        future.set_result(self._call(*(one.result() if isinstance(one, asyncio.Future) else one for one in arguments)))
        return future


class Handle:
    def __init__(self, **methods):
        for name, call in methods.items():
            setattr(self, name, Method(call))

    def options(self, *, session_id):
        return self


@pytest.fixture(scope="module")
def find_all(pocket_sam):
    matcher, settings = ClipMatcher.load(ModelArgs()), ClipSettings()
    clip = Handle(locate=lambda request: matcher.locate([request], settings)[0])
    sam = Handle(
        encode=lambda image: pocket_sam.encode([image])[0],
        segment=pocket_sam.decode,
        cut_out=lambda image, request: pocket_sam.decode(pocket_sam.encode([image])[0], request),
    )

    async def find(image, target, **fields):
        sought = complete_locate(LocateRequest(image, target, **fields), DriverSettings())
        async with Calls(None, 1, None) as calls:
            return await Finder(clip, sam, calls, GroundingSettings()).find(sought)

    return lambda *args, **fields: asyncio.run(find(*args, **fields))


def drawn(seed):
    """A scene with two to five things of one name and two others; the name."""
    rng = world.evaluation_rng(77, seed)
    names = rng.permutation(sorted(BY_NAME))
    stickers = [BY_NAME[names[0]]] * int(rng.integers(2, 6)) + [BY_NAME[name] for name in names[1:3]]
    ground = world.GROUNDS[seed % len(world.GROUNDS)]
    return world.compose(rng, SIZES_WH[seed % len(SIZES_WH)], stickers, ground, PHOTOGRAPHS, SIZES), names[0]


def test_each_thing_of_a_name_has_a_mask_and_no_other_thing_has(find_all):
    there, found, wrong = 0, 0, 0
    for seed in range(SCENES):
        scene, name = drawn(seed)
        truths = [placed.mask for placed in scene.placed if placed.sticker.name == name]
        location = find_all(scene.image, f"the {name}", all=True)
        masks = [location.candidates[index].mask.unpack() for index in location.instances]
        there += len(truths)
        found += sum(any(iou(truth, mask) > 0.5 for mask in masks) for truth in truths)
        wrong += sum(all(iou(truth, mask) < 0.1 for truth in truths) for mask in masks)
        assert np.sum(masks, axis=0).max() == 1  # no pixel is in two of them
    assert found >= SHARE_FOUND * there
    assert wrong <= 1


def test_two_that_touch_have_masks_of_their_own(find_all):
    """From nearby SAM cuts out both as one again; then what was seen from afar stays."""
    ground = world.compose(world.evaluation_rng(100, 115), (420, 320), [BY_NAME["turtle"]], "graded", (), (0.25, 0.3))
    (turtle,) = ground.placed
    step = int(0.98 * np.ptp(np.flatnonzero(turtle.mask.any(axis=0))))
    step = -step if turtle.mask[:, -step - 1 :].any() else step
    second = np.roll(turtle.mask, step, axis=1)
    image = ground.image.copy()
    image[second] = np.roll(ground.image, step, axis=1)[second]
    location = find_all(image, "the turtles")
    masks = [location.candidates[index].mask.unpack() for index in location.instances]
    assert len(masks) == 2
    for truth in (turtle.mask, second & ~turtle.mask):
        assert max(iou(truth, mask) for mask in masks) > 0.5
