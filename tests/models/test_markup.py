"""Loops around things and scribbles over them, on the pocket models: the thing that is meant is cut out."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from deployments.config import GroundingSettings
from deployments.grounding.pointing import Pointer, Pointing
from deployments.messages import SegmentRequest
from deployments.pixels import markup
from deployments.pixels.masks import iou
from pocket import world
from pocket.evaluate import PHOTOGRAPHS, SIZES_WH
from pocket.vocabulary import BY_NAME

SCENES = 20


def drawn(seed):
    rng = world.evaluation_rng(47, seed)
    names = rng.permutation(sorted(BY_NAME))[:3]
    ground = world.GROUNDS[seed % len(world.GROUNDS)]
    size = SIZES_WH[seed % len(SIZES_WH)]
    return world.compose(rng, size, [BY_NAME[name] for name in names], ground, PHOTOGRAPHS), rng


def loop(rng, box_xyxy):
    """Return the points of a loop by hand: uneven, tight or wide, not quite closed or overdrawn."""
    left, top, right, bottom = box_xyxy
    wide, start = rng.uniform(1.0, 1.6), rng.uniform(0, 2 * math.pi)
    angles = start + np.linspace(0, 2 * math.pi * rng.uniform(0.88, 1.08), 80)
    uneven = wide * (1 + 0.05 * np.sin(2 * angles + start) + 0.03 * np.sin(5 * angles))
    across = (left + right) / 2 + (right - left) / 2 * uneven * np.cos(angles)
    down = (top + bottom) / 2 + (bottom - top) / 2 * uneven * np.sin(angles)
    return list(zip(across.tolist(), down.tolist(), strict=True))


def scribble(rng, box_xyxy):
    """Return the points of a zigzag across a thing, whose ends may lie beside it."""
    left, top, right, bottom = box_xyxy
    reach = rng.uniform(-0.25, 0.08)
    columns = np.linspace(left - reach * (right - left), right + reach * (right - left), int(rng.integers(4, 9)))
    over = reach * (bottom - top)
    return [(x, bottom + over if turn % 2 else top - over) for turn, x in enumerate(columns.tolist())]


@pytest.mark.parametrize(("drawing", "is_box"), [(loop, True), (scribble, False)])
def test_what_is_drawn_around_or_over_is_cut_out(pocket_sam, drawing, is_box):
    ious = []
    for seed in range(SCENES):
        scene, rng = drawn(seed)
        height, width = scene.image.shape[:2]
        strokes = Image.new("L", (width, height))
        line = drawing(rng, scene.placed[0].box_xyxy)
        ImageDraw.Draw(strokes).line(line, fill=255, width=max(2, round(width * rng.uniform(0.008, 0.025))))
        box, points = markup.meaning_of(np.asarray(strokes) > 0)
        assert (box is not None, len(points)) == ((True, 0) if is_box else (False, 1))
        case = Pointing(scene.image, Pointer(points, (1,) * len(points), box), GroundingSettings())
        asked = case.questions(case.whole)
        request = SegmentRequest(tuple(question.prompt for question in asked))
        masks = pocket_sam.decode(pocket_sam.encode([scene.image])[0], request)
        ious.append(iou(case.answers(case.whole, asked, masks)[0].mask.unpack(), scene.placed[0].mask))
    assert sum(one > 0.7 for one in ious) >= SCENES - 2
    assert np.mean(ious) > 0.85
