"""The stock libraries as the peers run them: what each request gets is the same alone and in a batch."""

import numpy as np
import pytest

from benchmarks.stock import Repaint, StockEditor
from deployments.config import GraphArgs

STEPS = 4


@pytest.fixture(scope="module")
def editor():
    return StockEditor.load(GraphArgs())


def repaint(*seeds, prompt="a lemon"):
    image = np.random.default_rng(seeds[0]).integers(0, 256, (96, 120, 3), np.uint8)
    mask = np.zeros(image.shape[:2], bool)
    mask[30:70, 40:80] = True
    return Repaint(image, mask, prompt, seeds, STEPS)


def same(left, right):
    return all(np.abs(one.astype(int) - other).max() <= 1 for one, other in zip(left, right, strict=True))


def test_several_pictures_of_a_request_are_those_of_its_seeds_one_by_one(editor):
    (together,) = editor.paint_together([repaint(3, 4)])
    assert [picture.shape for picture in together] == [(96, 120, 3)] * 2
    first = repaint(3, 4)
    alone = [
        editor.paint_together([Repaint(first.image, first.mask, "a lemon", (seed,), STEPS)])[0][0] for seed in (3, 4)
    ]
    assert same(together, alone)
    assert not same(together[:1], together[1:])


def test_a_batch_of_requests_gives_each_what_it_gets_alone(editor):
    asked = [repaint(3, 4), repaint(9, prompt="a red balloon")]
    batched = editor.paint_together(asked)
    for each, found in zip(asked, batched, strict=True):
        assert same(found, editor.paint_together([each])[0])
