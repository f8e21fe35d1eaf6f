"""What quality is measured on: the pocket world's hard scenes, or anybody's photographs with COCO annotations."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deployments.config import ModelArgs
from deployments.limits import Limits
from deployments.messages import Box, ScoreRequest
from deployments.pixels import regions
from deployments.pixels.files import decode
from deployments.pixels.masks import bounding_box, centre
from pocket import hard, world
from pocket.judge import judge

STREAM = 21
PHOTOGRAPHS = world.TRAINING_PHOTOGRAPHS + world.HELD_OUT_PHOTOGRAPHS
LEAST_AREA = 0.01  # of a photograph: smaller annotations are not asked for
MOST_DOUBLES = 6
CLEAR_LEAD = 0.12  # of the picture's side: which of several is the left one is beyond doubt

Judge = Callable[[np.ndarray], bool]


@dataclass(frozen=True, eq=False)
class QualityCase:
    """One request and the truth about it.

    `target` means `truth` (HxW bool), None where it is not in the picture; `same` are the masks of everything that has
    that name. `prompt` is what to paint there; `judged` says of a picture HxWx3 uint8 whether it shows it now.
    """

    kind: str
    image: np.ndarray
    target: str
    truth: np.ndarray | None
    same: tuple[np.ndarray, ...]
    prompt: str
    judged: Judge
    seed: int


def marked(case: QualityCase, number: int) -> QualityCase:
    """The same with one other pixel, a different one for each number: nobody remembers having seen it."""
    image = case.image.copy()
    image[0, 0] ^= np.uint8(number + 1)
    return replace(case, image=image)


def pocket_cases(count: int, first: int = 0) -> list[QualityCase]:
    """`count` hard scenes of each kind, of the evaluation stream and partly on a photograph no training has seen."""
    return [
        _pocket_case(kind, number, seed)
        for number, kind in enumerate(hard.KINDS)
        for seed in range(first, first + count)
    ]


def _pocket_case(kind: hard.Kind, number: int, seed: int) -> QualityCase:
    drawn = hard.challenge(world.evaluation_rng(STREAM, number, seed), kind, PHOTOGRAPHS)
    wanted = drawn.wanted
    same = [] if wanted is None else [one.mask for one in drawn.scene.placed if one.sticker == wanted.sticker]
    return QualityCase(
        kind=kind,
        image=drawn.scene.image,
        target=drawn.target,
        truth=None if wanted is None else wanted.mask,
        same=tuple(same),
        prompt=drawn.prompt,
        judged=lambda picture: _names(drawn, picture),
        seed=seed,
    )


def _names(drawn: hard.Challenge, picture: np.ndarray) -> bool:
    """Whether the judge sees what was to be painted, where the thing stood and not where the edit says it painted."""
    if drawn.wanted is None:
        return False
    view = regions.whole(drawn.wanted.mask)
    verdict = judge(view.crop(picture), view.crop(drawn.scene.without(drawn.wanted)))
    return verdict.name == drawn.painted.name


def coco_cases(annotations: Path, images: Path, count: int, judged: Callable[[str, Box], Judge]) -> list[QualityCase]:
    """Up to `count` cases of each kind from a COCO instances file: "one", "doubles" (a word of place says which) and
    "absent". `judged` makes the judge for a name to be painted in a box."""
    made: defaultdict[str, list[QualityCase]] = defaultdict(list)
    for case in _coco_cases(json.loads(annotations.read_text()), images, judged):
        if len(made[case.kind]) < count:
            made[case.kind].append(case)
        if len(made) == 3 and all(len(cases) == count for cases in made.values()):
            break
    return [case for cases in made.values() for case in cases]


def named_by(model: str | None, annotations: Path) -> Callable[[str, Box], Judge]:
    """Judges that ask a CLIP model which of all categories' names suits the box of a picture best."""
    if model is None:
        return lambda name, box: lambda picture: False
    from deployments.clip.model import ClipMatcher

    matcher = ClipMatcher.load(ModelArgs(model=model))
    names = [category["name"] for category in json.loads(annotations.read_text())["categories"]]

    def judged(name: str, box: Box) -> Judge:
        def judge_box(picture: np.ndarray) -> bool:
            left, top, right, bottom = box
            crop = picture[top:bottom, left:right]
            scores = matcher.score([ScoreRequest(crop, f"a photo of a {each}") for each in names])
            assert not any(isinstance(score, Exception) for score in scores)  # such short texts can be read
            return names[int(np.argmax(np.array(scores, np.float64)))] == name

        return judge_box

    return judged


def _coco_cases(content: Mapping[str, Any], images: Path, judged: Callable[[str, Box], Judge]) -> Iterator[QualityCase]:
    names = {category["id"]: category["name"] for category in content["categories"]}
    by_image: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    for number, entry in enumerate(content["images"]):
        path = images / entry["file_name"]
        if not path.exists():
            continue
        image = decode(path.read_bytes(), Limits()).pixels
        rng = np.random.default_rng([STREAM, number])
        yield from _cases_of_photograph(rng, image, by_image[entry["id"]], names, judged)


def _cases_of_photograph(
    rng: np.random.Generator,
    image: np.ndarray,
    annotations: Sequence[Mapping[str, Any]],
    names: Mapping[int, str],
    judged: Callable[[str, Box], Judge],
) -> Iterator[QualityCase]:
    masks: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    for annotation in annotations:
        masks[names[annotation["category_id"]]].append(_decoded(annotation["segmentation"], image.shape[:2]))
    absent = sorted(set(names.values()) - set(masks))
    crowds = {names[annotation["category_id"]] for annotation in annotations if annotation.get("iscrowd")}

    def case(kind: str, target: str, truth: np.ndarray | None, same: Sequence[np.ndarray]) -> QualityCase:
        painted = absent[int(rng.integers(len(absent)))]
        box = (0, 0, 1, 1) if truth is None else bounding_box(truth)
        return QualityCase(
            kind, image, target, truth, tuple(same), f"a {painted}", judged(painted, box), int(rng.integers(2**31))
        )

    for name, same in masks.items():
        large = [mask for mask in same if mask.mean() >= LEAST_AREA]
        if name in crowds or not large:
            continue
        if len(same) == 1:
            yield case("one", f"the {name}", large[0], same)
        elif len(same) <= MOST_DOUBLES:
            for word, mask in _clear_places(same):
                if mask.mean() >= LEAST_AREA:
                    yield case("doubles", f"the {word} {name}", mask, same)
                    break
    if len(absent) > 1:
        yield case("absent", f"the {absent[int(rng.integers(len(absent)))]}", None, ())


def _clear_places(masks: Sequence[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Words of place that mean one of the masks beyond doubt."""
    height, width = masks[0].shape
    centres = np.array([centre(mask) for mask in masks]) / (width, height)
    for word, along in (("left", centres[:, 0]), ("right", -centres[:, 0]), ("top", centres[:, 1])):
        first, second = np.argsort(along, kind="stable")[:2]
        if along[second] - along[first] >= CLEAR_LEAD:
            yield word, masks[first]


def _decoded(segmentation: Any, size_hw: tuple[int, ...]) -> np.ndarray:
    """COCO's polygons or run lengths as HxW bool."""
    from pycocotools import mask as coco

    height, width = size_hw
    if isinstance(segmentation, list):
        runs = coco.merge(coco.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        runs = coco.frPyObjects(segmentation, height, width)
    else:
        runs = segmentation
    return np.asarray(coco.decode(runs)).astype(bool)
