"""Kill every replica of a model at ten moments of an edit: the edit must come out as if nothing had happened."""

import time

import numpy as np
import pytest

from deployments.messages import EditRequest

pytestmark = pytest.mark.faults

STEPS = 40
MOMENTS = 10


def pending_edit(handle, scene, number):
    """An edit of a picture that no cache knows, so that no stage is spared."""
    image = scene.image.copy()
    image[0, 0] = number
    return handle.edit.remote(EditRequest(image, "a lemon", target="the cactus", seed=1, num_inference_steps=STEPS))


@pytest.fixture(scope="module")
def undisturbed(handle, scene):
    """The edited pixels, and the seconds an edit takes once everything is warm."""
    pending_edit(handle, scene, 255).result(timeout_s=120)
    start = time.monotonic()
    result = pending_edit(handle, scene, 254).result(timeout_s=120)
    return result, time.monotonic() - start


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("deployment", ["sam", "clip", "inpaint"])
@pytest.mark.usefixtures("settled")
def test_a_kill_at_any_moment_costs_nothing(handle, scene, undisturbed, kill_replicas, deployment, moment):
    expected, duration_s = undisturbed
    pending = pending_edit(handle, scene, ["sam", "clip", "inpaint"].index(deployment) * MOMENTS + moment)
    time.sleep(duration_s * moment / MOMENTS)
    assert kill_replicas(deployment) == 1
    result = pending.result(timeout_s=120)
    assert (result.mask == expected.mask).all()
    assert result.changed_outside_px == 0
    changed = np.abs(result.edits[0].image[result.mask].astype(int) - expected.edits[0].image[expected.mask])
    assert changed.max() <= 2  # steps in another row bucket may round differently
