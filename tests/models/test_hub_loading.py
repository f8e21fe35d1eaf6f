"""Loading from the hub's cache without a network, as a cluster behind a wall does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from deployments.clip.model import ClipMatcher
from deployments.config import POCKET_WEIGHTS, GraphArgs, InpaintArgs, ModelArgs
from deployments.errors import NotOnThisMachine
from deployments.inpaint.model import InpaintModel
from deployments.launch.preflight import problems

# diffusers hands huggingface_hub an argument that it no longer knows.
pytestmark = pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks` argument is deprecated:UserWarning")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def put_in_cache(cache: Path, repo: str, files: Path) -> Path:
    """Lay out files as huggingface_hub's cache does; return where they are."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(files, folder / "snapshots" / COMMIT))


def same(module: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(ours, theirs) for ours, theirs in zip(module.parameters(), other.parameters(), strict=True))


def test_clip_is_loaded_from_the_cache(cache: Path) -> None:
    put_in_cache(cache, "openai/clip", POCKET_WEIGHTS / "clip")
    loaded = ClipMatcher.load(ModelArgs(model="openai/clip"))
    assert same(loaded._model, ClipMatcher.load(ModelArgs())._model)


@pytest.mark.parametrize("revision", [None, "main"])
def test_the_deleted_name_is_loaded_from_where_it_lives_on(cache: Path, revision: str | None) -> None:
    put_in_cache(cache, "stable-diffusion-v1-5/stable-diffusion-inpainting", POCKET_WEIGHTS / "inpaint")
    loaded = InpaintModel.load(InpaintArgs(model="runwayml/stable-diffusion-inpainting", revision=revision))
    assert same(loaded.unet, InpaintModel.load(InpaintArgs()).unet)


def test_what_was_fetched_is_looked_at_like_any_folder(cache: Path) -> None:
    folder = put_in_cache(cache, "x/sd", POCKET_WEIGHTS / "inpaint")
    (folder / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"short")
    args = InpaintArgs(model="x/sd")
    assert list(problems(GraphArgs(inpaint=args))) == []  # of an id only the settings are looked at
    with pytest.raises(ValueError, match=r"inpaint\.model: vae/diffusion_pytorch_model\.safetensors in 'x/sd' cannot"):
        InpaintModel.load(args)


@pytest.mark.parametrize(
    ("load", "room", "args"),
    [
        (ClipMatcher.load, "clip", ModelArgs(model="openai/x")),
        (InpaintModel.load, "inpaint", InpaintArgs(model="runwayml/stable-diffusion-inpainting")),
        (InpaintModel.load, "inpaint", InpaintArgs(lora="x/y")),
    ],
)
def test_the_loader_says_what_the_preflight_says(load: Callable[..., object], room: str, args: ModelArgs) -> None:
    with pytest.raises(NotOnThisMachine) as caught:
        load(args)
    (said_before,) = problems(GraphArgs(**{room: args}))
    assert str(caught.value) == str(said_before)
    assert "and the hub cannot be reached (HF_HUB_OFFLINE is set)" in str(said_before)
