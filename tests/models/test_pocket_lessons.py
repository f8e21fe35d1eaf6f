"""What the painter learns from is drawn on the device, and it is what Pillow and the service would draw."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deployments.pixels.masks import bounding_box
from pocket import atlas, lessons, on_gpu, world
from pocket.atlas import Atlas
from pocket.lessons import CANVAS_PX, CROPS_PX, TEXTS, Draw
from pocket.vocabulary import BY_NAME, STICKERS


def seeded(number: int) -> Draw:
    torch.manual_seed(number)
    return Draw("cpu")


@pytest.fixture(scope="module")
def pictures() -> Atlas:
    return Atlas.load("cpu")


@pytest.fixture(scope="module")
def drawn(pictures: Atlas) -> lessons.Lessons:
    return lessons.draw(pictures, seeded(1), 8 * len(CROPS_PX))


def test_a_sticker_is_laid_down_as_pillow_does_it(pictures: Atlas) -> None:
    """Pillow's box filter takes or leaves whole pixels, so only halving can be compared exactly."""
    sticker = BY_NAME["blue balloon"]
    which = torch.tensor([STICKERS.index(sticker)]), torch.tensor([atlas.UPRIGHT])
    ink = world.sticker_image(sticker)
    half = (ink.width // 2, ink.height // 2)
    assert (2 * half[0], 2 * half[1]) == ink.size == ink.crop(ink.getchannel("A").getbbox()).size
    box = (10, 7, 10 + half[0], 7 + half[1])
    ground = np.full((96, 96, 3), 200, np.uint8)
    world.paste(ground, np.array(ink.resize(half, Image.Resampling.BOX)), box)
    layer = atlas.lay(pictures.inks[which], pictures.sizes[which], torch.tensor([box]).float(), (96, 96))
    ours = atlas.over(torch.full((1, 3, 96, 96), 200.0), layer)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - ground).max() <= 2


@pytest.mark.parametrize("side", CROPS_PX)
def test_crops_are_resized_as_pillow_does_it(side: int) -> None:
    crop = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    theirs = np.asarray(Image.fromarray(crop).resize((CANVAS_PX, CANVAS_PX), Image.Resampling.LANCZOS))
    ours = atlas.resized(torch.from_numpy(crop).permute(2, 0, 1)[None].float(), CANVAS_PX)[0].permute(1, 2, 0)
    assert np.abs(ours.round().numpy() - theirs).max() <= 1


@pytest.mark.parametrize("side", [40, 300])
def test_pieces_of_photographs_are_stretched_as_pillow_does_it(side: int) -> None:
    photograph = world.photograph("coffee")
    box = (31.5, 20.25, 231.5, 220.25)
    theirs = np.asarray(photograph.resize((side, side), Image.Resampling.BILINEAR, box=box))
    whole = torch.from_numpy(np.asarray(photograph).astype(np.float32)).permute(2, 0, 1)[None]
    ours = atlas.stretched(whole, torch.tensor([box]), side)[0].permute(1, 2, 0).round().numpy()
    assert np.abs(ours - theirs).max() <= 1


def test_the_largest_copy_that_fits_the_mask_is_wanted(pictures: Atlas) -> None:
    stickers = torch.arange(len(STICKERS))
    masks = lessons.left_behind(pictures, seeded(3), 56).masks[: len(STICKERS)]
    layer = lessons.fitted(pictures, masks, stickers)
    solid = layer[:, 3:] > 0.5
    held = (solid * masks).sum((1, 2, 3)) / solid.sum((1, 2, 3))
    for number, sticker in enumerate(STICKERS):
        left, top, right, bottom = bounding_box(masks[number, 0].numpy() > 0)
        across, down, wide, high = bounding_box(solid[number, 0].numpy())
        proportion = (wide - across) / (high - down) * np.divide(*world.sticker_image(sticker).size[::-1])
        assert 0.7 < proportion < 1.4, sticker.name
        assert min(across - left, down - top, right - wide, bottom - high) >= -1, sticker.name
    small = solid.sum((1, 2, 3)) < 0.05 * masks.sum((1, 2, 3))
    assert (held >= 0.95)[~small].all()
    assert small.float().mean() < 0.1  # only where the mask has hardly any width


def test_a_text_names_the_sticker_that_is_wanted(pictures: Atlas) -> None:
    dice = seeded(4)
    stickers = dice.index(len(STICKERS), 400)
    nothing = dice.chance(0.3, 400)
    for text, index, none in zip(lessons._texts(dice, stickers, nothing), stickers, nothing, strict=True):
        said = TEXTS[text]
        assert said == "" or (said in lessons.NOTHING if none else STICKERS[index].noun in said)
        assert not {" a a", " a o"} & {f" {said}"[start : start + 4] for start in range(len(said))}


def test_where_nothing_is_asked_for_the_ground_goes_on(pictures: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "ASKED_FOR_NOTHING", 1.0)
    monkeypatch.setattr(lessons, "GROUNDS", {"plain": 1.0, "fractal": 0.0, "graded": 0.0, "photographic": 0.0})
    monkeypatch.setattr(
        lessons,
        "grounds",
        lambda _atlas, _dice, count, side: (
            torch.full((count, 3, side, side), 90.0),
            torch.zeros(count, dtype=torch.long),
        ),
    )
    drawn = lessons.draw(pictures, seeded(5), 16)
    assert (drawn.wanted[drawn.masks.expand_as(drawn.wanted) > 0] == 90).all()


def test_the_same_number_draws_the_same_lessons(pictures: Atlas, drawn: lessons.Lessons) -> None:
    again = lessons.draw(pictures, seeded(1), 8 * len(CROPS_PX))
    other = lessons.draw(pictures, seeded(2), 8 * len(CROPS_PX))
    assert torch.equal(again.wanted, drawn.wanted)
    assert torch.equal(again.texts, drawn.texts)
    assert not torch.equal(other.wanted, drawn.wanted)


def test_lessons_are_pictures_with_masks_of_some_size(drawn: lessons.Lessons) -> None:
    assert drawn.wanted.shape == (8 * len(CROPS_PX), 3, CANVAS_PX, CANVAS_PX)
    assert (drawn.wanted.min(), drawn.wanted.max()) == (0, 255)
    assert set(drawn.masks.unique().tolist()) == {0.0, 1.0}
    assert (drawn.masks.mean((1, 2, 3)) > 0.005).all()
    assert set(drawn.grounds.tolist()) == set(range(len(lessons.GROUNDS)))


def test_no_training_sees_the_photographs_that_measure_it() -> None:
    assert not set(world.UNSEEN_PHOTOGRAPHS) & set(world.TRAINING_PHOTOGRAPHS)


def test_a_gpu_run_packs_its_weights_and_figures_after_each_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_gpu, "GUIDANCE_SCALES", (1.0,))
    arguments = [
        "--vae-seconds",
        "0.01",
        "--unet-seconds",
        "0.01",
        "--pictures",
        "8",
        "--steps",
        "2",
        "--device",
        "cpu",
    ]
    on_gpu.main([*arguments, "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")])
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert set(figures) >= {"autoencoder", "painter", "paintings"}
    with tarfile.open(tmp_path / "out" / "inpaint.tar") as packed:
        assert {"inpaint/unet/config.json", "inpaint/model_index.json", "inpaint/retouch.json"} <= set(
            packed.getnames()
        )
    assert (tmp_path / "out" / "vae.tar").stat().st_size < 16e6
    assert (tmp_path / "out" / "inpaint.tar").stat().st_size < 16e6
