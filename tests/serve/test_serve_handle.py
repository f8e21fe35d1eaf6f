"""The graph over real Ray, through its Python handle."""

import concurrent.futures
import time

import numpy as np
import pytest

from deployments.errors import InvalidInput, TargetNotFound
from deployments.messages import EditRequest, LocateRequest, ScoreRequest
from deployments.pixels.masks import iou as overlap

STEPS = 6


def edit(handle, scene, **fields):
    request = EditRequest(
        **{"image": scene.image, "prompt": "a lemon", "target": "the cactus", "seed": 1, "num_inference_steps": STEPS}
        | fields
    )
    return handle.edit.remote(request).result(timeout_s=120)


def test_an_edit_repaints_the_target_and_nothing_else(handle, scene, masks):
    result = edit(handle, scene, num_inference_steps=20)
    x, y = result.location.point_xy
    assert masks["cactus"][y, x]
    picture = result.edits[0].image
    assert picture.shape == scene.image.shape
    assert (picture[~result.mask] == scene.image[~result.mask]).all()
    assert result.changed_outside_px == 0
    assert (masks["cactus"] & result.mask).sum() > 0.95 * masks["cactus"].sum()
    assert (picture[masks["cactus"]] != scene.image[masks["cactus"]]).any(axis=-1).mean() > 0.8
    assert result.edits[0].score.region_after > result.edits[0].score.region_before
    assert result.num_inference_steps == 20
    assert set(result.timings_s) == {"locate", "segment", "inpaint", "score", "total"}


def test_the_same_seed_paints_the_same_picture(handle, scene):
    first, again, other = (edit(handle, scene, seed=seed).edits[0] for seed in (5, 5, 6))
    assert (first.image == again.image).all()
    assert (first.image != other.image).any()


def test_several_pictures_come_ranked_with_their_seeds(handle, scene):
    result = edit(handle, scene, n=3, seed=10)
    assert sorted(one.seed for one in result.edits) == [10, 11, 12]
    scores = [one.score.region_after for one in result.edits]
    assert scores == sorted(scores, reverse=True)
    alone = edit(handle, scene, seed=11).edits[0].image.astype(int)
    among = next(one.image for one in result.edits if one.seed == 11).astype(int)
    assert np.abs(alone - among).max() <= 2  # another batch size may round differently


@pytest.mark.parametrize("name", ["red apple", "cactus", "dog"])
def test_locate_points_at_what_is_named(handle, scene, masks, name):
    location = handle.locate.remote(LocateRequest(scene.image, f"the {name}")).result(timeout_s=60)
    x, y = location.point_xy
    assert location.found
    assert masks[name][y, x]
    assert location.heat.min() >= 0
    assert location.heat.max() <= 1


def test_every_candidate_can_be_repainted(handle):
    """Of two dogs each is one."""
    from pocket import world
    from pocket.vocabulary import BY_NAME

    pair = world.compose(world.evaluation_rng(9, 2), (320, 256), [BY_NAME["dog"], BY_NAME["dog"]], "graded")
    location = handle.locate.remote(LocateRequest(pair.image, "the dog")).result(timeout_s=60)
    assert len(location.candidates) > 1
    for k in (0, 1):
        result = edit(handle, pair, target="the dog", candidate=k)
        assert result.location.chosen == k
        mask = location.candidates[k].mask.unpack()
        assert max(overlap(mask, placed.mask) for placed in pair.placed) > 0.75
        assert (result.mask & mask).sum() == mask.sum()


def test_what_is_to_be_avoided_is_not_taken(handle, scene, masks):
    def hottest(avoid):
        location = handle.locate.remote(LocateRequest(scene.image, "the fruit", avoid=avoid)).result(timeout_s=60)
        return location.margin, location.point_xy

    margin, (x, y) = hottest("")
    assert masks["red apple"][y, x]
    assert hottest("red apple")[0] < margin


def test_points_and_masks_say_where_without_words(handle, scene, masks):
    y, x = (int(values.mean()) for values in np.nonzero(masks["dog"]))
    result = edit(handle, scene, target=None, points=((x, y),))
    assert overlap(result.location.candidates[0].mask.unpack(), masks["dog"]) > 0.7
    drawn = np.zeros(scene.image.shape[:2], bool)
    drawn[20:60, 30:90] = True
    result = edit(handle, scene, target=None, mask=drawn)
    assert (result.mask == drawn).all()
    assert (result.edits[0].image[~drawn] == scene.image[~drawn]).all()


def test_a_removal_leaves_the_ground(handle, scene, masks):
    dog = next(placed for placed in scene.placed if placed.sticker.name == "dog")
    request = EditRequest(scene.image, target="the dog", mode="remove")
    result = handle.edit.remote(request).result(timeout_s=60)
    picture, bare = result.edits[0].image.astype(int), scene.without(dog).astype(int)
    assert result.changed_outside_px == 0
    assert np.abs(picture - bare)[masks["dog"]].mean() < 10 < np.abs(scene.image - bare)[masks["dog"]].mean()
    assert result.improved


def test_an_instruction_says_it_all(handle, scene, masks):
    result = edit(handle, scene, target=None, prompt="replace the cactus with a lemon")
    assert (result.mask & masks["cactus"]).sum() > 0.9 * masks["cactus"].sum()


def test_score_prefers_the_true_text(handle, scene):
    dog, guitar = (
        handle.score.remote(ScoreRequest(scene.image, text)).result(timeout_s=60) for text in ("a dog", "a guitar")
    )
    assert -1 <= guitar < dog <= 1


def test_what_is_not_there_is_not_repainted(handle, scene):
    with pytest.raises(TargetNotFound) as caught:
        edit(handle, scene, target="the sailboat")
    location = caught.value.location
    assert (location.target, location.phrase) == ("the sailboat", "sailboat")
    assert 0 <= location.confidence < 0.5
    assert location.heat is not None
    assert location.candidates


def test_a_bad_value_is_a_typed_error(handle, scene):
    with pytest.raises(InvalidInput, match="num_inference_steps"):
        edit(handle, scene, num_inference_steps=0)


def test_the_trace_shows_what_overlaps(handle, scene):
    image = scene.image.copy()
    image[0, 0] ^= 1  # a picture whose embedding nobody remembers
    result = edit(handle, scene, image=image)
    spans = {name: [span for span in result.trace if span.name == name] for name in {s.name for s in result.trace}}
    # A small thing is encoded and cut out a second time, from nearby.
    (encode, *_), (locate,), (segment, *_) = spans["sam.encode"], spans["clip.locate"], spans["sam.segment"]
    assert encode.start_s < locate.end_s
    assert locate.start_s < encode.end_s
    assert segment.start_s >= max(encode.end_s, locate.end_s)
    # The picture as it was is scored while it is being repainted.
    (steps,) = spans["inpaint.steps"]
    assert min(span.start_s for span in spans["score"]) < steps.end_s
    assert result.timings_s["score"] < result.timings_s["total"] - result.timings_s["inpaint"]


def test_strength_and_scheduler_reach_the_painter(handle, scene):
    plain = edit(handle, scene).edits[0].image
    for fields in ({"strength": 0.5}, {"scheduler": "euler_ancestral"}):
        assert (edit(handle, scene, **fields).edits[0].image != plain).any()
    with pytest.raises(InvalidInput, match="strength"):
        edit(handle, scene, strength=0.05)


def test_concurrent_edits_do_not_mix(handle, scene, masks):
    targets = ["the cactus", "the dog", "the red apple", "the cactus", "the dog", "the red apple"]
    with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
        results = list(pool.map(lambda target: edit(handle, scene, target=target), targets))
    for target, result in zip(targets, results, strict=True):
        x, y = result.location.point_xy
        assert masks[target.removeprefix("the ")][y, x]
    for first, second in zip(results[:3], results[3:], strict=True):
        assert (first.mask == second.mask).all()


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("deployment", ["clip", "sam", "inpaint"])
def test_a_killed_replica_costs_no_request(handle, scene, kill_replicas, deployment):
    image = scene.image.copy()
    image[0, 0] = np.random.default_rng().integers(256, size=3)  # a picture that no stage remembers
    pending = handle.edit.remote(EditRequest(image, "a lemon", target="the cactus", seed=1, num_inference_steps=40))
    time.sleep(0.2)
    assert kill_replicas(deployment) == 1
    assert pending.result(timeout_s=120).changed_outside_px == 0
