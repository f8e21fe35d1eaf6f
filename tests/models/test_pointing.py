"""Pointing on the pocket models: an answer holds what was pointed at, and a name has to be that of what lies there."""

import numpy as np
import pytest
from scipy import ndimage

from deployments.clip.model import ClipMatcher
from deployments.config import ClipSettings, GroundingSettings, ModelArgs
from deployments.grounding import pointing
from deployments.grounding.pointing import Pointer, Pointing
from deployments.messages import SearchRequest, SegmentRequest
from deployments.pixels.masks import iou
from pocket import world
from pocket.evaluate import PHOTOGRAPHS, SIZES_WH
from pocket.vocabulary import BY_NAME

SCENES = 12
CLEAR_PX = 16  # from any sticker: what lies farther away is bare ground


def drawn(seed):
    """A scene of two stickers or more, the ground of each kind in turn, and a generator for its points."""
    rng = world.evaluation_rng(31, seed)
    names = rng.permutation(sorted(BY_NAME))[:3]
    size = SIZES_WH[seed % len(SIZES_WH)]
    ground = world.GROUNDS[seed % len(world.GROUNDS)]
    return world.compose(rng, size, [BY_NAME[name] for name in names], ground, PHOTOGRAPHS), rng


def any_point(rng, mask):
    y, x = np.argwhere(mask)[int(rng.integers(int(mask.sum())))]
    return int(x), int(y)


def bare(scene):
    covered = np.any([placed.mask for placed in scene.placed], axis=0)
    return ~ndimage.binary_dilation(covered, iterations=CLEAR_PX)


@pytest.fixture(scope="module")
def answered(pocket_sam):
    """The best candidate for a pointer in a picture."""

    def ask(image, points=(), labels=None, box=None):
        case = Pointing(image, Pointer(tuple(points), labels or (1,) * len(points), box), GroundingSettings())
        asked = case.questions(case.whole)
        request = SegmentRequest(tuple(question.prompt for question in asked))
        masks = pocket_sam.decode(pocket_sam.encode([image])[0], request)
        return case.answers(case.whole, asked, masks)[0]

    return ask


def test_a_point_on_a_sticker_gets_the_sticker(answered):
    ious, sure = [], []
    for seed in range(SCENES):
        scene, rng = drawn(seed)
        truth = scene.placed[0].mask
        x, y = any_point(rng, truth)
        best = answered(scene.image, [(x, y)])
        mask = best.mask.unpack()
        assert mask[y, x]
        ious.append(iou(mask, truth))
        sure.append(pointing.confidence(best))
    assert np.mean(ious) > 0.8
    assert 0.7 < np.mean(sure) < 1
    assert max(sure) < 1


def test_a_point_on_bare_ground_gets_the_ground_around_it_and_says_so(answered):
    for seed in range(SCENES):
        scene, rng = drawn(seed)
        x, y = any_point(rng, bare(scene))
        best = answered(scene.image, [(x, y)])
        mask = best.mask.unpack()
        assert mask[y, x]
        assert best.source == "around"
        assert pointing.confidence(best) == 0
        assert mask.mean() < 0.02


def test_two_points_on_two_stickers_get_both(answered):
    ious = []
    for seed in range(SCENES):
        scene, rng = drawn(seed)
        first, second = (placed.mask for placed in scene.placed[:2])
        points = [any_point(rng, first), any_point(rng, second)]
        mask = answered(scene.image, points).mask.unpack()
        assert all(mask[y, x] for x, y in points)
        ious.append(iou(mask, first | second))
    assert np.mean(ious) > 0.8


def test_what_is_pointed_away_from_is_left_out(answered):
    for seed in range(SCENES):
        scene, rng = drawn(seed)
        truth = scene.placed[0].mask
        x, y = any_point(rng, truth)
        row, column = np.nonzero(truth)
        far = int(np.hypot(row - y, column - x).argmax())
        for other in (any_point(rng, scene.placed[1].mask), any_point(rng, bare(scene)), (column[far], row[far])):
            mask = answered(scene.image, [(x, y), tuple(map(int, other))], (1, 0)).mask.unpack()
            assert mask[y, x]
            assert not mask[other[1], other[0]]


def test_a_box_gets_what_is_in_it(answered):
    ious = []
    for seed in range(SCENES):
        scene, rng = drawn(seed)
        left, top, right, bottom = scene.placed[0].box_xyxy
        around = answered(scene.image, box=(left, top, right, bottom))
        ious.append(iou(around.mask.unpack(), scene.placed[0].mask))
        half = answered(scene.image, box=(left, top, (left + right) // 2, bottom)).mask.unpack()
        assert not half[:, (left + right) // 2 + 6 :].any()
        x, y = any_point(rng, ndimage.binary_erosion(bare(scene), iterations=CLEAR_PX))
        box = (max(0, x - 12), max(0, y - 12), x + 12, y + 12)
        empty = answered(scene.image, box=box)
        mask = empty.mask.unpack()
        assert mask[box[1] : box[3], box[0] : box[2]].sum() > 0.5 * mask.sum()
    assert np.mean(ious) > 0.85


def test_a_name_is_held_against_what_lies_there():
    matcher, settings = ClipMatcher.load(ModelArgs()), ClipSettings()
    right, elsewhere, absent, ground = [], [], [], []
    for seed in range(SCENES):
        scene, rng = drawn(seed)
        first, second, *_ = scene.placed
        there = {placed.sticker.noun for placed in scene.placed}
        missing = next(name for name in rng.permutation(sorted(BY_NAME)) if BY_NAME[name].noun not in there)
        names = (first.sticker.name, second.sticker.name, str(missing))
        own, others, none = matcher.locate([SearchRequest(scene.image, names)], settings)[0].maps
        disc = Pointer((), (), None).around([any_point(rng, bare(scene))], scene.image.shape[:2])
        right.append(pointing.shows(own, first.mask))
        elsewhere.append(pointing.shows(others, first.mask))
        absent.append(pointing.shows(none, first.mask))
        ground.append(pointing.shows(own, disc))
    assert np.mean(right) > 0.9
    assert sum(elsewhere) + sum(absent) <= 3  # of 24; 5 % of 240
    assert not any(ground)


def test_a_mask_may_be_drawn_wide_of_what_its_name_says():
    matcher, settings = ClipMatcher.load(ModelArgs()), ClipSettings()
    for seed in range(SCENES // 2):
        scene, _ = drawn(seed)
        placed = scene.placed[0]
        heat = matcher.locate([SearchRequest(scene.image, (placed.sticker.name,))], settings)[0].maps[0]
        if pointing.shows(heat, placed.mask):
            assert pointing.shows(heat, np.ones_like(placed.mask))
