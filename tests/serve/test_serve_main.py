"""`python main.py`: the seed's flags, its three files and its two printed lines."""

import re

import numpy as np
import pytest
from PIL import Image

import main

pytestmark = pytest.mark.usefixtures("ray_cluster")


def read(path):
    return np.asarray(Image.open(path))


def test_one_picture_one_command(png, scene, masks, tmp_path, capsys):
    (tmp_path / "scene.png").write_bytes(png)
    out = tmp_path / "out"
    flags = ["--image", str(tmp_path / "scene.png"), "--prompt", "a lemon", "--target", "the cactus"]
    flags += ["--sam_ckpt", "pocket", "--clip_model", "pocket", "--sd_model", "pocket", "--output_dir", str(out)]
    flags += ["--num_inference_steps", "6", "--guidance_scale", "5", "--seed", "3"]
    assert main.main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    x, y = map(int, re.match(r"CLIP point: \((\d+), (\d+)\)", lines[0]).groups())
    assert masks["cactus"][y, x]
    assert -1 <= float(re.match(r"CLIP score: (-?[\d.]+)", lines[1]).group(1)) <= 1
    original, mask, edited = (read(out / f"{name}.png") for name in ("original", "sam_mask", "edited"))
    assert (original == scene.image).all()
    assert set(np.unique(mask)) == {0, 255}
    assert (edited[mask == 0] == original[mask == 0]).all()
    assert (edited[mask == 255] != original[mask == 255]).any()


def test_nothing_found_is_an_error_not_a_picture(png, tmp_path, capsys):
    (tmp_path / "scene.png").write_bytes(png)
    flags = ["--image", str(tmp_path / "scene.png"), "--prompt", "a lemon", "--target", "the sailboat"]
    assert main.main([*flags, "--output_dir", str(tmp_path / "out")]) == 1
    assert "Found nothing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bad_picture_fails_before_anything_starts(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("no picture")
    assert main.main(["--image", str(tmp_path / "notes.txt"), "--prompt", "a lemon"]) == 1
    assert "PNG" in capsys.readouterr().err
    assert main.main(["--image", str(tmp_path / "none.png"), "--prompt", "a lemon"]) == 1
    assert "none.png" in capsys.readouterr().err


def test_wrong_use_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(["--pormpt", "a lemon"])
    assert caught.value.code == 2
    assert "--prompt" in capsys.readouterr().err
