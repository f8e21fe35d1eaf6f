"""What is said of a SAM that cannot be loaded, before anything is loaded."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.config import POCKET_WEIGHTS, GraphArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.launch.preflight import problems

ROOT = Path(__file__).parent.parent.parent
Edit = Callable[[Path], object]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4634068\n"


def found(**args: object) -> list[SettingError]:
    return list(problems(GraphArgs.model_validate({"sam": args}), reach_hub=False))


def only(**args: object) -> SettingError:
    (error,) = found(**args)
    assert "\n" not in error.problem
    return error


def write_tensors(path: Path, *names: str) -> None:
    """Write a .safetensors file of empty tensors."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({"__metadata__": {"format": "pt"}, **dict.fromkeys(names, empty)}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


PLAIN = "it cannot be read as a file of plain tensors"
MODULES = (
    "image_encoder.pos_embed",
    "image_encoder.patch_embed.proj.weight",
    "prompt_encoder.mask_downscaling.3.weight",
    "mask_decoder.mask_tokens.weight",
)

SAMS: dict[str, tuple[str, Edit, str]] = {
    "text": ("x.pth", lambda path: path.write_text("weights? no"), f"cannot be used: {PLAIN}"),
    "a zip": ("x.pth", lambda path: shutil.copy(ROOT / "docs/demo/scene.png", path), f"cannot be used: {PLAIN}"),
    "empty": ("x.pth", lambda path: path.touch(), "cannot be used: it is empty"),
    "pointer": ("x.pth", lambda path: path.write_text(POINTER), "cannot be used: it is the pointer of git-lfs"),
    "half an archive": ("x.pth", lambda path: halve_sam(path), f"cannot be used: {PLAIN}"),
    "no safetensors": (
        "x.safetensors",
        lambda path: path.write_text("weights? no"),
        "cannot be used: it is not a safetensors file, or only the start of one",
    ),
    "another": (
        "x.safetensors",
        lambda path: write_tensors(path, "weight"),
        "holds no SAM: it has no tensor 'image_encoder.pos_embed'",
    ),
    "no decoder": (
        "x.safetensors",
        lambda path: write_tensors(path, *MODULES[:3]),
        "holds no SAM: it has no tensor 'mask_decoder.mask_tokens.weight'",
    ),
    "a pickled CLIP": (
        "x.pt",
        lambda path: path.write_bytes(legacy({"visual.conv1.weight": 0})),
        "holds no SAM: it is a CLIP model of OpenAI's format",
    ),
    "CLIP": (
        "x.safetensors",
        lambda path: shutil.copy(POCKET_WEIGHTS / "clip/model.safetensors", path),
        "holds no SAM: it is a CLIP model of transformers",
    ),
    "UNet": (
        "x.safetensors",
        lambda path: shutil.copy(POCKET_WEIGHTS / "inpaint/unet/diffusion_pytorch_model.safetensors", path),
        "holds no SAM: it is a UNet of diffusers",
    ),
    "transformers": (
        "x.safetensors",
        lambda path: write_tensors(path, "vision_encoder.pos_embed", "mask_decoder.mask_tokens.weight"),
        "holds no SAM: it is a SAM in the format of transformers (SamModel), not of segment-anything",
    ),
    "SAM 2": (
        "x.safetensors",
        lambda path: write_tensors(path, "image_encoder.trunk.pos_embed"),
        "holds no SAM: it is a SAM 2",
    ),
    "HQ-SAM": (
        "x.safetensors",
        lambda path: write_tensors(path, *MODULES, "mask_decoder.hf_token.weight"),
        "holds no SAM: it is an HQ-SAM",
    ),
}


def halve_sam(path: Path) -> None:
    path.write_bytes((POCKET_WEIGHTS / "sam.pth").read_bytes()[:1_000_000])


def legacy(state: object) -> bytes:
    """What torch.save wrote before version 1.6, without the numbers that follow."""
    return b"".join(pickle.dumps(each, protocol=2) for each in (0x1950A86A20F9469CFC6C, 1001, {}, state))


@pytest.mark.parametrize("case", SAMS)
def test_a_sam_that_is_none(tmp_path: Path, case: str) -> None:
    name, write, sentence = SAMS[case]
    write(tmp_path / name)
    error = only(model=str(tmp_path / name))
    assert not isinstance(error, NotOnThisMachine)
    assert error.setting == "sam.model"
    assert error.problem.startswith(f"{str(tmp_path / name)!r} {sentence}")
    assert error.problem.endswith(
        "Give a .pth file from https://github.com/facebookresearch/segment-anything"
        "#model-checkpoints, the same as .safetensors, or 'pocket'."
    )


def test_a_folder_is_no_sam(tmp_path: Path) -> None:
    assert only(model=str(tmp_path)).problem.startswith(f"{str(tmp_path)!r} is a folder, and SAM is one file. ")


def test_the_names_are_enough(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x.safetensors", *MODULES)
    (tmp_path / "x.pth").write_bytes(legacy(dict.fromkeys(MODULES, 0)))
    for name in ("x.safetensors", "x.pth"):
        assert found(model=str(tmp_path / name)) == []


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_a_pickle_is_listed_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.pth").write_bytes(legacy({**dict.fromkeys(MODULES, 0), "x": Malicious()}))
    assert found(model="bad.pth") == []  # refused by the loader
    assert not Path("pwned").exists()
