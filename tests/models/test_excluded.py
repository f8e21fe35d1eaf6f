"""On the pocket CLIP: what a target excludes is not found, and the other one is."""

import pytest

from deployments.clip.model import ClipMatcher
from deployments.config import ClipSettings, ModelArgs
from deployments.language.targets import parse
from deployments.messages import SearchRequest
from pocket.evaluate import twins

SCENES = 24


@pytest.fixture(scope="module")
def found():
    """What the pocket CLIP finds for a target in a picture."""
    matcher = ClipMatcher.load(ModelArgs())

    def find(image, target):
        wording = parse(target)
        (search,) = matcher.locate([SearchRequest(image, (wording.phrase,), wording.avoid)], ClipSettings())
        return search.maps[0]

    return find


@pytest.mark.parametrize(
    "target",
    ["the {noun} that is not {colour}", "the non-{colour} {noun}", "any {noun} but the {colour} one"],
)
def test_the_colour_that_is_excluded_is_not_taken(found, target):
    right = 0
    for seed in range(SCENES):
        scene = twins(seed)
        excluded, other = scene.placed[:2]
        seen = found(scene.image, target.format(noun=excluded.sticker.noun, colour=excluded.sticker.colour))
        x, y = seen.point_xy
        assert not excluded.mask[y, x]
        right += seen.found and bool(other.mask[y, x])
    assert right >= SCENES - 1


def test_where_only_the_excluded_one_stands_nothing_is_found(found):
    refused = 0
    for seed in range(SCENES):
        scene = twins(seed)
        excluded, other = scene.placed[:2]
        target = f"the {excluded.sticker.noun} that is not {excluded.sticker.colour}"
        refused += not found(scene.without(other), target).found
    assert refused >= 0.85 * SCENES


def test_without_the_word_not_the_colour_is_taken(found):
    scene = twins(3)
    named = scene.placed[0]
    x, y = found(scene.image, f"the {named.sticker.name}").point_xy
    assert named.mask[y, x]
