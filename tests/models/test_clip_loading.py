"""Loading CLIP: from the layouts that people have, and with a reason that names the setting."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from deployments.clip.model import ClipMatcher
from deployments.config import POCKET_WEIGHTS, GraphArgs, ModelArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.launch.preflight import problems
from deployments.messages import ScoreRequest

Edit = Callable[[Path], object]
State = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POCKET_WEIGHTS / "clip", tmp_path / "clip"))


def refused(folder: Path, **args: str) -> SettingError:
    with pytest.raises(SettingError) as caught:
        ClipMatcher.load(ModelArgs(model=str(folder), **args))
    assert "\n" not in str(caught.value)
    return caught.value


def score(**args: str) -> float:
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    return ClipMatcher.load(ModelArgs(device="cpu", **args)).score([ScoreRequest(image, "a dog")])[0]


def rewritten(change: Callable[[State], object]) -> Edit:
    """Return what changes the tensors in the file of weights."""

    def edit(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    return edit


def sharded(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(state)}
    for shard in set(places.values()):
        save_file({name: state[name] for name in places if places[name] == shard}, folder / shard, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def without_fast_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def without_slow_tokenizer(folder: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()


def in_the_newer_layout(folder: Path) -> None:
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings}))


def with_position_ids(folder: Path) -> None:
    """Add what transformers before 4.31 saved among the weights, so that it stands in OpenAI's and LAION's files."""
    towers = ("text_model", "vision_model")
    ids = {f"{tower}.embeddings.position_ids": torch.arange(32)[None] for tower in towers}
    rewritten(lambda state: state.update(ids))(folder)


def as_it_is(folder: Path) -> None:
    """Change nothing."""


LAYOUTS = [as_it_is, sharded, without_fast_tokenizer, without_slow_tokenizer, in_the_newer_layout, with_position_ids]


@pytest.mark.parametrize("edit", LAYOUTS)
def test_a_directory_is_loaded_like_the_pocket_model(folder: Path, edit: Edit) -> None:
    edit(folder)
    assert score(model=str(folder)) == pytest.approx(score(), abs=1e-6)


def test_a_tilde_is_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert score(model="~/clip") == pytest.approx(score(), abs=1e-6)


def test_a_variant_reads_its_own_weights(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "model.other.safetensors")
    rewritten(lambda state: state["text_projection.weight"].neg_())(folder)
    plain, other = score(model=str(folder)), score(model=str(folder), variant="other")
    assert other == pytest.approx(score(), abs=1e-6)
    assert plain == pytest.approx(-other, abs=1e-6)


def bert(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1_000_000])


@pytest.mark.parametrize("edit", [shutil.rmtree, bert, pickled, cut_short, without_fast_tokenizer])
def test_the_loader_says_what_the_preflight_says(folder: Path, edit: Edit) -> None:
    edit(folder)
    if edit is without_fast_tokenizer:
        without_slow_tokenizer(folder)
    error = refused(folder)
    (said_before,) = problems(GraphArgs(clip=ModelArgs(model=str(folder))))
    assert str(error) == str(said_before)
    assert type(error) is type(said_before)
    assert error.setting == "clip.model"
    assert repr(str(folder)) in error.problem


def test_weights_that_lack_a_tower_are_refused(folder: Path) -> None:
    def drop(state: State) -> None:
        for name in [name for name in state if "text_model" in name]:
            del state[name]

    rewritten(drop)(folder)
    problem = refused(folder).problem
    assert problem.startswith(f"the weights in {str(folder)!r} are not complete: ")
    assert "are missing, such as 'text_model.embeddings.position_embedding.weight'. Give 'pocket'" in problem


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    rewritten(lambda state: state.update({"visual_projection.weight": torch.zeros(3, 5)}))(folder)
    assert refused(folder).problem.startswith(
        f"the weights in {str(folder)!r} do not fit their config.json: "
        "'visual_projection.weight' has the shape (3, 5) and should have (128, 160). Give 'pocket'"
    )


def test_what_a_library_says_is_one_line_without_its_folders(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text("no JSON")
    error = refused(folder)
    assert error.problem.startswith(f"{str(folder)!r} cannot be loaded: It looks like the config file at ")
    assert error.problem.count(str(folder)) == 1
    assert error.__cause__ is not None


@pytest.mark.parametrize(("field", "value"), [("device", "gpu"), ("revision", "main")])
def test_another_setting_is_refused_by_its_own_name(folder: Path, field: str, value: str) -> None:
    assert refused(folder, **{field: value}).setting == f"clip.{field}"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused_by_name(folder: Path) -> None:
    error = refused(folder, device="cuda")
    assert isinstance(error, NotOnThisMachine)
    assert str(error).startswith("clip.device: 'cuda' is not on this machine: torch sees no GPU.")
