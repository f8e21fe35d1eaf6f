"""CLIP and SAM on the device find what they find on a CPU."""

import numpy as np
import pytest

from deployments.clip.model import ClipMatcher
from deployments.config import ClipSettings, ModelArgs
from deployments.messages import Prompt, ScoreRequest, SearchRequest, SegmentRequest
from deployments.sam.model import SamSegmenter

pytestmark = pytest.mark.gpu

CLOSE = {"float32": 2e-3, "float16": 3e-2, "bfloat16": 0.3}  # of heat, 0..1; bfloat16 has 8 bits


@pytest.mark.parametrize("dtype", sorted(CLOSE))
def test_clip_sees_the_same(device, scene, dtype):
    name = scene.placed[0].sticker.name
    search, settings = SearchRequest(scene.image, (f"the {name}",)), ClipSettings()
    score = ScoreRequest(scene.image, f"a {name}")
    here, there = (ClipMatcher.load(args) for args in (ModelArgs(device=device, dtype=dtype), ModelArgs(device="cpu")))
    (ours,), (expected,) = (matcher.locate([search], settings) for matcher in (here, there))
    assert np.abs(ours.maps[0].heat - expected.maps[0].heat).max() <= CLOSE[dtype]
    (cosine,), (expected_cosine,) = (matcher.score([score]) for matcher in (here, there))
    assert abs(cosine - expected_cosine) <= CLOSE[dtype] / 2


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_sam_cuts_out_the_same(device, scene, dtype):
    rows, columns = np.nonzero(scene.placed[0].mask)
    middle = int(np.median(columns)), int(np.median(rows))
    request = SegmentRequest((Prompt((middle,), (1,)),))
    masks = []
    for args in (ModelArgs(device=device, dtype=dtype), ModelArgs(device="cpu")):
        sam = SamSegmenter.load(args)
        masks.append(sam.decode(sam.encode([scene.image])[0], request).masks[0].unpack())
    ours, expected = masks
    assert (ours & expected).sum() / (ours | expected).sum() > (0.99 if dtype == "float32" else 0.9)


def test_pictures_encoded_together_are_those_encoded_alone(device, scene):
    sam = SamSegmenter.load(ModelArgs(device=device))
    pictures = [scene.image, scene.image[::-1].copy(), scene.image[:100].copy()]
    together = sam.encode(pictures)
    for picture, embedding in zip(pictures, together, strict=True):
        (alone,) = sam.encode([picture])
        assert np.abs(alone.features - embedding.features).max() <= 1e-3 * np.abs(alone.features).max()
